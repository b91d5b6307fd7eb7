"""Where a training stands: what a checkpoint keeps beside weights, optimizer and random streams."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from seqvae_cli.errors import CheckpointError

LATER = {"pretrained", "aggressive", "mutual_information"}
"""Fields that checkpoints of the first versions lack: their trainings have no such phases."""


@dataclass
class Progress:
    """Where training stands: all of it plain numbers, saved as `training.json`."""

    epoch: int = 1
    """The epoch that is being trained, from 1."""
    batch: int = 0
    """Batches of it that are done."""
    step: int = 0
    learning_rate: float = 0.0
    best_step: int = -1
    best_epoch: int = 0
    best_neg_elbo: float | None = None
    stale: int = 0
    """Epochs at the full KL weight since the best one, or since the last plateau."""
    unimproved: int = 0
    """Epochs at the full KL weight since the best one."""
    decays: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    """Time spent on the steps of this epoch."""
    epoch_tokens: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Distortion and rate, summed over this epoch's sentences."""
    sentences: int = 0
    pretrained: bool = True
    """The pretraining, if there is one, is over."""
    aggressive: bool = False
    """The encoder is trained to its best before each step."""
    mutual_information: float | None = None
    """Of the last validation, while `aggressive`."""
    collapsed: bool = False
    """The collapse was told."""
    done: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    """The lines of `metrics.jsonl`."""

    @classmethod
    def from_json(cls, value: Any, where: str) -> Progress:
        """What was saved in `where`. Raises `CheckpointError`."""
        names = {item.name for item in fields(cls)}
        if not isinstance(value, dict) or not names - LATER <= value.keys() <= names:
            raise CheckpointError(f"{where}: training.json does not say where training stood")
        for name, item in value.items():
            if not _fits(name, item):
                raise CheckpointError(f"{where}: training.json says {name} is {item!r:.60}")
        if value["batch"] and not value["sentences"]:
            raise CheckpointError(f"{where}: training.json counts batches without sentences")
        return cls(**value)


def _fits(name: str, value: Any) -> bool:
    """Whether a field can have this value: files are checked against their digests, but whoever wrote them may lie."""
    match name:
        case "history":
            return isinstance(value, list) and all(isinstance(line, dict) for line in value)
        case "sums":
            return isinstance(value, list) and len(value) == 2 and all(map(_number, value))
        case "collapsed" | "done" | "aggressive" | "pretrained":
            return isinstance(value, bool)
        case "best_neg_elbo" | "mutual_information":
            return value is None or _number(value)
        case "learning_rate" | "seconds" | "epoch_seconds":
            return _number(value) and value >= 0
    least = {"epoch": 1, "best_step": -1}.get(name, 0)
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**53


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100

"""The position, counters and metrics of a training, saved in its checkpoints as `training.json`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from seqvae_cli.errors import CheckpointError


@dataclass
class TrainingState:
    """Everything that decides how training goes on, except weights, optimizer and random state; plain numbers."""

    epoch: int = 1
    """The current epoch, from 1."""
    batch: int = 0
    """Batches of this epoch that are done."""
    step: int = 0
    """Steps that are done, in all epochs."""
    learning_rate: float = 0.0
    """Of the optimizer, before the factor of the learning-rate schedule."""
    best_step: int = -1
    """Step of the weights in `best`; -1: none yet."""
    best_epoch: int = 0
    best_neg_elbo: float | None = None
    stale: int = 0
    """Epochs at the full KL weight since the best one or the last plateau."""
    unimproved: int = 0
    """Epochs at the full KL weight since the best one."""
    decays: int = 0
    """Plateaus so far."""
    seconds: float = 0.0
    """Time spent on training, in all epochs."""
    epoch_seconds: float = 0.0
    """Time spent on the steps of this epoch."""
    epoch_tokens: int = 0
    """Tokens trained on in this epoch, `<eos>` counted."""
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Distortion and rate (nats), summed over this epoch's sentences so far."""
    sentences: int = 0
    """Sentences trained on in this epoch."""
    pretrained: bool = True
    """Pretraining is over, or there is none."""
    aggressive: bool = False
    """The aggressive phase is not over."""
    mutual_information: float | None = None
    """Of the last validation (nats), in the aggressive phase."""
    collapsed: bool = False
    """A `CollapseEvent` was sent."""
    done: bool = False
    """Training stopped before its last epoch."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The lines of `metrics.jsonl`."""

    @classmethod
    def from_json(cls, value: Any, where: str) -> TrainingState:
        """Checks what was read from the checkpoint `where`. Raises `CheckpointError` for a wrong field or value."""
        names = {item.name for item in fields(cls)}
        if not isinstance(value, dict):
            raise CheckpointError(f"{where}: training.json is not an object")
        if wrong := sorted(names.symmetric_difference(value)):
            raise CheckpointError(f"{where}: training.json has missing or unknown fields: {', '.join(wrong):.200}")
        for name, item in value.items():
            if not _is_valid(name, item):
                raise CheckpointError(f"{where}: training.json has an invalid {name}: {item!r:.60}")
        if value["batch"] and not value["sentences"]:
            raise CheckpointError(f"{where}: training.json counts batches without sentences")
        return cls(**value)


def _is_valid(name: str, value: Any) -> bool:
    """Whether a field can have this value. Digests show damage, but do not tell who wrote a checkpoint."""
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

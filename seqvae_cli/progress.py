"""Where a training stands: what a checkpoint keeps beside weights, optimizer and random streams."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from seqvae_cli.errors import CheckpointError


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
    collapsed: bool = False
    """The collapse was told."""
    done: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    """The lines of `metrics.jsonl`."""

    @classmethod
    def from_json(cls, value: Any, where: str) -> Progress:
        """What was saved in `where`. Raises `CheckpointError`."""
        if not isinstance(value, dict) or value.keys() != {item.name for item in fields(cls)}:
            raise CheckpointError(f"{where}: training.json does not say where training stood")
        return cls(**value)

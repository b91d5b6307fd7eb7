"""The course of the validation in two lines below the live table: -ELBO and KL, one block an epoch.

Epochs of pretraining are left out: without a KL their -ELBO is several times what it is later. The scale follows from
the epochs at the full KL weight, once there are two: for the -ELBO from the lowest to the highest, for the KL from 0,
which is collapse, to twice the highest. What lies above it is a full block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

BLOCKS = "▁▂▃▄▅▆▇█"
LEAST_COLUMNS = 80
MOST_EPOCHS = 100
"""Epochs that a line shows, at most: the last ones."""
LEAST_EPOCHS = 3
LABELS = ("validation -ELBO", "validation KL")


class Epoch(Protocol):
    """What a sparkline reads of a row of the live table; losses in nats a sentence."""

    @property
    def phase(self) -> str: ...
    @property
    def validation(self) -> float | None: ...
    @property
    def validation_rate(self) -> float | None: ...


def of_rows(rows: Sequence[Epoch], console: Console) -> list[Text]:
    """The two lines, none where the terminal is narrow or lacks the characters, or the epochs are few."""
    from rich.text import Text

    from seqvae_cli.training.schedule import AUTOENCODER  # loads pydantic

    if console.width < LEAST_COLUMNS or not is_drawable(console.encoding):
        return []
    label = max(map(len, LABELS))
    room = min(MOST_EPOCHS, console.width - label - 14)
    shown = [row for row in rows if row.phase != AUTOENCODER and row.validation is not None][-room:]
    if len(shown) < LEAST_EPOCHS:
        return []
    full = [not row.phase for row in shown]
    late = full if sum(full) > 1 else [True] * len(shown)
    lines = []
    for name in LABELS:
        rate = name == LABELS[1]
        values = [_number(row.validation_rate if rate else row.validation) for row in shown]
        scale = [value for value, kept in zip(values, late, strict=True) if kept and math.isfinite(value)]
        low, high = min(scale, default=0.0), max(scale, default=0.0)
        drawn = blocks(values, 0.0, 2 * high) if rate else blocks(values, low, high)
        lines.append(Text(f" {name:<{label}}  {drawn}  {values[-1]:z.2f}", no_wrap=True))
    return lines


def blocks(values: Sequence[float], low: float, high: float) -> str:
    """A block for each value on a scale from `low` to `high`; a space where the value is not finite."""
    top = len(BLOCKS) - 1
    step = (high - low) / len(BLOCKS)
    if not 0 < step < math.inf:
        step = math.inf
        low = 0.0
    return "".join(
        BLOCKS[max(0, min(top, int((value - low) / step)))] if math.isfinite(value - low) else " " for value in values
    )


def is_drawable(encoding: str) -> bool:
    """Whether a terminal of this encoding has the blocks."""
    try:
        BLOCKS.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _number(value: float | None) -> float:
    return math.nan if value is None else value

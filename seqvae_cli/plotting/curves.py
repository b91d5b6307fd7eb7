"""What a picture of trainings shows: the curves of its panels, what the axes cover, and what is off the scale.

Losses are nats a sentence. A value that is missing, null or no number is a gap. The validation split at the full KL
weight always fits into a panel; what is far off the rest, such as a training mean while the KL weight is near 0, is
marked at the edge instead of pressing everything else flat.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqvae_cli.errors import DataError

Runs = Mapping[str, Sequence[Mapping[str, Any]]]
"""Name of a run -> the lines of its `metrics.jsonl`."""
Point = tuple[float, float]
Range = tuple[float, float]

FENCE = 10.0
"""Interquartile ranges from the quartiles to where a training mean counts as far off."""
FEWEST = 3
"""Epochs at the full KL weight from which on those before may be off the scale."""
HUGE = 1e15
"""Beyond it a loss is no number any more."""


@dataclass(frozen=True)
class Panel:
    """What stands against what: keys of a line of the metrics. `train_` before them gives the training mean."""

    title: str
    x: str
    y: str


PANELS = {
    "kl": Panel("KL", "epoch", "rate"),
    "reconstruction": Panel("Reconstruction", "epoch", "distortion"),
    "kl-reconstruction": Panel("KL against reconstruction", "distortion", "rate"),
    "elbo": Panel("-ELBO", "epoch", "neg_elbo"),
}
LABELS = {"epoch": "epoch", "rate": "KL", "distortion": "reconstruction", "neg_elbo": "-ELBO"}
UNIT = "nats a sentence"
SPLITS = {"": "validation", "train_": "training"}


def number(value: object) -> float:
    """`value` as a float, NaN where it is none that can be drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < HUGE:
        return math.nan
    return float(value)


def curve(lines: Iterable[Mapping[str, Any]], panel: Panel, split: str = "") -> list[Point]:
    """The points of one curve in the order of the epochs; a gap is (NaN, NaN)."""
    points = []
    for line in lines:
        x = number(line.get("epoch" if panel.x == "epoch" else split + panel.x))
        y = number(line.get(split + panel.y))
        points.append((x, y) if drawn((x, y)) else (math.nan, math.nan))
    return points


def best(lines: Sequence[Mapping[str, Any]]) -> int | None:
    """Index of the line with the lowest validation -ELBO, None where there is none."""
    losses = [number(line.get("neg_elbo")) for line in lines]
    return min((i for i, loss in enumerate(losses) if loss == loss), key=losses.__getitem__, default=None)


def drawn(point: Point) -> bool:
    return not math.isnan(point[0] + point[1])


def of_panel(runs: Runs, panel: Panel) -> dict[str, list[list[Point]]]:
    """For either split the curves of all runs. Raises `DataError` where there is not one point."""
    curves = {split: [curve(lines, panel, split) for lines in runs.values()] for split in SPLITS}
    if not any(drawn(point) for group in curves.values() for points in group for point in points):
        raise DataError(f"no epoch of {', '.join(runs)} has a number to draw for {panel.title}")
    return curves


def annealed(lines: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each epoch ended at the full KL weight: what was before is no sign of how the training goes.

    All of them where there are too few for a picture.
    """
    weights = [number(line.get("kl_weight")) for line in lines]
    full = max((weight for weight in weights if weight == weight), default=math.nan)
    found = [not weight < full for weight in weights]
    return found if sum(found) >= FEWEST else [True] * len(lines)


def axes_of(by_split: dict[str, list[list[Point]]], runs: Runs, panel: Panel, margin: float) -> tuple[Range, Range]:
    """What the axes x and y cover, with `margin` (a share of it) at both ends."""
    found = []
    for axis, key in enumerate((panel.x, panel.y)):
        parts: list[list[float]] = [[], [], []]
        for place, split in enumerate(SPLITS):
            for lines, points in zip(runs.values(), by_split[split], strict=True):
                for point, late in zip(points, annealed(lines), strict=True):
                    if drawn(point):
                        parts[place if late else 2].append(point[axis])
        kept, other, early = parts
        if not kept + other:
            kept, early = early, kept
        if key == "rate":
            kept.append(0.0)  # how far it is from a collapse
        low, high = span(kept, other, early)
        if key == "epoch":
            low, high = min(kept + other + early), max(kept + other + early)  # time has no outliers
        extra = margin * (high - low) or (1.0 if key == "epoch" else abs(low) / 10 or 1.0) * (low == high)
        found.append((low - extra, high + extra))
    return found[0], found[1]


def span(kept: Sequence[float], other: Sequence[float], early: Sequence[float] = ()) -> Range:
    """Lowest and highest of `kept`, of what in `other` is not far off both together, and of what in `early` is near.

    `kept` or `other` is not empty.
    """
    values = [*kept, *other]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    reach = FENCE * (third - first)
    shown = [*kept, *(value for value in other if first - reach <= value <= third + reach)]
    spread = max(shown) - min(shown)  # what would less than double the axis is not worth leaving out
    shown += [value for value in [*other, *early] if min(shown) - spread < value < max(shown) + spread]
    return min(shown), max(shown)


def off_scale(points: Iterable[Point], ranges: tuple[Range, Range]) -> list[Point]:
    """The points that the axes do not cover."""
    return [point for point in points if drawn(point) and not all(map(within, point, ranges))]


def within(value: float, limits: Range) -> bool:
    return limits[0] <= value <= limits[1]


def clamped(value: float, limits: Range) -> float:
    return min(max(value, limits[0]), limits[1])


def off_note(points: Sequence[Point], ranges: tuple[Range, Range]) -> str:
    """What the reader is told of the points at the edge."""
    if not points:
        return ""
    values = [y if not within(y, ranges[1]) else x for x, y in points]
    return f"{len(points)} off the scale, to {max(values, key=abs):.3g}"


def edge_of(point: Point, ranges: tuple[Range, Range]) -> str:
    """At which edge a point is off the scale."""
    (x, y), (across, up) = point, ranges
    return "^" if y > up[1] else "v" if y < up[0] else ">" if x > across[1] else "<"

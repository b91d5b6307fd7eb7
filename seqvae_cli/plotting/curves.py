"""Learning curves from the metrics of runs: the points of each panel, the axis ranges, and the points off the scale.

Losses are nats a sentence. A missing, null or non-numeric value is a gap. The axes always cover the validation points
at the full KL weight. Outliers, such as training means while the KL weight is near 0, are marked at the edge of the
panel and do not stretch its axes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqvae_cli.errors import DataError, counted

Lines = Sequence[Mapping[str, Any]]
"""The lines of a run's `metrics.jsonl`."""
Point = tuple[float, float]
Range = tuple[float, float]

SIDES = {"^": "above", "v": "below", ">": "to the right", "<": "to the left"}
FENCE = 10.0
"""Interquartile ranges beyond the quartiles at which a training mean counts as an outlier."""
MIN_EPOCHS = 3
"""Epochs at the full KL weight that the earlier ones need to count as outliers."""
MAX_VALUE = 1e15
"""Losses of this magnitude and beyond are gaps."""


@dataclass(frozen=True)
class Phase:
    """A part of a training whose losses do not compare with those after it."""

    name: str
    """A key of `PHASES`."""
    start: float
    """Epochs from the beginning of the training."""
    end: float


PHASES = {"pretraining": "autoencoder pretraining", "annealing": "KL annealing", "aggressive": "aggressive encoder"}
"""Phase -> how a legend calls it."""


@dataclass(frozen=True)
class History:
    """What is drawn of a run."""

    lines: Lines
    best_epoch: int | None = None
    """The epoch whose weights are the run's best; None before there is one."""
    phases: tuple[Phase, ...] = ()
    corpus: str = ""
    """Its name."""
    entropy: float | None = None
    """Of the corpus, where it is known (toy): nats a sentence. No -ELBO lies below it on average."""


Runs = Mapping[str, History]
"""By name of the run."""


@dataclass(frozen=True)
class Panel:
    """Two keys of a line of `metrics.jsonl`, `y` over `x`. The prefix `train_` selects the training mean."""

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
    """`value` as a float; NaN where it cannot be drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MAX_VALUE:
        return math.nan
    return float(value)


def curve(lines: Iterable[Mapping[str, Any]], panel: Panel, split: str = "") -> list[Point]:
    """The points of one curve, in the order of `lines`; a gap is (NaN, NaN)."""
    points = []
    for line in lines:
        x = number(line.get("epoch" if panel.x == "epoch" else split + panel.x))
        y = number(line.get(split + panel.y))
        points.append((x, y) if is_drawable((x, y)) else (math.nan, math.nan))
    return points


def best_point(run: History, points: Sequence[Point]) -> Point | None:
    """The point of a curve at the best epoch of its run; None where there is none that can be drawn."""
    found = [point for line, point in zip(run.lines, points, strict=True) if line.get("epoch") == run.best_epoch]
    return found[-1] if run.best_epoch is not None and found and is_drawable(found[-1]) else None


def entropies(runs: Runs, panel: Panel) -> list[float]:
    """The different entropies of the corpora, for the panel of the -ELBO; empty for the others."""
    return sorted({run.entropy for run in runs.values() if run.entropy is not None}) if panel.y == "neg_elbo" else []


def entropy_label(runs: Runs) -> str:
    """What the lines of `entropies` are."""
    return f"entropy of {', '.join(sorted({run.corpus for run in runs.values() if run.entropy is not None}))}"


def is_drawable(point: Point) -> bool:
    """Whether both coordinates are numbers, not NaN."""
    return not math.isnan(point[0] + point[1])


def panel_curves(runs: Runs, panel: Panel) -> dict[str, list[list[Point]]]:
    """For each key of `SPLITS`, the curves of all runs. Raises `DataError` where no point can be drawn."""
    curves = {split: [curve(run.lines, panel, split) for run in runs.values()] for split in SPLITS}
    if not any(is_drawable(point) for group in curves.values() for points in group for point in points):
        raise DataError(f"no epoch of {', '.join(runs)} has a number to draw for {panel.title}")
    return curves


def at_full_kl_weight(lines: Lines) -> list[bool]:
    """Whether each epoch ended at the full KL weight; losses before it are not comparable with those after it.

    All True where fewer than `MIN_EPOCHS` did.
    """
    weights = [number(line.get("kl_weight")) for line in lines]
    full = max((weight for weight in weights if weight == weight), default=math.nan)
    found = [not weight < full for weight in weights]
    return found if sum(found) >= MIN_EPOCHS else [True] * len(lines)


def axis_ranges(by_split: dict[str, list[list[Point]]], runs: Runs, panel: Panel, margin: float) -> tuple[Range, Range]:
    """The ranges of the axes x and y, widened at both ends by `margin`, a fraction of the range."""
    found = []
    for axis, key in enumerate((panel.x, panel.y)):
        parts: list[list[float]] = [[], [], []]
        for place, split in enumerate(SPLITS):
            for run, points in zip(runs.values(), by_split[split], strict=True):
                for point, late in zip(points, at_full_kl_weight(run.lines), strict=True):
                    if is_drawable(point):
                        parts[place if late else 2].append(point[axis])
        kept, other, early = parts
        if not kept + other:
            kept, early = early, kept
        if key == "rate":
            kept.append(0.0)  # shows the distance from posterior collapse
        if key == "neg_elbo":
            kept += entropies(runs, panel)
        low, high = axis_range(kept, other, early)
        if key == "epoch":
            low, high = min(kept + other + early), max(kept + other + early)  # time has no outliers
        extra = margin * (high - low) or (1.0 if key == "epoch" else abs(low) / 10 or 1.0) * (low == high)
        found.append((low - extra, high + extra))
    return found[0], found[1]


def axis_range(kept: Sequence[float], other: Sequence[float], early: Sequence[float] = ()) -> Range:
    """Lowest and highest of `kept`, of `other` without outliers, and of those in `early` close to them.

    `kept` or `other` must have a value.
    """
    values = [*kept, *other]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    reach = FENCE * (third - first)
    shown = [*kept, *(value for value in other if first - reach <= value <= third + reach)]
    spread = max(shown) - min(shown)  # values that extend the axis by less than its length are shown
    shown += [value for value in [*other, *early] if min(shown) - spread < value < max(shown) + spread]
    return min(shown), max(shown)


def off_scale(points: Iterable[Point], ranges: tuple[Range, Range]) -> list[Point]:
    """The drawable points outside the axes."""
    return [point for point in points if is_drawable(point) and not all(map(is_within, point, ranges))]


def is_within(value: float, limits: Range) -> bool:
    return limits[0] <= value <= limits[1]


def clamped(value: float, limits: Range) -> float:
    return min(max(value, limits[0]), limits[1])


def off_scale_note(points: Sequence[Point], ranges: tuple[Range, Range]) -> str:
    """A note on the points marked at the edge: how many, where they lie, and the most extreme value."""
    if not points:
        return ""
    sides = {edge_marker(point, ranges) for point in points}
    values = [y if not is_within(y, ranges[1]) else x for x, y in points]
    where = SIDES[sides.pop()] if len(sides) == 1 else "beyond the axes"
    return f"{counted(len(points), 'point')} {where}, to {max(values, key=abs):z.3g} nats"


def edge_marker(point: Point, ranges: tuple[Range, Range]) -> str:
    """The arrow `^`, `v`, `<` or `>` for the edge beyond which `point` lies."""
    (x, y), (across, up) = point, ranges
    return "^" if y > up[1] else "v" if y < up[0] else ">" if x > across[1] else "<"

"""Learning curves as pictures: KL, reconstruction, the one against the other, and -ELBO, an epoch a point.

`picture` gives the bytes of a PNG, SVG or PDF and needs matplotlib; `text` draws the same in ASCII and needs nothing.
Losses are nats a sentence. A value that is missing, null or no number is a gap. The validation split always fits into
a panel; a training mean far off the rest, as while the KL weight is near 0, is marked at the edge instead of pressing
everything else flat.
"""

from __future__ import annotations

import io
import itertools
import math
import statistics
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seqvae_cli.errors import DataError, MachineError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Runs = Mapping[str, Sequence[Mapping[str, Any]]]
"""Name of a run -> the lines of its `metrics.jsonl`."""
Point = tuple[float, float]
Range = tuple[float, float]

FORMATS = ("png", "svg", "pdf")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""The palette of Okabe and Ito (2008), told apart by the colour-blind; grey for its yellow, too pale on white."""
MARKERS = "os^DvPXh"
MOST = len(COLORS)
"""Runs in one picture, at most."""
FENCE = 10.0
"""Interquartile ranges from the quartiles to where a training mean counts as far off."""
FEWEST = 3
"""Epochs at the full KL weight from which on those before may be off the scale."""
HUGE = 1e15
"""Beyond it a loss is no number any more."""
ARROWS = {"^": r"$\uparrow$", "v": r"$\downarrow$", "<": r"$\leftarrow$", ">": r"$\rightarrow$"}
MARKS = 15
"""Markers on a curve, about; a longer curve has one every few epochs."""


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


def _number(value: object) -> float:
    """`value` as a float, NaN where it is none that can be drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < HUGE:
        return math.nan
    return float(value)


def curve(lines: Iterable[Mapping[str, Any]], panel: Panel, split: str = "") -> list[Point]:
    """The points of one curve in the order of the epochs; a gap is (NaN, NaN)."""
    points = []
    for line in lines:
        x = _number(line.get("epoch" if panel.x == "epoch" else split + panel.x))
        y = _number(line.get(split + panel.y))
        points.append((x, y) if _drawn((x, y)) else (math.nan, math.nan))
    return points


def best(lines: Sequence[Mapping[str, Any]]) -> int | None:
    """Index of the line with the lowest validation -ELBO, None where there is none."""
    losses = [_number(line.get("neg_elbo")) for line in lines]
    return min((i for i, loss in enumerate(losses) if loss == loss), key=losses.__getitem__, default=None)


def _drawn(point: Point) -> bool:
    return not math.isnan(point[0] + point[1])


def _curves(runs: Runs, panel: Panel) -> dict[str, list[list[Point]]]:
    """For either split the curves of all runs. Raises `DataError` where there is not one point."""
    curves = {split: [curve(lines, panel, split) for lines in runs.values()] for split in SPLITS}
    if not any(_drawn(point) for group in curves.values() for points in group for point in points):
        raise DataError(f"no epoch of {', '.join(runs)} has a number to draw for {panel.title}")
    return curves


def annealed(lines: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each epoch ended at the full KL weight: what was before is no sign of how the training goes.

    All of them where there are too few for a picture.
    """
    weights = [_number(line.get("kl_weight")) for line in lines]
    full = max((weight for weight in weights if weight == weight), default=math.nan)
    found = [not weight < full for weight in weights]
    return found if sum(found) >= FEWEST else [True] * len(lines)


def _ranges(curves: dict[str, list[list[Point]]], runs: Runs, panel: Panel, margin: float) -> tuple[Range, Range]:
    """What the axes x and y cover, with `margin` (a share of it) at both ends."""
    found = []
    for axis, key in enumerate((panel.x, panel.y)):
        parts: list[list[float]] = [[], [], []]
        for place, split in enumerate(SPLITS):
            for lines, points in zip(runs.values(), curves[split], strict=True):
                for point, late in zip(points, annealed(lines), strict=True):
                    if _drawn(point):
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


def _off(points: Iterable[Point], ranges: tuple[Range, Range]) -> list[Point]:
    """The points that the axes do not cover."""
    return [point for point in points if _drawn(point) and not all(map(_within, point, ranges))]


def _within(value: float, limits: Range) -> bool:
    return limits[0] <= value <= limits[1]


def _clamped(value: float, limits: Range) -> float:
    return min(max(value, limits[0]), limits[1])


def _off_note(points: Sequence[Point], ranges: tuple[Range, Range]) -> str:
    """What the reader is told of the points at the edge."""
    if not points:
        return ""
    values = [y if not _within(y, ranges[1]) else x for x, y in points]
    return f"{len(points)} off the scale, to {max(values, key=abs):.3g}"


def _beyond(point: Point, ranges: tuple[Range, Range]) -> str:
    """At which edge a point is off the scale."""
    (x, y), (across, up) = point, ranges
    return "^" if y > up[1] else "v" if y < up[0] else ">" if x > across[1] else "<"


# with matplotlib


def picture(runs: Runs, panels: Sequence[str] = tuple(PANELS), kind: str = "png") -> bytes:
    """The named panels in one file of a kind in `FORMATS`; the same input gives the same bytes.

    Raises `MachineError` where matplotlib is missing, `DataError` where a panel would be empty.
    """
    return rendered(lambda: figure(runs, panels), kind)


def rendered(draw: Callable[[], Figure], kind: str) -> bytes:
    """What `draw` makes in the style of all our pictures, as a file of a kind in `FORMATS`.

    Raises `MachineError` where matplotlib is missing.
    """
    try:
        from matplotlib import style
    except ImportError as error:
        message = "matplotlib, which draws pictures, " + (
            "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded: {error}"
        )
        raise MachineError(
            message, "pip install 'seqvae[plot]'; --text draws curves in the terminal without it"
        ) from error
    ours = {
        "font.size": 11,
        "axes.titlesize": 13,
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "pdf.fonttype": 42,
        "svg.hashsalt": "seqvae",  # ids in an SVG are random without
    }
    stamps = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    # Only meanwhile, and from the defaults: neither the user's matplotlibrc nor a caller's settings show.
    with style.context(["default", ours]):
        buffer = io.BytesIO()
        draw().savefig(buffer, format=kind, dpi=150, metadata=stamps[kind])
    return buffer.getvalue()


def figure(runs: Runs, panels: Sequence[str] = tuple(PANELS)) -> Figure:
    """The named panels as a matplotlib figure without a window, in whatever style matplotlib has now."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    many = len(panels) > 1
    drawn = Figure(figsize=(10, 8) if many else (7, 5.2), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    axes = drawn.subplots(math.ceil(len(panels) / 2), 2 if many else 1, squeeze=False).flatten()
    for place, name in zip(axes, panels, strict=False):
        _draw(place, runs, PANELS[name])
    for place in axes[len(panels) :]:
        place.remove()
    _legend(drawn, list(runs))
    return drawn


def _draw(axes: Axes, runs: Runs, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    curves = _curves(runs, panel)
    ranges = _ranges(curves, runs, panel, 0.06)
    edges = [(low + 0.04 * (high - low), high - 0.04 * (high - low)) for low, high in ranges]  # room for the arrows
    outside = []
    for split in reversed(SPLITS):
        for index, points in enumerate(curves[split]):
            axes.plot(*zip(*points, strict=True), **_look(index, split), markevery=_marked(points))
            off = _off(points, ranges)
            outside += off
            for point in off:
                marker = ARROWS[_beyond(point, ranges)]
                x, y = map(_clamped, point, edges)
                axes.plot(x, y, color=COLORS[index], marker=marker, markersize=10, zorder=4)
    for index, (lines, points) in enumerate(zip(runs.values(), curves[""], strict=True)):
        if (at := best(lines)) is not None:
            axes.plot(*points[at], **_star(COLORS[index]))
    axes.set_title(panel.title.replace("-ELBO", "−ELBO"), loc="left")
    axes.set_title(_off_note(outside, ranges), loc="right", fontsize=8, fontweight="normal", color="#555555")
    axes.set(xlim=ranges[0], ylim=ranges[1], xlabel=_label(panel.x), ylabel=_label(panel.y))
    if panel.x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _label(key: str) -> str:
    return key if key == "epoch" else f"{LABELS[key].replace('-', '−')} ({UNIT})"


def _look(index: int, split: str) -> dict[str, Any]:
    """Runs differ by colour and marker, the splits by line and by whether the markers are filled."""
    look = {"color": COLORS[index], "marker": MARKERS[index], "markersize": 5.5, "linewidth": 1.8, "zorder": 3.0}
    if split:
        look |= {"linestyle": (0, (4, 2)), "linewidth": 1.3, "markerfacecolor": "white", "zorder": 2.0}
    return look


def _star(color: str) -> dict[str, Any]:
    look = {"color": color, "marker": "*", "markersize": 16, "linestyle": "", "zorder": 5}
    return look | {"markeredgecolor": "black", "markeredgewidth": 1.0}


def _marked(points: Sequence[Point]) -> list[int]:
    """Indices that get a marker: every few, and those with gaps on both sides, which no line shows."""
    step = math.ceil(len(points) / MARKS)
    shown = [False, *map(_drawn, points), False]
    alone = {i for i in range(len(points)) if not shown[i] and not shown[i + 2]}
    return sorted({*range(0, len(points), step), *alone})


def _legend(figure: Figure, names: Sequence[str]) -> None:
    """What the lines mean above the panels, the runs below."""
    from matplotlib.lines import Line2D

    looks = {label: _look(0, split) | {"color": "#555555"} for split, label in SPLITS.items()}
    kinds = [Line2D([], [], label=label, **look) for label, look in looks.items()]
    kinds.append(Line2D([], [], label="best epoch", **_star("#bbbbbb")))
    figure.legend(handles=kinds, loc="outside upper center", ncols=len(kinds), frameon=False)
    runs = [Line2D([], [], label=name, **_look(index, "")) for index, name in enumerate(names)]
    # A character is about 0.09 inches wide, the rest of an entry 0.7.
    widest = 0.7 + 0.09 * max(map(len, names))
    columns = max(1, min(len(runs), int((figure.get_figwidth() - 0.5) / widest)))
    figure.legend(handles=runs, loc="outside lower center", ncols=columns, frameon=False)


# in the terminal

LETTERS = "ABCDEFGH"
SIDE_BY_SIDE = 70
"""Columns from which on two panels stand side by side."""
KEY = f"{UNIT}; capital: validation; small: training; *: best; ^v<>: off scale"


def text(runs: Runs, panels: Sequence[str] = tuple(PANELS), *, width: int = 80, height: int = 23) -> list[str]:
    """The named panels in ASCII: lines of at most `width` characters (at least 24), about `height` of them.

    A run is a letter: a capital for its validation points, joined by dots, a small one for training. Where the panels
    have to stand one below the other there are more lines than `height`.

    Raises `DataError` where a panel would be empty.
    """
    across = 2 if len(panels) > 1 and width >= SIDE_BY_SIDE else 1
    names = "   ".join(f"{letter}={name}" for letter, name in zip(LETTERS, runs, strict=False))
    below = [line for part in (names, KEY) for line in textwrap.wrap(part, width, break_on_hyphens=False)]
    room = (height - len(below)) // math.ceil(len(panels) / across)
    if across == 1 < len(panels):
        room = 12
    columns = max((width - 3 * (across - 1)) // across, 24)
    blocks = [_block(runs, PANELS[name], columns, max(room, 8)) for name in panels]
    drawn = []
    for start in range(0, len(blocks), across):
        rows = zip(*blocks[start : start + across], strict=True)
        drawn += ["   ".join(parts).rstrip() for parts in rows]
    return [*drawn, *below]


def _block(runs: Runs, panel: Panel, width: int, height: int) -> list[str]:
    """A panel of exactly `height` lines of `width` characters."""
    curves = _curves(runs, panel)
    ranges = _ranges(curves, runs, panel, 0)
    top, bottom = (f"{limit:.4g}" for limit in reversed(ranges[1]))
    gutter = max(7, len(top), len(bottom))
    columns, rows = width - gutter - 1, height - 3
    cells = [[" "] * columns for _ in range(rows)]

    def put(point: Point, mark: str) -> None:
        x, y = (
            (_clamped(value, limits) - limits[0]) / (limits[1] - limits[0])
            for value, limits in zip(point, ranges, strict=True)
        )
        cells[round((1 - y) * (rows - 1))][round(x * (columns - 1))] = mark

    for points in curves[""]:
        for first, second in itertools.pairwise(points):
            for step in range(columns if _drawn(first) and _drawn(second) else 0):
                x, y = (a + (b - a) * step / columns for a, b in zip(first, second, strict=True))
                put((x, y), ".")
    for split in reversed(SPLITS):
        for letter, points in zip(LETTERS, curves[split], strict=False):
            for point in filter(_drawn, points):
                put(point, letter.lower() if split else letter)
            for point in _off(points, ranges):
                put(point, _beyond(point, ranges))
    for lines, points in zip(runs.values(), curves[""], strict=True):
        if (at := best(lines)) is not None and _drawn(points[at]):
            put(points[at], "*")
    outside = [point for group in curves.values() for points in group for point in _off(points, ranges)]
    sides = {0: top, rows - 1: bottom}
    low, high = (f"{value:.4g}" for value in ranges[0])
    note = _off_note(outside, ranges)
    if len(panel.title) + 2 + len(note) > width:
        note = ""
    foot = low + LABELS[panel.x].center(columns - len(low) - len(high)) + high
    return [
        (panel.title + note.rjust(width - len(panel.title)))[:width],
        *(f"{sides.get(index, ''):>{gutter}}|{''.join(row)}" for index, row in enumerate(cells)),
        " " * gutter + "+" + "-" * columns,
        " " * (gutter + 1) + foot[:columns].ljust(columns),
    ]

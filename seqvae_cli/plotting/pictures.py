"""Learning curves as pictures: KL, reconstruction, the one against the other, and -ELBO, an epoch a point.

`picture` gives the bytes of a PNG, SVG or PDF and needs matplotlib; `text` draws the same in ASCII and needs nothing.
"""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from seqvae_cli.errors import MachineError
from seqvae_cli.plotting import curves
from seqvae_cli.plotting.curves import Panel, Point, Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""The palette of Okabe and Ito (2008), told apart by the colour-blind; grey for its yellow, too pale on white."""
MARKERS = "os^DvPXh"
MOST = len(COLORS)
"""Runs in one picture, at most."""
ARROWS = {"^": r"$\uparrow$", "v": r"$\downarrow$", "<": r"$\leftarrow$", ">": r"$\rightarrow$"}
MARKS = 15
"""Markers on a curve, about; a longer curve has one every few epochs."""


# with matplotlib


def picture(runs: Runs, panels: Sequence[str] = tuple(curves.PANELS), kind: str = "png") -> bytes:
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


def figure(runs: Runs, panels: Sequence[str] = tuple(curves.PANELS)) -> Figure:
    """The named panels as a matplotlib figure without a window, in whatever style matplotlib has now."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    many = len(panels) > 1
    drawn = Figure(figsize=(10, 8) if many else (7, 5.2), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    axes = drawn.subplots(math.ceil(len(panels) / 2), 2 if many else 1, squeeze=False).flatten()
    for place, name in zip(axes, panels, strict=False):
        _draw(place, runs, curves.PANELS[name])
    for place in axes[len(panels) :]:
        place.remove()
    _legend(drawn, list(runs))
    return drawn


def _draw(axes: Axes, runs: Runs, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    by_split = curves.of_panel(runs, panel)
    ranges = curves.axes_of(by_split, runs, panel, 0.06)
    edges = [(low + 0.04 * (high - low), high - 0.04 * (high - low)) for low, high in ranges]  # room for the arrows
    outside = []
    for split in reversed(curves.SPLITS):
        for index, points in enumerate(by_split[split]):
            axes.plot(*zip(*points, strict=True), **_look(index, split), markevery=_marked(points))
            off = curves.off_scale(points, ranges)
            outside += off
            for point in off:
                marker = ARROWS[curves.edge_of(point, ranges)]
                x, y = map(curves.clamped, point, edges)
                axes.plot(x, y, color=COLORS[index], marker=marker, markersize=10, zorder=4)
    for index, (lines, points) in enumerate(zip(runs.values(), by_split[""], strict=True)):
        if (at := curves.best(lines)) is not None:
            axes.plot(*points[at], **_star(COLORS[index]))
    axes.set_title(panel.title.replace("-ELBO", "−ELBO"), loc="left")
    axes.set_title(curves.off_note(outside, ranges), loc="right", fontsize=8, fontweight="normal", color="#555555")
    axes.set(xlim=ranges[0], ylim=ranges[1], xlabel=_label(panel.x), ylabel=_label(panel.y))
    if panel.x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _label(key: str) -> str:
    return key if key == "epoch" else f"{curves.LABELS[key].replace('-', '−')} ({curves.UNIT})"


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
    shown = [False, *map(curves.drawn, points), False]
    alone = {i for i in range(len(points)) if not shown[i] and not shown[i + 2]}
    return sorted({*range(0, len(points), step), *alone})


def _legend(figure: Figure, names: Sequence[str]) -> None:
    """What the lines mean above the panels, the runs below."""
    from matplotlib.lines import Line2D

    looks = {label: _look(0, split) | {"color": "#555555"} for split, label in curves.SPLITS.items()}
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
KEY = f"{curves.UNIT}; capital: validation; small: training; *: best; ^v<>: off scale"


def text(runs: Runs, panels: Sequence[str] = tuple(curves.PANELS), *, width: int = 80, height: int = 23) -> list[str]:
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
    blocks = [_block(runs, curves.PANELS[name], columns, max(room, 8)) for name in panels]
    drawn = []
    for start in range(0, len(blocks), across):
        rows = zip(*blocks[start : start + across], strict=True)
        drawn += ["   ".join(parts).rstrip() for parts in rows]
    return [*drawn, *below]


def _block(runs: Runs, panel: Panel, width: int, height: int) -> list[str]:
    """A panel of exactly `height` lines of `width` characters."""
    by_split = curves.of_panel(runs, panel)
    ranges = curves.axes_of(by_split, runs, panel, 0)
    top, bottom = (f"{limit:.4g}" for limit in reversed(ranges[1]))
    gutter = max(7, len(top), len(bottom))
    columns, rows = width - gutter - 1, height - 3
    cells = [[" "] * columns for _ in range(rows)]

    def put(point: Point, mark: str) -> None:
        x, y = (
            (curves.clamped(value, limits) - limits[0]) / (limits[1] - limits[0])
            for value, limits in zip(point, ranges, strict=True)
        )
        cells[round((1 - y) * (rows - 1))][round(x * (columns - 1))] = mark

    for points in by_split[""]:
        for first, second in itertools.pairwise(points):
            for step in range(columns if curves.drawn(first) and curves.drawn(second) else 0):
                x, y = (a + (b - a) * step / columns for a, b in zip(first, second, strict=True))
                put((x, y), ".")
    for split in reversed(curves.SPLITS):
        for letter, points in zip(LETTERS, by_split[split], strict=False):
            for point in filter(curves.drawn, points):
                put(point, letter.lower() if split else letter)
            for point in curves.off_scale(points, ranges):
                put(point, curves.edge_of(point, ranges))
    for lines, points in zip(runs.values(), by_split[""], strict=True):
        if (at := curves.best(lines)) is not None and curves.drawn(points[at]):
            put(points[at], "*")
    outside = [point for group in by_split.values() for points in group for point in curves.off_scale(points, ranges)]
    sides = {0: top, rows - 1: bottom}
    low, high = (f"{value:.4g}" for value in ranges[0])
    note = curves.off_note(outside, ranges)
    if len(panel.title) + 2 + len(note) > width:
        note = ""
    foot = low + curves.LABELS[panel.x].center(columns - len(low) - len(high)) + high
    return [
        (panel.title + note.rjust(width - len(panel.title)))[:width],
        *(f"{sides.get(index, ''):>{gutter}}|{''.join(row)}" for index, row in enumerate(cells)),
        " " * gutter + "+" + "-" * columns,
        " " * (gutter + 1) + foot[:columns].ljust(columns),
    ]

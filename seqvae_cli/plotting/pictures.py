"""Learning curves as pictures, with matplotlib: KL, reconstruction, one against the other, and -ELBO; a point an epoch.

`picture` returns the bytes of a PNG, SVG or PDF file.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from seqvae_cli.errors import MachineError
from seqvae_cli.plotting import curves
from seqvae_cli.plotting.curves import Panel, Point, Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_FORMATS = ("png", "svg", "pdf")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""The colour-blind-safe palette of Okabe and Ito (2008), with grey for yellow, which is too pale on white."""
MARKERS = "os^DvPXh"
MAX_RUNS = len(COLORS)
"""Runs in one picture."""
ARROWS = {"^": r"$\uparrow$", "v": r"$\downarrow$", "<": r"$\leftarrow$", ">": r"$\rightarrow$"}
MAX_MARKERS = 15
"""Markers at regular epochs on one curve."""


def picture(runs: Runs, panels: Sequence[str] = tuple(curves.PANELS), kind: str = "png") -> bytes:
    """The named panels as a file of a kind in `PICTURE_FORMATS`; the same input gives the same bytes.

    Raises `MachineError` where matplotlib is missing, `DataError` for an empty panel.
    """
    return render(lambda: figure(runs, panels), kind)


def render(draw: Callable[[], Figure], kind: str) -> bytes:
    """The figure made by `draw`, in the common style, as a file of a kind in `PICTURE_FORMATS`.

    Raises `MachineError` where matplotlib is missing.
    """
    try:
        from matplotlib import style
    except ImportError as error:
        message = "matplotlib, which draws pictures, " + (
            "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded: {error}"
        )
        raise MachineError(
            message,
            "pip install '.[plot]' in a clone of the repository; --text draws curves in the terminal without it",
        ) from error
    rc = {
        "font.size": 11,
        "axes.titlesize": 13,
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "pdf.fonttype": 42,
        "svg.hashsalt": "seqvae",  # SVG ids are random without it
    }
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    # Based on matplotlib's defaults, so that neither the user's matplotlibrc nor a caller's settings matter.
    with style.context(["default", rc]):
        buffer = io.BytesIO()
        draw().savefig(buffer, format=kind, dpi=150, metadata=metadata[kind])
    return buffer.getvalue()


def figure(runs: Runs, panels: Sequence[str] = tuple(curves.PANELS)) -> Figure:
    """The named panels as a matplotlib figure without a window, in matplotlib's current style."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    many = len(panels) > 1
    fig = Figure(figsize=(10, 8) if many else (7, 5.2), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    axes = fig.subplots(math.ceil(len(panels) / 2), 2 if many else 1, squeeze=False).flatten()
    for panel_axes, name in zip(axes, panels, strict=False):
        _draw(panel_axes, runs, curves.PANELS[name])
    for unused in axes[len(panels) :]:
        unused.remove()
    _legend(fig, list(runs))
    return fig


def _draw(axes: Axes, runs: Runs, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    by_split = curves.panel_curves(runs, panel)
    ranges = curves.axis_ranges(by_split, runs, panel, 0.06)
    edges = [(low + 0.04 * (high - low), high - 0.04 * (high - low)) for low, high in ranges]  # room for the arrows
    outside = []
    for split in reversed(curves.SPLITS):
        for index, points in enumerate(by_split[split]):
            axes.plot(*zip(*points, strict=True), **_line_style(index, split), markevery=_marker_indices(points))
            off = curves.off_scale(points, ranges)
            outside += off
            for point in off:
                marker = ARROWS[curves.edge_marker(point, ranges)]
                x, y = map(curves.clamped, point, edges)
                axes.plot(x, y, color=COLORS[index], marker=marker, markersize=10, zorder=4)
    for index, (lines, points) in enumerate(zip(runs.values(), by_split[""], strict=True)):
        if (at := curves.best_line(lines)) is not None:
            axes.plot(*points[at], **_star_style(COLORS[index]))
    axes.set_title(panel.title.replace("-ELBO", "−ELBO"), loc="left")
    axes.set_title(
        curves.off_scale_note(outside, ranges), loc="right", fontsize=8, fontweight="normal", color="#555555"
    )
    axes.set(xlim=ranges[0], ylim=ranges[1], xlabel=_label(panel.x), ylabel=_label(panel.y))
    if panel.x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _label(key: str) -> str:
    return key if key == "epoch" else f"{curves.LABELS[key].replace('-', '−')} ({curves.UNIT})"


def _line_style(index: int, split: str) -> dict[str, Any]:
    """Runs differ in colour and marker, splits in line style and marker fill."""
    style = {"color": COLORS[index], "marker": MARKERS[index], "markersize": 5.5, "linewidth": 1.8, "zorder": 3.0}
    if split:
        style |= {"linestyle": (0, (4, 2)), "linewidth": 1.3, "markerfacecolor": "white", "zorder": 2.0}
    return style


def _star_style(color: str) -> dict[str, Any]:
    style = {"color": color, "marker": "*", "markersize": 16, "linestyle": "", "zorder": 5}
    return style | {"markeredgecolor": "black", "markeredgewidth": 1.0}


def _marker_indices(points: Sequence[Point]) -> list[int]:
    """Indices of the points with a marker: regular ones, and those between two gaps, which no line reaches."""
    step = math.ceil(len(points) / MAX_MARKERS)
    drawable = [False, *map(curves.is_drawable, points), False]
    isolated = {i for i in range(len(points)) if not drawable[i] and not drawable[i + 2]}
    return sorted({*range(0, len(points), step), *isolated})


def _legend(figure: Figure, names: Sequence[str]) -> None:
    """A legend of line styles above the panels, and one of runs below."""
    from matplotlib.lines import Line2D

    styles = {label: _line_style(0, split) | {"color": "#555555"} for split, label in curves.SPLITS.items()}
    kinds = [Line2D([], [], label=label, **style) for label, style in styles.items()]
    kinds.append(Line2D([], [], label="best epoch", **_star_style("#bbbbbb")))
    figure.legend(handles=kinds, loc="outside upper center", ncols=len(kinds), frameon=False)
    runs = [Line2D([], [], label=name, **_line_style(index, "")) for index, name in enumerate(names)]
    # A character is about 0.09 inches wide, the rest of an entry 0.7 inches.
    widest = 0.7 + 0.09 * max(map(len, names))
    columns = max(1, min(len(runs), int((figure.get_figwidth() - 0.5) / widest)))
    figure.legend(handles=runs, loc="outside lower center", ncols=columns, frameon=False)

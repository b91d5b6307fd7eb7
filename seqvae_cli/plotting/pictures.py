"""Learning curves as pictures, with matplotlib: KL, reconstruction, one against the other, and -ELBO; a point an epoch.

`picture` returns the bytes of a PNG, SVG or PDF file.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from seqvae_cli.errors import MachineError
from seqvae_cli.plotting import curves
from seqvae_cli.plotting.curves import Panel, Point, Range, Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

PICTURE_FORMATS = ("png", "svg", "pdf")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""The colour-blind-safe palette of Okabe and Ito (2008), with grey for yellow, which is too pale on white."""
MARKERS = "os^DvPXh"
MAX_RUNS = len(COLORS)
"""Runs in one picture."""
ARROWS = {"^": r"$\uparrow$", "v": r"$\downarrow$", "<": r"$\leftarrow$", ">": r"$\rightarrow$"}
MARGIN = 0.06
"""Room between the points and the ends of an axis, a fraction of its range."""
ARROW_ROOM = 0.09
"""Room for arrows beyond that, a fraction of the range."""
ARROW_SIZE = 10
BAR = 6
"""Height of a row of bars with its gap, points."""
PHASE_STYLES: dict[str, dict[str, Any]] = {
    "pretraining": {"linewidth": 4, "solid_capstyle": "butt"},
    "annealing": {"linewidth": 4, "solid_capstyle": "butt", "alpha": 0.4},
    "aggressive": {"linewidth": 4, "linestyle": (0, (0.7, 0.5))},
}
"""How the bar of a phase is drawn; the keys are those of `curves.PHASES`."""
ENTROPY_STYLE: dict[str, Any] = {"color": "#555555", "linestyle": (0, (1, 1.5)), "linewidth": 1.6, "zorder": 1}
MAX_MARKERS = 15
"""Markers at regular epochs on one curve."""
INSTALL = 'pip install "seqvae[plot]"; --text draws curves in the terminal without it'


def picture(runs: Runs, panels: Sequence[str] = tuple(curves.PANELS), kind: str = "png") -> bytes:
    """The named panels as a file of a kind in `PICTURE_FORMATS`; the same input gives the same bytes.

    Raises `MachineError` where matplotlib is missing, `DataError` for an empty panel.
    """
    return render(lambda: figure(runs, panels), kind)


def check_library(hint: str = INSTALL) -> None:
    """Raises `MachineError` with `hint` where matplotlib is missing."""
    try:
        from matplotlib import style  # noqa: F401
    except ImportError as error:
        message = "matplotlib, which draws pictures, " + (
            "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded: {error}"
        )
        raise MachineError(message, hint) from error


def render(draw: Callable[[], Figure], kind: str) -> bytes:
    """The figure made by `draw`, in the common style, as a file of a kind in `PICTURE_FORMATS`.

    Raises `MachineError` where matplotlib is missing.
    """
    check_library()
    from matplotlib import style

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
    with style.context(["default", rc]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a label in a script that the font lacks is drawn as boxes
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
    drawn = [_draw(fig, place, runs, curves.PANELS[name]) for place, name in zip(axes, panels, strict=False)]
    for unused in axes[len(panels) :]:
        unused.remove()
    _legend(fig, runs, [curves.PANELS[name] for name in panels], arrows=any(drawn))
    return fig


def _draw(figure: Figure, axes: Axes, runs: Runs, panel: Panel) -> bool:
    """Draws a panel; returns whether points lie beyond its axes."""
    from matplotlib.ticker import MaxNLocator

    by_split = curves.panel_curves(runs, panel)
    ranges = curves.axis_ranges(by_split, runs, panel, MARGIN)
    outside = []
    for split in reversed(curves.SPLITS):
        for index, points in enumerate(by_split[split]):
            axes.plot(*zip(*points, strict=True), **_line_style(index, split), markevery=_marker_indices(points))
            off = curves.off_scale(points, ranges)
            outside += off
            for point in off:
                marker = ARROWS[curves.edge_marker(point, ranges)]
                x, y = (_arrow_place(value, limits) for value, limits in zip(point, ranges, strict=True))
                axes.plot(x, y, color=COLORS[index], marker=marker, markersize=ARROW_SIZE, zorder=4)
    for index, (run, points) in enumerate(zip(runs.values(), by_split[""], strict=True)):
        if best := curves.best_point(run, points):
            axes.plot(*best, **_star_style(COLORS[index]))
    for entropy in curves.entropies(runs, panel):
        axes.axhline(entropy, **ENTROPY_STYLE)
    columns = list(zip(*outside, strict=True)) or [(), ()]
    across, up = (_with_room(limits, values) for limits, values in zip(ranges, columns, strict=True))
    bars = panel.x == "epoch" and any(run.phases for run in runs.values())
    if bars:
        _draw_phases(figure, axes, runs, across)
    pad = 6 + (BAR * len(runs) + 2 if bars else 0)  # points
    note = curves.off_scale_note(outside, ranges)
    place: dict[str, Any] = {"xycoords": "axes fraction", "xytext": (0, pad), "textcoords": "offset points"}
    axes.annotate(note, (1, 1), ha="right", va="bottom", fontsize=8, color="#555555", **place)
    if note and panel.x != "epoch":
        pad += 12  # its title and the note are too long for one line
    axes.set_title(panel.title.replace("-ELBO", "−ELBO"), loc="left", pad=pad)
    axes.set(xlim=across, ylim=up, xlabel=_label(panel.x), ylabel=_label(panel.y))
    if panel.x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return bool(outside)


def _with_room(limits: Range, values: Sequence[float]) -> Range:
    """The limits of an axis, with room for arrows on the sides where `values` lie beyond them."""
    low, high = limits
    room = ARROW_ROOM * (high - low)
    return low - room * any(value < low for value in values), high + room * any(value > high for value in values)


def _arrow_place(value: float, limits: Range) -> float:
    """`value`, or where the arrow to it stands: beyond the limits, where no point is."""
    low, high = limits
    room = ARROW_ROOM * (high - low) / 2
    return high + room if value > high else low - room if value < low else value


def _draw_phases(figure: Figure, axes: Axes, runs: Runs, limits: Range) -> None:
    """A row of bars above the panel for each run: its phases, as far as the axis reaches."""
    from matplotlib.transforms import offset_copy

    for row, run in enumerate(runs.values()):
        place = offset_copy(axes.get_xaxis_transform(), figure, y=BAR * (row + 0.5) + 1, units="points")
        for phase in run.phases:
            ends = [curves.clamped(end, limits) for end in (phase.start, phase.end)]
            style = PHASE_STYLES[phase.name] | {"color": COLORS[row], "clip_on": False}
            axes.plot(ends, [1, 1], transform=place, **style)


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


def _legend(figure: Figure, runs: Runs, panels: Sequence[Panel], arrows: bool) -> None:
    """A legend of line styles, phases and the entropy above the panels, and one of runs below."""
    from matplotlib.lines import Line2D

    grey: dict[str, Any] = {"color": "#555555"}
    kinds = [Line2D([], [], label=label, **_line_style(0, split) | grey) for split, label in curves.SPLITS.items()]
    if any(run.best_epoch for run in runs.values()):
        kinds.append(Line2D([], [], label="best epoch", **_star_style("#bbbbbb")))
    if arrows:
        style: dict[str, Any] = {"marker": ARROWS["^"], "markersize": ARROW_SIZE, "linestyle": ""}
        kinds.append(Line2D([], [], label="point beyond the axis", **style | grey))
    if any(panel.x == "epoch" for panel in panels):
        numbers = (line.get("epoch") for run in runs.values() for line in run.lines)
        first = min((number for number in numbers if number is not None), default=1)  # where the axis begins
        drawn = {phase.name for run in runs.values() for phase in run.phases if phase.end >= first}
        bars = [(PHASE_STYLES[name], label) for name, label in curves.PHASES.items() if name in drawn]
        kinds += [Line2D([], [], label=label, **style | grey) for style, label in bars]
    if any(curves.entropies(runs, panel) for panel in panels):
        kinds.append(Line2D([], [], label=curves.entropy_label(runs), **ENTROPY_STYLE))
    places: tuple[Any, Any] = ("outside upper center", "outside lower center")
    for handles, place in zip((kinds, _run_handles(runs)), places, strict=True):
        # A character is about 0.09 inches wide, the rest of an entry 0.7 inches.
        widest = 0.7 + 0.09 * max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(len(handles), int((figure.get_figwidth() - 0.5) / widest)))
        figure.legend(handles=handles, loc=place, ncols=columns, frameon=False)


def _run_handles(runs: Runs) -> list[Line2D]:
    from matplotlib.lines import Line2D

    return [Line2D([], [], label=name, **_line_style(index, "")) for index, name in enumerate(runs)]

"""The latent space of a run as a picture: the rate of each dimension over the epochs, and the posterior means in 2-D.

`picture` draws the means of `projection` beside the rates in `metrics.jsonl`. Every picture has the same logarithmic
colour scale of rates, `RATE_RANGE`, which keeps low rates visible beside the high ones of a pretraining.

Shapes: N sentences, G groups of the KL (a dimension each, or one in all), E epochs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.labels import LENGTH
from seqvae_cli.errors import counted
from seqvae_cli.plotting import curves, pictures
from seqvae_cli.plotting.projection import NO_COLOR, OTHER_COLOR, Means

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Sequence[Mapping[str, Any]]
"""The lines of a run's `metrics.jsonl`."""

MAX_NAME = 30
"""Characters of the name of a value in a legend, at most."""
RATE_RANGE = (0.01, 10.0)
"""Range of the colour scale, nats a sentence; a dimension below it is practically unused."""
RATE_TICKS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10)
MAX_NAMED = 64
"""Dimensions up to which each row is labelled with its index; more have only ranks."""


def rates(lines: Lines) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The epochs with rates, [E], ascending; the rate of each group of the KL, [G, E], nats a sentence.

    Skips lines whose rates cannot be drawn, or whose number of groups differs from that of the last epoch. Without any
    rates: shapes [0] and [0, 0].
    """
    found: dict[int, list[float]] = {}
    for line in lines:
        epoch, values = line.get("epoch"), line.get("rate_by_dimension")
        if isinstance(epoch, int) and isinstance(values, list) and values and all(map(_drawable, [epoch, *values])):
            found[epoch] = values
    if not found:
        return np.zeros(0, np.int64), np.zeros((0, 0))
    groups = len(found[max(found)])
    kept = sorted(epoch for epoch, values in found.items() if len(values) == groups)
    return np.array(kept), np.array([found[epoch] for epoch in kept], dtype=np.float64).T


def _drawable(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < curves.MAX_VALUE


def picture(name: str, lines: Lines, means: Means, kind: str = "png") -> bytes:
    """Both panels of the run `name` as a file of a kind in `pictures.PICTURE_FORMATS`; equal input gives equal bytes.

    Raises `MachineError` where matplotlib is missing.
    """
    return pictures.render(lambda: figure(name, lines, means), kind)


def figure(name: str, lines: Lines, means: Means) -> Figure:
    """Both panels as a matplotlib figure without a window, in matplotlib's current style."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    fig = Figure(figsize=(14, 6.5), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.04))
    left, right = fig.subplots(1, 2)
    epoch = next((line.get("epoch") for line in lines if line.get("step") == means.step), None)
    epochs, values = rates(lines)
    _draw_rates(left, epochs, values)
    _draw_means(right, means)
    note = sentences_of(means)
    if epoch in epochs:
        left.plot(epoch, 1.025, "k*", markersize=10, transform=left.get_xaxis_transform(), clip_on=False)
        note += f", weights of epoch {epoch} (★)"
    _titles(right, "Posterior means", "")
    # Below the title: a long name of a file would run into it.
    place: dict[str, Any] = {"xycoords": "axes fraction", "xytext": (0, 5), "textcoords": "offset points"}
    right.annotate(note, (0, 1), fontsize=9, color="#555555", **place)
    fig.suptitle(name)
    return fig


def sentences_of(means: Means) -> str:
    """How many sentences there are, of what."""
    count = len(means.points)
    share = f"{count:,} of " if means.total > count else ""
    return f"{share}{counted(max(count, means.total), 'sentence')}{f' of {_plain(means.source)}' * bool(means.source)}"


def _draw_rates(axes: Axes, epochs: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    from matplotlib.ticker import MaxNLocator

    if not len(epochs):
        _titles(axes, "KL of each dimension", "")
        axes.text(0.5, 0.5, "The metrics of this run\nlack the KL of each dimension.", ha="center", va="center")
        axes.set_axis_off()
        return
    if len(values) == 1:
        _curve(axes, epochs, values[0])
    else:
        _heat_map(axes, epochs, values)
    title = "KL" if len(values) == 1 else "KL of each dimension"
    _titles(axes, title, f"{values[:, -1].sum():.3g} nats in the last epoch")
    axes.set(xlabel="epoch", xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _titles(axes: Axes, title: str, note: str) -> None:
    """Titles padded for the star of the epoch, which lies between them and the panel."""
    axes.set_title(title, loc="left", pad=18)
    axes.set_title(note, loc="right", pad=18, fontsize=9, fontweight="normal", color="#555555")


def _heat_map(axes: Axes, epochs: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """A row a dimension, the highest KL in the last epoch on top; epochs without rates are grey."""
    from matplotlib.colors import LogNorm

    order = np.argsort(-values[:, -1], kind="stable")
    edges = np.unique(np.concatenate([epochs - 0.5, epochs + 0.5]))
    cells = np.full((len(values), len(edges) - 1), np.nan)
    cells[:, np.searchsorted(edges, epochs - 0.5)] = np.maximum(values[order], RATE_RANGE[0])
    rows = np.arange(len(values) + 1) + 0.5
    axes.grid(False)
    axes.set_facecolor("#cccccc")
    mesh = axes.pcolormesh(edges, rows, cells, norm=LogNorm(*RATE_RANGE), cmap="YlGnBu", rasterized=True)
    bar = axes.figure.colorbar(mesh, ax=axes, extend="both", ticks=RATE_TICKS, format="{x:g}", pad=0.02)
    bar.ax.minorticks_off()
    bar.set_label(f"KL ({curves.UNIT})")
    axes.set(ylim=(rows[-1], rows[0]), ylabel="rank of the dimension by its KL in the last epoch")
    if len(values) <= MAX_NAMED:
        axes.set_ylabel("dimension, the highest KL in the last epoch on top")
        axes.set_yticks(rows[:-1] + 0.5, order, fontsize=min(9.0, 300 / len(values)))
        axes.tick_params(axis="y", length=0)


def _curve(axes: Axes, epochs: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """The KL of a posterior that has only one group."""
    from matplotlib.ticker import LogLocator

    marker_step = math.ceil(len(epochs) / pictures.MAX_MARKERS)
    axes.plot(
        epochs, values, color=pictures.COLORS[0], linewidth=1.8, marker="o", markersize=5.5, markevery=marker_step
    )
    axes.set_ylabel(f"KL ({curves.UNIT})")
    low = max(values.min(), RATE_RANGE[0])
    if values.max() > 10 * low:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(bottom=low / 2)
    else:
        axes.set_ylim(bottom=min(values.min(), 0))


def _draw_means(axes: Axes, means: Means) -> None:
    scatter(axes, means)
    axes.update_datalim([(-1, -1), (1, 1)])  # the prior's scale, so that a collapsed posterior shows
    for axis, number, share in zip((axes.xaxis, axes.yaxis), means.components, means.variance, strict=True):
        axis.set_label_text(f"principal component {number} ({share:.1%} of the variance)")


def scatter(axes: Axes, means: Means) -> None:
    """The points with their colours, and a legend or a scale, on axes of equal units."""
    style = {"s": min(24, max(6, 30_000 / len(means.points))), "linewidths": 0, "zorder": 2}
    if means.values:
        _scatter_by_value(axes, means, style)
    else:
        _scatter_by_number(axes, means, style)
    axes.set_aspect("equal", adjustable="datalim")


def _scatter_by_number(axes: Axes, means: Means, style: Mapping[str, Any]) -> None:
    import matplotlib
    from matplotlib.colors import ListedColormap
    from matplotlib.ticker import MaxNLocator

    shades = matplotlib.colormaps["plasma"](np.linspace(0, 0.92, 256))  # without its yellow, too pale on white
    colormap = ListedColormap(shades).with_extremes(bad=NO_COLOR)
    low, high = np.nanquantile(means.labels, [0.01, 0.99])  # outliers must not compress the colour scale
    whole = means.color == LENGTH
    x, y = means.points.T
    scatter = axes.scatter(x, y, **style, plotnonfinite=True)
    scatter.set(
        array=means.labels, cmap=colormap, clim=(low, max(high, low + 1) if whole or high <= low else high)
    )  # not `c`, which reads three numbers as one colour
    ticks = MaxNLocator(integer=whole)
    bar = axes.figure.colorbar(scatter, ax=axes, extend="both", ticks=ticks, pad=0.02)
    missing = " (grey: none)" if np.isnan(means.labels).any() else ""
    bar.set_label("sentence length (tokens)" if whole else f"{_plain(means.color)}{missing}")


def _plain(text: str) -> str:
    """A text from data for a legend: short, in one line, no control characters, mathematics or hidden name."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
    shown = shown if len(shown) <= MAX_NAME else f"{shown[: MAX_NAME - 1]}…"
    return f"{' ' * shown.startswith('_')}{shown}".replace("$", r"\$")


def _scatter_by_value(axes: Axes, means: Means, style: Mapping[str, Any]) -> None:
    from matplotlib.lines import Line2D

    colors = [means.palette[label] for label in means.labels]
    order = np.argsort([color not in (OTHER_COLOR, NO_COLOR) for color in colors], kind="stable")  # grey lies below
    x, y = means.points[order].T
    axes.scatter(x, y, c=[colors[row] for row in order], **style)
    handles = [
        Line2D([], [], color=color, label=_plain(value), marker="o", linestyle="")
        for value, color in zip(means.values, means.palette, strict=False)
    ]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "borderaxespad": 0}
    axes.legend(handles=handles, title=_plain(means.color), alignment="left", frameon=False, handletextpad=0.2, **place)

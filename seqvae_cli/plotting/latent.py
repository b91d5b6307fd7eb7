"""The latent space of a run as a picture: the rate of each dimension over the epochs, and the posterior means in 2-D.

`project` encodes sentences with the run's best weights and puts their posterior means on their first two principal
components; `picture` draws them beside the rates in the lines of `metrics.jsonl`. The colour of a rate is the same in
every picture, from `LEAST` to `MOST` nats on a logarithmic scale, so that the high rates of a pretraining do not press
the rest flat.

Shapes: N sentences, L latent dimensions, G groups of the KL (a dimension each, or one in all), E epochs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.batching import Indices
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.model import SentenceVAE
from seqvae_cli.plotting import curves, pictures
from seqvae_cli.system.progress import Advance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Sequence[Mapping[str, Any]]
"""The lines of a run's `metrics.jsonl`."""

LENGTH = "length"
"""What points are coloured by unless a factor is named."""
POINTS = 5000
"""Sentences in one picture, at most."""
LEAST, MOST = 0.01, 10.0
"""Nats a sentence at which the colours of the rates end; a dimension below the least is as good as unused."""
TICKS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10)
NAMED = 64
"""Dimensions up to which each is named at its row; more of them are only counted."""


@dataclass(frozen=True)
class Means:
    """Posterior means of N sentences in the plane of their first two principal components."""

    points: NDArray[np.float64]
    """[N, 2], the centre of all at 0."""
    variance: tuple[float, float]
    """Share of the variance along each of the two, 0 to 1."""
    color: str
    """`length`, or the factor of the corpus that the points are coloured by."""
    labels: Indices
    """[N]: the length in tokens (`<eos>` not counted), or the index of the factor's value."""
    values: tuple[str, ...]
    """The values of the factor; none for the length."""
    split: str
    step: int
    """The training step of the weights."""


@dataclass(frozen=True)
class _Selected:
    """Some sentences of a split."""

    split: metrics.SplitLike
    rows: Indices

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        return self.split[int(self.rows[index])]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.split.lengths[self.rows]


def colors(corpus: Corpus) -> tuple[str, ...]:
    """What the sentences of a corpus can be coloured by: their length, and the hidden factors that it knows."""
    return LENGTH, *_factors(corpus)


def _factors(corpus: Corpus) -> dict[str, list[str]]:
    """The values of each factor, in their order."""
    return dict(corpus.info.get("toy", {}).get("factors", {}))


def project(
    network: SentenceVAE,
    corpus: Corpus,
    split: str = "valid",
    color: str = LENGTH,
    *,
    step: int,
    most: int = POINTS,
    watch: Advance | None = None,
) -> Means:
    """The posterior means of at most `most` sentences, evenly spread over the split.

    `corpus` is the one that the network was trained on, `step` the training step of its weights. Raises `UsageError`
    for an unknown colour or a bad split, `DataError` where the corpus is damaged or a mean is not finite.
    """
    if color not in colors(corpus):
        raise UsageError(f"corpus {corpus.name} has no factor {color!r}", f"known colours: {', '.join(colors(corpus))}")
    corpus.verify()
    data = corpus.split(split)
    if not len(data):
        raise UsageError(f"split {split!r} of corpus {corpus.name} is empty")
    rows = spread_indices(len(data), most)
    means = metrics.posteriors(network, _Selected(data, rows), watch=watch).mean.double().numpy()
    if not np.isfinite(means).all():
        raise DataError("the posterior means are not finite", "name another run")
    points, variance = principal(means)
    labels = data.lengths if color == LENGTH else corpus.factors(split)[color]
    values = tuple(_factors(corpus).get(color, ()))
    return Means(points, variance, color, labels[rows], values, split, step)


def spread_indices(count: int, most: int) -> Indices:
    """`most` of `count` indices at even distances, or all if there are fewer: [min(count, most)]."""
    kept = min(count, most)
    return np.arange(kept, dtype=np.int64) * count // kept


def principal(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Rows [N, L] on their first two principal components, [N, 2], and the share of the variance along each.

    By singular value decomposition (Hotelling 1933). Of the two signs of a component the one that makes its largest
    weight positive. Where there is no second component, or no variance at all, coordinates and shares are 0.
    """
    centered = means - means.mean(0)
    _, lengths, axes = np.linalg.svd(centered, full_matrices=False)
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(1)]
    found = centered @ (axes * np.sign(largest)[:, None])[:2].T
    points = np.zeros((len(means), 2))
    points[:, : found.shape[1]] = found
    shares = np.zeros(2)
    if total := np.square(lengths).sum():
        shares[: len(lengths)] = np.square(lengths[:2]) / total
    return points, (float(shares[0]), float(shares[1]))


def rates(lines: Lines) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The epochs that have rates [E], rising, and the rate of each group of the KL in them, [G, E] nats a sentence.

    Lines of another number of groups than the last, or whose rates are no numbers that can be drawn, are left out. No
    line with rates: [0], [0, 0].
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
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < curves.HUGE


# with matplotlib


def picture(name: str, lines: Lines, means: Means, kind: str = "png") -> bytes:
    """Both panels of the run `name` in one file of a kind in `plots.FORMATS`; the same input gives the same bytes.

    Raises `MachineError` where matplotlib is missing.
    """
    return pictures.rendered(lambda: figure(name, lines, means), kind)


def figure(name: str, lines: Lines, means: Means) -> Figure:
    """Both panels as a matplotlib figure without a window, in whatever style matplotlib has now."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    drawn = Figure(figsize=(14, 6.5), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.04))
    left, right = drawn.subplots(1, 2)
    epoch = next((line.get("epoch") for line in lines if line.get("step") == means.step), None)
    epochs, values = rates(lines)
    _draw_rates(left, epochs, values)
    _draw_means(right, means)
    shown = f"{len(means.points):,} sentences of {means.split}"
    if epoch in epochs:
        left.plot(epoch, 1.025, "k*", markersize=10, transform=left.get_xaxis_transform(), clip_on=False)
        shown += f", weights of epoch {epoch} (★)"
    _titles(right, "Posterior means", shown)
    drawn.suptitle(name)
    return drawn


def _draw_rates(axes: Axes, epochs: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    from matplotlib.ticker import MaxNLocator

    if not len(epochs):
        _titles(axes, "KL of each dimension", "")
        axes.text(0.5, 0.5, "The metrics of this run\nhold no KL of each dimension.", ha="center", va="center")
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
    """High enough for the star of the epoch between them and the panel."""
    axes.set_title(title, loc="left", pad=18)
    axes.set_title(note, loc="right", pad=18, fontsize=9, fontweight="normal", color="#555555")


def _heat_map(axes: Axes, epochs: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """A row a dimension, the highest KL in the last epoch on top; epochs without rates stay grey."""
    from matplotlib.colors import LogNorm

    order = np.argsort(-values[:, -1], kind="stable")
    edges = np.unique(np.concatenate([epochs - 0.5, epochs + 0.5]))
    cells = np.full((len(values), len(edges) - 1), np.nan)
    cells[:, np.searchsorted(edges, epochs - 0.5)] = np.maximum(values[order], LEAST)
    rows = np.arange(len(values) + 1) + 0.5
    axes.grid(False)
    axes.set_facecolor("#cccccc")
    mesh = axes.pcolormesh(edges, rows, cells, norm=LogNorm(LEAST, MOST), cmap="YlGnBu", rasterized=True)
    bar = axes.figure.colorbar(mesh, ax=axes, extend="both", ticks=TICKS, format="{x:g}", pad=0.02)
    bar.ax.minorticks_off()
    bar.set_label(f"KL ({curves.UNIT})")
    axes.set(ylim=(rows[-1], rows[0]), ylabel="rank of the dimension by its KL in the last epoch")
    if len(values) <= NAMED:
        axes.set_ylabel("dimension, the highest KL in the last epoch on top")
        axes.set_yticks(rows[:-1] + 0.5, order, fontsize=min(9.0, 300 / len(values)))
        axes.tick_params(axis="y", length=0)


def _curve(axes: Axes, epochs: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """The KL of a posterior whose dimensions cannot be told apart."""
    from matplotlib.ticker import LogLocator

    every = math.ceil(len(epochs) / pictures.MARKS)
    axes.plot(epochs, values, color=pictures.COLORS[0], linewidth=1.8, marker="o", markersize=5.5, markevery=every)
    axes.set_ylabel(f"KL ({curves.UNIT})")
    least = max(values.min(), LEAST)
    if values.max() > 10 * least:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(bottom=least / 2)
    else:
        axes.set_ylim(bottom=min(values.min(), 0))


def _draw_means(axes: Axes, means: Means) -> None:
    look = {"s": min(24, max(6, 30_000 / len(means.points))), "linewidths": 0, "zorder": 2}
    if means.values:
        _by_factor(axes, means, look)
    else:
        _by_length(axes, means, look)
    axes.update_datalim([(-1, -1), (1, 1)])  # at the prior's scale, a collapsed posterior looks like one
    axes.set_aspect("equal", adjustable="datalim")
    for axis, ordinal, share in zip((axes.xaxis, axes.yaxis), ("first", "second"), means.variance, strict=True):
        axis.set_label_text(f"{ordinal} principal component ({share:.1%} of the variance)")


def _by_length(axes: Axes, means: Means, look: Mapping[str, Any]) -> None:
    import matplotlib
    from matplotlib.colors import ListedColormap
    from matplotlib.ticker import MaxNLocator

    dark = ListedColormap(matplotlib.colormaps["plasma"](np.linspace(0, 0.92, 256)))  # its yellow is pale on white
    low, high = np.quantile(means.labels, [0.01, 0.99])  # a few very long sentences must not press the rest together
    x, y = means.points.T
    drawn = axes.scatter(x, y, **look)
    drawn.set(array=means.labels, cmap=dark, clim=(low, max(high, low + 1)))  # as `c`, three numbers were one colour
    bar = axes.figure.colorbar(drawn, ax=axes, extend="both", ticks=MaxNLocator(integer=True), pad=0.02)
    bar.set_label("sentence length (tokens)")


def _by_factor(axes: Axes, means: Means, look: Mapping[str, Any]) -> None:
    from matplotlib.lines import Line2D

    x, y = means.points.T
    axes.scatter(x, y, c=[pictures.COLORS[label] for label in means.labels], **look)
    handles = [
        Line2D([], [], color=color, label=value, marker="o", linestyle="")
        for value, color in zip(means.values, pictures.COLORS, strict=False)
    ]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "borderaxespad": 0}
    axes.legend(handles=handles, title=means.color, alignment="left", frameon=False, handletextpad=0.2, **place)

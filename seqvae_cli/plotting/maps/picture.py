"""A map as a picture, by matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqvae_cli.plotting import latent, pictures
from seqvae_cli.plotting.maps.map import Map
from seqvae_cli.plotting.maps.methods import METHODS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture(name: str, found: Map, kind: str = "png") -> bytes:
    """The map of the run `name` as a file of a kind in `pictures.PICTURE_FORMATS`; equal maps give equal bytes.

    Raises `MachineError` where matplotlib is missing.
    """
    return pictures.render(lambda: figure(name, found), kind)


def figure(name: str, found: Map) -> Figure:
    """The map as a matplotlib figure without a window, in matplotlib's current style."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    method, means = METHODS[found.method], found.coloured()
    fig = Figure(figsize=(9, 7.2), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    axes = fig.subplots()
    latent.scatter(axes, means)
    names = method.axes
    if found.method == "lda" and len(set(filter(None, found.labels[found.color].values))) == 2:
        names = (names[0], "first principal component of the rest")
    axes.set_title(name, loc="left", pad=20)
    place: dict[str, Any] = {"xycoords": "axes fraction", "xytext": (0, 6), "textcoords": "offset points"}
    note = f"posterior means by {method.title}: {latent.sentences_of(means)}"
    axes.annotate(note, (0, 1), fontsize=9, color="#555555", **place)
    if found.method == "pca":
        axes.update_datalim([(-1, -1), (1, 1)])  # the prior's scale, so that a collapsed posterior shows
    if any(names):
        shares = means.variance if found.method == "pca" else (None, None)
        for axis, label, share in zip((axes.xaxis, axes.yaxis), names, shares, strict=True):
            axis.set_label_text(label if share is None else f"{label} ({share:.1%} of the variance)")
    else:
        axes.grid(False)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color("#dddddd")
    return fig

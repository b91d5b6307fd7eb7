"""Methods that place codes on a plane: principal components, neighbourhoods (t-SNE, UMAP), linear discriminants.

`METHODS` is their table. Every method is deterministic: the same codes give the same points on one machine.

Shapes: N sentences, L latent dimensions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.labels import Label
from seqvae_cli.errors import MachineError, UsageError, counted, nearest
from seqvae_cli.plotting import linear

Array = NDArray[np.float64]

LEAST = 5
"""Sentences that a neighbourhood needs."""
PERPLEXITY = 30.0
"""The effective number of neighbours of t-SNE."""
NEIGHBOURS = 15
"""The neighbours of UMAP."""
INITIAL = 1e-4
"""Standard deviation of t-SNE's first points along the first axis; far apart at first, clusters would stay split."""
ENOUGH = 10
"""Sentences a dimension below which linear discriminants part values that are noise."""


class Method(NamedTuple):
    """A way to place codes on a plane."""

    title: str
    place: Callable[[Array, Label | None], Array]
    """Means [N, L], and the label to part or None -> points [N, 2]."""
    module: str = ""
    """The module that it needs beside numpy."""
    package: str = ""
    extra: str = ""
    axes: tuple[str, str] = ("", "")
    """What the axes are; empty where only the distances between near points mean something."""


def pca(means: Array, _: Label | None = None) -> Array:
    """The first two principal components (`linear.principal`)."""
    return linear.principal(means).place(means)


def tsne(means: Array, _: Label | None = None) -> Array:
    """t-SNE, from the principal components on.

    References: van der Maaten & Hinton 2008, "Visualizing Data using t-SNE"; van der Maaten 2014, "Accelerating t-SNE
    using Tree-Based Algorithms"; Kobak & Berens 2019, "The art of using t-SNE for single-cell transcriptomics" (the
    initialization).
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    first = pca(means)
    first *= INITIAL / first[:, 0].std()
    perplexity = min(PERPLEXITY, (len(means) - 1) / 3)
    method = TSNE(2, perplexity=perplexity, init=first.astype(np.float32), random_state=0)
    # One thread: each of 1,000 steps has threads wait for each other, which takes minutes beside a training.
    with threadpool_limits(1, user_api="openmp"), _without_warnings():
        return np.asarray(method.fit_transform(means.astype(np.float32)), dtype=np.float64)


def umap(means: Array, _: Label | None = None) -> Array:
    """UMAP, from the principal components on.

    References: McInnes, Healy & Melville 2018, "UMAP: Uniform Manifold Approximation and Projection".
    """
    with _without_warnings():  # at its import, too
        from umap import UMAP

        first = pca(means)
        if not first[:, 1].any():  # codes of one dimension: UMAP divides by the range of each axis
            first[:, 1] = np.random.default_rng(0).standard_normal(len(first))
        neighbours = min(NEIGHBOURS, len(means) - 1)
        method = UMAP(n_neighbors=neighbours, init=first.astype(np.float32), random_state=0, n_jobs=1)
        return np.asarray(method.fit_transform(means.astype(np.float32)), dtype=np.float64)


def lda(means: Array, label: Label | None) -> Array:
    """The two directions that part the values of `label` best (`linear.discriminants`)."""
    assert label is not None
    try:
        return linear.discriminants(means, label).place(means)
    except UsageError as error:
        raise UsageError(error.message, "--color takes another label; --method pca takes any") from error


METHODS = {
    "pca": Method("principal components", pca, axes=("principal component 1", "principal component 2")),
    "tsne": Method("t-SNE", tsne, "sklearn", "scikit-learn", "analysis"),
    "umap": Method("UMAP", umap, "umap", "umap-learn", "umap"),
    "lda": Method("linear discriminants", lda, axes=("discriminant 1", "discriminant 2")),
}
"""Name -> method."""

DEFAULTS = ("tsne", "umap", "pca")
"""The first of these that is installed is the default. On 5,000 sentences of toy, t-SNE keeps most neighbours."""


def default(count: int) -> str:
    """The method for `count` sentences where none is named."""
    return next(name for name in DEFAULTS if name == "pca" or (count >= LEAST and _installed(METHODS[name].module)))


def check(name: str) -> Method:
    """The method of that name. Raises `UsageError` for an unknown one, `MachineError` where its package is missing."""
    if name not in METHODS:
        raise UsageError(f"no method {name!r:.40}", nearest(str(name), METHODS))
    method = METHODS[name]
    if method.module and not _installed(method.module):
        raise MachineError(f"{method.title} needs the package {method.package}", install(name))
    return method


def install(name: str) -> str:
    """The command that installs what a method needs."""
    return f'pip install "seqvae[{METHODS[name].extra}]"'


def place(name: str, means: Array, label: Label | None = None) -> Array:
    """The points [N, 2] of the means [N, L] by a method; all 0 where the means are equal.

    Raises as `check` and the methods do, and `UsageError` for a neighbourhood of fewer than `LEAST` sentences.
    """
    method = check(name)
    if name in DEFAULTS[:-1] and len(means) < LEAST:
        raise UsageError(f"{method.title} needs {LEAST} sentences, not {len(means)}", "--method pca takes any number")
    if (means == means[0]).all():
        return np.zeros((len(means), 2))
    try:
        points = method.place(means, label)
    except ImportError as error:
        raise MachineError(f"{method.title} cannot be loaded: {error}", install(name)) from error
    if not np.isfinite(points).all():
        raise UsageError(f"{method.title} cannot place {counted(len(means), 'sentence')}", "--method pca places any")
    return points


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # a module without a specification, in sys.modules
        return False


def _without_warnings() -> warnings.catch_warnings[None]:
    return warnings.catch_warnings(action="ignore")

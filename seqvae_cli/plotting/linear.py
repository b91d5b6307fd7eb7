"""Linear maps of codes onto a plane: principal components, and linear discriminants.

Shapes: N codes, L latent dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.labels import Label
from seqvae_cli.errors import UsageError

MOST_CLASSES = 1000
"""Values of a label that linear discriminants part."""
FLAT = 1e-8
"""Variance of a direction below which it counts as none: a fraction of the largest."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """A projection onto two directions; it places codes that it was not made of, too."""

    center: Array
    """[L]."""
    axes: Array
    """[L, 2]."""
    variance: tuple[float, float] = (0.0, 0.0)
    """Fraction of the variance along each axis, of principal components."""

    def place(self, codes: NDArray[np.floating[Any]]) -> Array:
        """[N, L] -> [N, 2]."""
        placed: Array = (codes.astype(np.float64) - self.center) @ self.axes
        return placed


def principal(codes: NDArray[np.floating[Any]], components: tuple[int, int] = (1, 2)) -> Linear:
    """Two of the principal components of codes [N, L], by their numbers from 1.

    By singular value decomposition (Hotelling 1933). The sign of a component makes its largest weight positive. The
    axis and the fraction of an absent component, and of all where codes do not vary, are 0.
    """
    values = codes.astype(np.float64)
    center = values.mean(0)
    _, lengths, directions = np.linalg.svd(values - center, full_matrices=False)
    total = np.square(lengths).sum()
    axes, shares = np.zeros((values.shape[1], 2)), [0.0, 0.0]
    for place, number in enumerate(components):
        if number <= len(directions) and total:
            axes[:, place] = _signed(directions[number - 1])
            shares[place] = float(np.square(lengths[number - 1]) / total)
    return Linear(center, axes, (shares[0], shares[1]))


def discriminants(codes: NDArray[np.floating[Any]], label: Label) -> Linear:
    """The two directions that part the values of `label` best: the first two linear discriminants of codes [N, L].

    Of two values there is one; the second axis is then the first principal component of what it leaves. Within the
    values, the standard deviation along a discriminant is 1. Codes without a value part nothing. Directions along which
    no value varies are left out, as scikit-learn does. Raises `UsageError` for a label with fewer than two values, or
    over `MOST_CLASSES`.

    References: Rao 1948, "The utilization of multiple measurements in problems of biological classification".
    """
    named = np.array([bool(value) for value in label.values], bool)[label.indices]
    classes, places, sizes = np.unique(label.indices[named], return_inverse=True, return_counts=True)
    count = len(classes)
    if not 2 <= count <= MOST_CLASSES or count == len(places):
        few = "each in one sentence" if count and count == len(places) else f"it takes 2 to {MOST_CLASSES:,}"
        message = f"linear discriminants part the values of a label; here are {count}: {few}"
        raise UsageError(message, "take another label, or principal components")
    values = codes.astype(np.float64)
    known = values[named]
    means = np.zeros((count, values.shape[1]))
    np.add.at(means, places, known)
    means /= sizes[:, None]
    within = known - means[places]
    spread = within.std(0)
    spread[spread == 0] = 1  # so that all dimensions weigh the same
    variances, turned = np.linalg.eigh((within / spread).T @ (within / spread) / len(known))
    kept = variances > FLAT * variances[-1]
    whiten = turned[:, kept] / np.sqrt(variances[kept]) / spread[:, None]  # codes @ whiten vary by I within a value
    offsets = np.sqrt(sizes)[:, None] * (means - known.mean(0))
    _, strengths, directions = np.linalg.svd(offsets @ whiten, full_matrices=False)
    axes = np.zeros((values.shape[1], 2))
    found = min(2, count - 1, int((strengths > FLAT).sum()))
    for place in range(found):
        axes[:, place] = _signed(whiten @ directions[place])
    if found < 2:
        axes[:, 1] = _rest(values, axes[:, 0])
    return Linear(values.mean(0), axes)


def _rest(values: Array, axis: Array) -> Array:
    """The first principal component of what an axis leaves of codes [N, L], with a standard deviation of 1."""
    unit = axis / (np.linalg.norm(axis) or 1.0)
    rest = principal(values - np.outer(values @ unit, unit))
    spread = rest.place(values).std(0)[0] if rest.variance[0] else 0.0
    return rest.axes[:, 0] / spread if spread > FLAT * values.std() else np.zeros(len(axis))


def _signed(axis: Array) -> Array:
    signed: Array = axis * np.sign(axis[np.abs(axis).argmax()])
    return signed

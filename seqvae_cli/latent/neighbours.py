"""The nearest sentences in the latent space: exact search among the codes of a `CodeSet`, in blocks.

Every metric is a bilinear form of features of the two posteriors. One matrix product bounds the distances of all pairs
of a block from below; only pairs that may be among the nearest are then computed by differences, in float64. The answer
is that of the differences alone, and equal codes have the distance 0.

Shapes: M queries, B candidates of a block, P pairs, L latent dimensions, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from seqvae_cli.errors import UsageError, nearest
from seqvae_cli.latent import generate
from seqvae_cli.latent.arguments import check_counts
from seqvae_cli.latent.code_sets import CodeSet
from seqvae_cli.model import SentenceVAE

QUERIES = 256
"""Sentences of a stream that are looked up together, at most."""
ROWS = 2**14
"""Candidates of a block, at most."""
PAIRS = 2**20
"""Pairs of a query and a candidate in one matrix product, at most."""
REFINED = 2**15
"""Pairs whose distance is computed by differences at once."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Neighbour:
    """A sentence near another one."""

    sentence: str
    distance: float
    """In the metric that was asked for; of `kl` in nats."""
    place: int
    """Its place among the candidates, from 0: the row of its split, file or list."""
    id: str | None = None
    """Its id, where the corpus or the table has ids."""
    labels: dict[str, str] = field(default_factory=dict)
    """Its labels by name, where the corpus or the table has labels."""


class Metric(NamedTuple):
    """A distance between two posteriors, given as means and scales: float64 [..., L] each."""

    query: Callable[[Numbers, Numbers], Numbers]
    """Features of queries, [M, F]; their product with those of candidates is what `exact` computes."""
    candidate: Callable[[Numbers, Numbers], Numbers]
    """Features of candidates, [B, F]."""
    exact: Callable[[Numbers, Numbers, Numbers, Numbers], Numbers]
    """Of pairs: mean and scale of the queries, of the candidates -> [P], 0 for equal ones."""
    distance: Callable[[Any], Any] = lambda value: value
    """An increasing function from what `exact` computes to the distance."""
    posteriors: tuple[str, ...] = ("gaussian", "vmf")
    """The posteriors (`model.posterior`) between which it is defined."""
    scales: bool = False
    """Whether it needs scales."""


def _ones(array: Numbers) -> Numbers:
    return np.ones((len(array), 1))


def _squares(array: Numbers) -> Numbers:
    found: Numbers = np.square(array).sum(-1, keepdims=True)
    return found


def _unit(array: Numbers) -> Numbers:
    """Rows of length 1; a row of zeros stays."""
    length = np.sqrt(_squares(array))
    return array / np.where(length > 0, length, 1)


def _cosine(mean: Numbers, _: Numbers, other: Numbers, __: Numbers) -> Numbers:
    """1 - cos as half the squared distance of the directions, which is exact where they are close."""
    directed = mean.any(-1) & other.any(-1)
    return np.where(directed, 0.5 * np.square(_unit(mean) - _unit(other)).sum(-1), 1.0)


def _kl(mean: Numbers, scale: Numbers, other: Numbers, other_scale: Numbers) -> Numbers:
    ratio = np.square(scale / other_scale)
    terms = ratio - 1 - np.log(ratio) + np.square((mean - other) / other_scale)
    found: Numbers = np.maximum(0.5 * terms.sum(-1), 0)
    return found


def _kl_query(mean: Numbers, scale: Numbers) -> Numbers:
    constant = -0.5 * (1 + 2 * np.log(scale)).sum(-1, keepdims=True)
    return np.hstack([0.5 * (np.square(scale) + np.square(mean)), -mean, _ones(mean), constant])


def _kl_candidate(mean: Numbers, scale: Numbers) -> Numbers:
    precision = 1 / np.square(scale)
    rest = 0.5 * _squares(mean / scale) + np.log(scale).sum(-1, keepdims=True)
    return np.hstack([precision, mean * precision, rest, _ones(mean)])


METRICS: dict[str, Metric] = {
    "euclidean": Metric(
        lambda mean, _: np.hstack([-2 * mean, _ones(mean), _squares(mean)]),
        lambda mean, _: np.hstack([mean, _squares(mean), _ones(mean)]),
        lambda mean, _, other, __: np.square(mean - other).sum(-1),
        np.sqrt,
    ),
    "cosine": Metric(
        lambda mean, _: np.hstack([-_unit(mean), _ones(mean)]),
        lambda mean, _: np.hstack([_unit(mean), _ones(mean)]),
        _cosine,
    ),
    "kl": Metric(_kl_query, _kl_candidate, _kl, posteriors=("gaussian",), scales=True),
}
"""euclidean: |a - b| of the codes, the posterior means (on the sphere: the directions). cosine: 1 - cos of their angle;
1 for a code of zeros. kl: KL(q(z|query) ‖ q(z|candidate)) of diagonal Gaussians, in nats."""


def check(network: SentenceVAE, n: object, metric: object) -> None:
    """Raises `UsageError` for an invalid `n`, an unknown metric, and one that the posterior does not allow."""
    check_counts(n=(n, 1))
    if not isinstance(metric, str) or metric not in METRICS:
        raise UsageError(f"no metric {metric!r:.40}", nearest(str(metric)[:40], METRICS))
    posterior = network.settings.posterior
    if posterior not in METRICS[metric].posteriors:
        allowed = [name for name, one in METRICS.items() if posterior in one.posteriors]
        raise UsageError(f"{metric} is not defined for a {posterior} posterior", f"use {' or '.join(allowed)}")


def neighbours_of_ids(
    network: SentenceVAE, codes: CodeSet, n: int, metric: str, ids: Iterable[NDArray[np.int64]]
) -> list[list[Neighbour]]:
    """The `n` nearest candidates of each sentence, given as token ids."""
    found = list(generate.encode(network, ids))
    if not found:
        return []
    means, scales = (np.stack([pair[i].numpy() for pair in found]) for i in (0, 1))
    return neighbours_of_codes(means, scales, codes, n, metric)


def neighbours_of_codes(
    mean: NDArray[np.float32], scale: NDArray[np.float32] | None, codes: CodeSet, n: int, metric: str
) -> list[list[Neighbour]]:
    """The `n` nearest candidates of each code [M, L], nearest first; fewer where there are not so many.

    Candidates at the same distance come in the order of their places. Raises `UsageError` where the metric needs
    scales and `scale` is None, and for candidates of another number of dimensions.
    """
    if scale is None and METRICS[metric].scales:
        raise UsageError(f"{metric} compares posteriors, and a code alone has no scale", "give sentences")
    if mean.shape[1] != codes.rows["mean"].shape[1]:
        raise UsageError(f"the candidates have {codes.rows['mean'].shape[1]} latent dimensions, not {mean.shape[1]}")
    scale = np.ones_like(mean) if scale is None else scale
    answers: list[list[Neighbour]] = []
    for first in range(0, len(mean), QUERIES):
        part = slice(first, first + QUERIES)
        distances, rows = search(mean[part], scale[part], codes.rows, n, METRICS[metric])
        for near, numbers in zip(distances.tolist(), rows.tolist(), strict=True):
            answers.append([_neighbour(codes, row, value) for value, row in zip(near, numbers, strict=True)])
    return answers


def _neighbour(codes: CodeSet, row: int, distance: float) -> Neighbour:
    record, source = codes.record(row), codes.candidates
    labels = dict(zip(source.labels, record.labels, strict=True))
    return Neighbour(record.text, distance, int(codes.rows["place"][row]), record.id if source.ids else None, labels)


def search(
    mean: NDArray[np.float32], scale: NDArray[np.float32], rows: NDArray[Any], n: int, metric: Metric
) -> tuple[Numbers, NDArray[np.int64]]:
    """The k = min(n, N) smallest distances of each query, ascending, and the numbers of their rows: two of [M, k].

    mean, scale: of the queries, [M, L]. rows: N records with the fields `mean` and `scale`, [L] each.
    """
    means, scales = _exact(mean, scale)
    count, k = len(means), min(n, len(rows))
    best, where = np.full((count, k), np.inf), np.full((count, k), -1)
    features = metric.query(means, scales)
    size = min(ROWS, max(1, PAIRS // max(1, count)))
    for first in range(0, len(rows), size):
        block = rows[first : first + size]
        others, other_scales = _exact(block["mean"], block["scale"])
        least, most = _bounds(features, metric.candidate(others, other_scales))
        limit = best[:, -1]
        if not first and k <= least.shape[1]:
            limit = np.partition(most, k - 1, axis=1)[:, k - 1]
        queries, columns = np.nonzero(least <= limit[:, None])
        values = np.concatenate(
            [
                metric.exact(means[i], scales[i], others[j], other_scales[j])
                for start in range(0, len(queries), REFINED)
                for i, j in [(queries[start : start + REFINED], columns[start : start + REFINED])]
            ]
            or [np.empty(0)]
        )
        # All found until now and those of this block, sorted for each query: the first k stay.
        owner = np.concatenate([np.repeat(np.arange(count), k), queries])
        values, numbers = np.concatenate([best.ravel(), values]), np.concatenate([where.ravel(), first + columns])
        order = np.lexsort((numbers, values, owner))
        starts = np.searchsorted(owner[order], np.arange(count))
        kept = order[starts[:, None] + np.arange(k)]
        best, where = values[kept], numbers[kept]
    return metric.distance(best), where


def _exact(mean: NDArray[np.float32], scale: NDArray[np.float32]) -> tuple[Numbers, Numbers]:
    """In float64; a scale that has underflowed is the smallest float32, so that nothing divides by 0."""
    return mean.astype(np.float64), np.maximum(scale.astype(np.float64), np.finfo(np.float32).tiny)


def _bounds(queries: Numbers, candidates: Numbers) -> tuple[Numbers, Numbers]:
    """Lower and upper bounds of the product of features: two of [M, B].

    The rounding error of a product of F features is below 2 F √F ε |a| |b|, with ε = 2^-52 (Higham 2002, "Accuracy and
    Stability of Numerical Algorithms", section 3.1); that of the features themselves is of the same size.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        product = (torch.from_numpy(queries) @ torch.from_numpy(candidates).T).numpy()
        lengths = [np.sqrt(np.square(part).sum(1)) for part in (queries, candidates)]
        error = np.outer(*lengths) * (queries.shape[1] ** 1.5 * 2.0**-50)
        least, most = product - error, product + error
    # Where the product overflows, nothing is known, and `search` computes the pair by differences.
    known = np.isfinite(least) & np.isfinite(most)
    return np.where(known, least, -np.inf), np.where(known, most, np.inf)

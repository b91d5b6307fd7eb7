"""The sentences that the map shows, with all that is known of them, and what their codes say of each dimension.

Shapes: N sentences, L latent dimensions, C values of a label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from seqvae_cli.api import Model
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.evaluation.subset import spread_indices
from seqvae_cli.nn.distributions import kl
from seqvae_cli.plotting.gathering import POINTS

ALL = "all"
"""All splits together, to be coloured by split."""
LOW, HIGH = 0.01, 0.99
"""Quantiles of the aggregate posterior at the ends of a slider."""
MOST_VALUES = 50
"""Values of a label that can colour the map, at most."""


@dataclass(frozen=True)
class Sentences:
    """Token ids of sentences in memory, as a split."""

    ids: list[NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        return self.ids[index]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self.ids], dtype=np.int64)


@dataclass(frozen=True)
class Points:
    """At most `POINTS` sentences, evenly spread over a split or over all splits."""

    split: str
    total: int
    """Sentences of the split, of which N are shown."""
    texts: list[str]
    lengths: NDArray[np.int64]
    """Tokens of each sentence, `<eos>` not counted: [N]."""
    labels: dict[str, tuple[tuple[str, ...], NDArray[np.int64]]]
    """Name -> the values of a label, and the index of each sentence's value [N]; `split` is one."""
    codes: NDArray[np.float32]
    """Posterior means: [N, L]."""
    rates: NDArray[np.float64]
    """Rate of each dimension in nats a sentence: [L]; without a sum over dimensions, the variance of the means."""
    rated: bool
    """Whether `rates` are rates."""

    @cached_property
    def ends(self) -> NDArray[np.float64]:
        """The `LOW`, 0.5 and `HIGH` quantile of each dimension of the posterior means: [3, L]."""
        found: NDArray[np.float64] = np.quantile(self.codes.astype(np.float64), (LOW, 0.5, HIGH), axis=0)
        return found

    def nearest(self, code: NDArray[np.float32], count: int) -> list[tuple[int, float]]:
        """Index and Euclidean distance of the `count` sentences whose codes are nearest to a code [L]."""
        distances = np.linalg.norm(self.codes - code, axis=1)
        return [(int(i), float(distances[i])) for i in np.argsort(distances, kind="stable")[:count]]


def points(model: Model, corpus: Corpus, split: str, check: Callable[[], object]) -> Points:
    """The sentences of a split, or of `ALL`, encoded. `check` is called between batches; it may raise.

    Raises `UsageError` for an unknown or empty split, `DataError` for a damaged corpus.
    """
    model.require_latent()
    corpus.verify()
    names = [name for name in corpus.splits if corpus.sentences(name)] if split == ALL else [split]
    splits = {name: corpus.nonempty_split(name) for name in names}
    starts = np.cumsum([0, *(len(data) for data in splits.values())])
    rows = spread_indices(int(starts[-1]), POINTS)
    of = np.searchsorted(starts, rows, side="right") - 1
    inner = rows - starts[of]
    sentences = Sentences([splits[names[place]][int(row)] for place, row in zip(of, inner, strict=True)])

    def watch(_: int) -> None:
        check()

    posterior = metrics.posteriors(model.network, sentences, watch=watch)
    if not torch.isfinite(posterior.mean).all():
        raise DataError("the posterior means are not finite", "name another run")
    rates = kl(posterior.apply(torch.Tensor.double), model.network.prior(), posterior.mean.double()).mean(0).numpy()
    rated = len(rates) == model.latent_size
    codes = posterior.mean.float().numpy()
    return Points(
        split=split,
        total=int(starts[-1]),
        texts=[model.tokenizer.decode(ids) for ids in sentences.ids],
        lengths=sentences.lengths,
        labels={"split": (tuple(names), of), **_labels(corpus, names, of, inner)},
        codes=codes,
        rates=rates if rated else codes.astype(np.float64).var(0),
        rated=rated,
    )


def _labels(
    corpus: Corpus, names: list[str], of: NDArray[np.int64], inner: NDArray[np.int64]
) -> dict[str, tuple[tuple[str, ...], NDArray[np.int64]]]:
    """The labels of the corpus that have a colour for each value, with the values that are there."""
    found = {}
    by_split = [corpus.labels(name) for name in names]
    for label in by_split[0] if by_split else ():
        indices = np.zeros(len(of), np.int64)
        for place, labels in enumerate(by_split):
            indices[of == place] = labels[label].indices[inner[of == place]]
        used, indices = np.unique(indices, return_inverse=True)
        if len(used) <= MOST_VALUES and label != "split":
            found[label] = tuple(by_split[0][label].values[index] for index in used), indices
    return found


def check_split(corpus: Corpus, split: str) -> str:
    """Raises `UsageError` for neither a split of the corpus nor `ALL`."""
    if split != ALL and split not in corpus.splits:
        raise UsageError(f"no split {split!r:.60}", f"one of {', '.join([*corpus.splits, ALL])}")
    return split

"""The sentences that the map shows, with all that is known of them, and what their codes say of each dimension.

Shapes: N sentences, L latent dimensions, C values of a label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqvae_cli.api import Model
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.labels import Label, numbers
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.evaluation import dimensions, metrics
from seqvae_cli.evaluation.subset import spread_indices
from seqvae_cli.latent import code_sets, neighbours
from seqvae_cli.latent.traversal import Profile
from seqvae_cli.plotting.gathering import POINTS

ALL = "all"
"""All splits together, to be coloured by split."""
MOST_VALUES = 50
"""Values of a label that can colour the map, at most, unless they are numbers."""


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
    labels: dict[str, Label]
    """By name; `split` is one."""
    codes: NDArray[np.float32]
    """Those of `TextModel.encode`: [N, L]."""
    profile: Profile
    """What each dimension carries, with its 0.01, 0.5 and 0.99 quantile: the ends and the middle of its slider."""

    @property
    def rates(self) -> NDArray[np.float64]:
        """Rate of each dimension in nats a sentence: [L]; without a sum over dimensions, the variance of the means."""
        rates = self.profile.rates
        return self.codes.astype(np.float64).var(0) if rates is None else np.array(rates)

    @cached_property
    def rows(self) -> NDArray[Any]:
        """The codes as `neighbours.search` takes them: [N]."""
        rows = np.zeros(len(self.codes), code_sets.row_type(self.codes.shape[1]))
        rows["mean"] = self.codes
        return rows

    def nearest(self, code: NDArray[np.float32], count: int) -> list[tuple[int, float]]:
        """Index and Euclidean distance of the `count` sentences whose codes are nearest to a code [L]."""
        query = code[None]
        distances, rows = neighbours.search(query, query, self.rows, count, neighbours.METRICS["euclidean"])
        return list(zip(rows[0].tolist(), distances[0].tolist(), strict=True))


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
    if not torch.isfinite(posterior.code).all():
        raise DataError("the codes are not finite", "name another run")
    return Points(
        split=split,
        total=int(starts[-1]),
        texts=[model.tokenizer.decode(ids) for ids in sentences.ids],
        lengths=sentences.lengths,
        labels={"split": Label(tuple(names), of), **_labels(corpus, names, of, inner)},
        codes=posterior.code.float().numpy(),
        profile=dimensions.of_posterior(model.network, posterior, sentences, 3, split=split),
    )


def _labels(corpus: Corpus, names: list[str], of: NDArray[np.int64], inner: NDArray[np.int64]) -> dict[str, Label]:
    """The labels of the corpus that have a colour for each value, with the values that are there."""
    found = {}
    by_split = [corpus.labels(name) for name in names]
    for label in by_split[0] if by_split else ():
        indices = np.zeros(len(of), np.int64)
        for place, labels in enumerate(by_split):
            indices[of == place] = labels[label].indices[inner[of == place]]
        used, indices = np.unique(indices, return_inverse=True)
        values = tuple(by_split[0][label].values[index] for index in used)
        if label != "split" and (len(values) <= MOST_VALUES or numbers(values) is not None):
            found[label] = Label(values, indices)
    return found


def check_split(corpus: Corpus, split: str) -> str:
    """Raises `UsageError` for neither a split of the corpus nor `ALL`."""
    if split != ALL and split not in corpus.splits:
        raise UsageError(f"no split {split!r:.60}", f"one of {', '.join([*corpus.splits, ALL])}")
    return split

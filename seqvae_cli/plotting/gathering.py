"""The sentences of a map with their posterior means: evenly spread over a split, or sampled from a stream.

Shapes: N sentences, L latent dimensions.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.labels import Label, check_value, in_order
from seqvae_cli.data.records import cell
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.data.windows import WINDOW, windows
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.evaluation.subset import Subset, spread_indices
from seqvae_cli.latent.streams import Tally
from seqvae_cli.model import SentenceVAE
from seqvae_cli.system.progress import Advance

POINTS = 5000
"""Sentences in one picture, at most."""


@dataclass(frozen=True)
class Gathered:
    """Posterior means of N sentences, and what is known of each."""

    means: NDArray[np.float64]
    """[N, L]."""
    sentences: tuple[str, ...]
    lengths: NDArray[np.int64]
    """[N]: tokens, `<eos>` not counted."""
    labels: dict[str, Label]
    """Each label by its name: its values, and the index of each sentence's value."""
    source: str
    """What the sentences are: a split, or the name of their file."""
    step: int
    """The training step of the weights."""
    total: int
    """Sentences of the source, of which these are N."""
    split: str = ""
    """The split of the corpus; empty for other sentences."""
    ids: tuple[str, ...] = ()
    """The id of each sentence; empty where the corpus has none."""


class Reservoir:
    """A sample of at most `most` items of a stream of unknown length; every item is as likely to be in it.

    References: Vitter 1985, "Random sampling with a reservoir", algorithm R.
    """

    def __init__(self, most: int, seed: int = 0) -> None:
        self.most, self.seen = most, 0
        """`seen`: items of the stream until now."""
        self._draw = random.Random(seed).randrange

    def place(self) -> int | None:
        """The place of the next item, 0 to `most` - 1, whose item it replaces; None where it is left out."""
        self.seen += 1
        place = self.seen - 1 if self.seen <= self.most else self._draw(self.seen)
        return place if place < self.most else None


class _Sentences(list[NDArray[np.int64]]):
    """Token ids of sentences in memory, as a split."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self], dtype=np.int64)


def of_split(
    network: SentenceVAE, corpus: Corpus, split: str, *, step: int, most: int = POINTS, watch: Advance | None = None
) -> Gathered:
    """At most `most` sentences of a split, evenly spread over it, with all labels of the corpus.

    `corpus` is the training corpus of the network, `step` the training step of its weights. Raises `UsageError` for an
    unknown or empty split, `DataError` for a damaged corpus or a mean that is not finite.
    """
    corpus.verify()
    data = corpus.nonempty_split(split)
    rows = spread_indices(len(data), most)
    subset = Subset(data, rows)
    means = _finite(metrics.posteriors(network, subset, watch=watch).code.double().numpy())
    labels = {}
    for name, label in corpus.labels(split).items():
        used, indices = np.unique(label.indices[rows], return_inverse=True)
        labels[name] = Label(tuple(label.values[index] for index in used), indices)
    chosen = set(rows.tolist())
    ids = tuple(one for row, one in enumerate(corpus.ids(split) or ()) if row in chosen)
    sentences = tuple(corpus.tokenizer.decode(data[int(row)].tolist()) for row in rows)
    return Gathered(means, sentences, subset.lengths, labels, split, step, len(data), split, ids)


def of_sentences(
    network: SentenceVAE,
    tokenizer: Tokenizer,
    sentences: Iterable[str],
    labels: Mapping[str, Iterable[object]],
    *,
    step: int,
    most: int = POINTS,
    source: str = "",
    tally: Tally | None = None,
) -> Gathered:
    """At most `most` sentences of a stream: all, or a uniform sample of those that have words, always the same.

    `labels` has for each label a value for each sentence, in the same order, empty where it has none. Sentences are
    encoded as they come, so that memory does not grow with their number. `tally` counts sentences without words, and
    the unknown words of the sentences that were encoded.

    Raises `UsageError` for another number of values than of sentences; `DataError` where no sentence has words, or a
    mean is not finite.
    """
    reservoir = Reservoir(most)
    tally = Tally() if tally is None else tally
    kept: dict[int, tuple[_Drawn, NDArray[np.float64]]] = {}
    drawn = _drawn(sentences, labels, tokenizer, reservoir, tally)
    for held in windows(drawn, WINDOW, lambda one: len(one.ids)):
        means = metrics.posteriors(network, _Sentences(one.ids for one in held)).code.double().numpy()
        kept.update((one.place, (one, mean)) for one, mean in zip(held, means, strict=True))
    if not kept:
        raise DataError(f"no sentences{f' in {source}' if source else ''}", "give sentences with words")
    rows = sorted(kept.values(), key=lambda row: row[0].number)
    columns = zip(*(one.values for one, _ in rows), strict=True)
    return Gathered(
        _finite(np.stack([mean for _, mean in rows])),
        tuple(one.text for one, _ in rows),
        np.array([len(one.ids) for one, _ in rows], dtype=np.int64),
        {name: _label(column) for name, column in zip(labels, columns, strict=True)} if labels else {},
        source,
        step,
        reservoir.seen,
    )


@dataclass(frozen=True)
class _Drawn:
    """A sentence that takes a place in the reservoir: its number in the stream, its values, its token ids."""

    place: int
    number: int
    text: str
    values: tuple[str, ...]
    ids: NDArray[np.int64]


def _drawn(
    sentences: Iterable[str],
    labels: Mapping[str, Iterable[object]],
    tokenizer: Tokenizer,
    reservoir: Reservoir,
    tally: Tally,
) -> Iterator[_Drawn]:
    rows = zip(*labels.values(), strict=True) if labels else itertools.repeat(())
    for sentence in sentences:
        try:
            given = next(rows, _END)
        except ValueError as error:
            raise UsageError("the labels differ in their number of values", _ONE_EACH) from error
        if given is _END:
            raise UsageError("there are fewer labels than sentences", "give each sentence one, if an empty one")
        if sentence.strip():
            place = reservoir.place()
            if place is None:
                continue
            if ids := tokenizer.encode(sentence):
                tally.add(tokenizer, sentence, ids)
                texts = [(name, cell(value, name).strip()) for name, value in zip(labels, given, strict=True)]
                values = tuple(check_value(name, text) for name, text in texts)
                yield _Drawn(place, reservoir.seen, sentence, values, np.array(ids, dtype=np.int64))
                continue
            reservoir.seen -= 1  # sentences without words are not drawn from
        tally.empty += 1
    if labels and next(rows, _END) is not _END:
        raise UsageError("there are more labels than sentences", _ONE_EACH)


_END: tuple[object, ...] = (object(),)
_ONE_EACH = "give each sentence one"


def _label(values: Iterable[str]) -> Label:
    known: dict[str, int] = {}
    indices = np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)
    return in_order(list(known), indices)


def _finite(means: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(means).all():
        raise DataError("the posterior means are not finite", "name another run")
    return means

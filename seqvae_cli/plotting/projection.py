"""Posterior means of sentences on two of their principal components, with what colours them.

`project` takes the sentences of a split, `project_sentences` any others. `latent` draws what they give.

Shapes: N sentences, L latent dimensions.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.batching import Indices
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.labels import Label, check_value, in_order, numbers
from seqvae_cli.data.records import cell
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.data.windows import WINDOW, windows
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.latent.streams import Tally
from seqvae_cli.model import SentenceVAE
from seqvae_cli.plotting import pictures
from seqvae_cli.system.progress import Advance

LENGTH = "length"
"""The colouring by sentence length."""
OTHER, OTHER_COLOR = "(other)", pictures.COLORS[-1]
"""In place of the rarest values of a label with more values than there are colours."""
NO_VALUE, NO_COLOR = "(none)", "#cccccc"
"""In place of the empty value of sentences without the label."""
POINTS = 5000
"""Sentences in one picture, at most."""
FEW = 300
"""Sentences below which a map of the validation split shows too little."""
FIRST = (1, 2)
"""The default components."""


@dataclass(frozen=True)
class Means:
    """Posterior means of N sentences on two of their principal components."""

    points: NDArray[np.float64]
    """[N, 2], centred at 0."""
    variance: tuple[float, float]
    """Fraction of the variance along each component, 0 to 1."""
    color: str
    """`length`, or the name of a label."""
    labels: NDArray[Any]
    """[N]: the length in tokens (`<eos>` not counted), the index of the label's value, or the number that it is.

    NaN stands for a sentence without the number.
    """
    values: tuple[str, ...]
    """The values of the label; empty for the length, and for a label that is a number."""
    source: str
    """What the sentences are: a split, or the name of their file."""
    step: int
    """The training step of the weights."""
    components: tuple[int, int] = FIRST
    """The numbers of the components, from 1."""
    total: int = 0
    """Sentences of the source, of which N are drawn; 0: no others than these."""
    palette: tuple[str, ...] = pictures.COLORS
    """The colour of each value."""


@dataclass(frozen=True)
class _Subset:
    """A subset of the sentences of a split."""

    split: metrics.SplitLike
    rows: Indices

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        return self.split[int(self.rows[index])]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.split.lengths[self.rows]


class _Sentences(list[NDArray[np.int64]]):
    """Token ids of sentences in memory, as a split."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self], dtype=np.int64)


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


def colors(corpus: Corpus) -> tuple[str, ...]:
    """The colourings of a corpus: `length`, and the names of its labels, such as the hidden factors of toy."""
    return LENGTH, *corpus.label_names()


def usual_split(corpus: Corpus) -> str:
    """The split that a map shows: valid, which training has not read, or train where that has too few sentences."""
    return "valid" if len(corpus.split("valid")) >= FEW else "train"


def default_color(labels: Iterable[str]) -> str:
    """The label, where there is one alone: it was given to be seen. Otherwise the length."""
    names = tuple(labels)
    return names[0] if len(names) == 1 else LENGTH


def check_components(components: object, latent_size: int) -> tuple[int, int]:
    """The numbers of two different components of a code of `latent_size` dimensions. Raises `UsageError` for others."""
    most = max(latent_size, max(FIRST))  # the second component of a code of one dimension is 0
    given = tuple(components) if isinstance(components, Iterable) and not isinstance(components, str) else ()
    whole = all(isinstance(one, int | np.integer) and not isinstance(one, bool) for one in given)
    if len(given) != 2 or not whole or given[0] == given[1] or not all(1 <= one <= most for one in given):
        shown = ", ".join(map(str, given)) if given and whole else repr(components)
        raise UsageError(f"components are {shown:.40}", f"give two different ones of 1 to {most}")
    return int(given[0]), int(given[1])


def project(
    network: SentenceVAE,
    corpus: Corpus,
    split: str = "valid",
    color: str | None = None,
    *,
    step: int,
    components: Sequence[int] = FIRST,
    most: int = POINTS,
    watch: Advance | None = None,
) -> Means:
    """The posterior means of at most `most` sentences, evenly spread over the split.

    `corpus` is the training corpus of the network, `step` the training step of its weights; `color` is one of `colors`,
    by default the `default_color` of the labels. Raises `UsageError` for an unknown colour, an unknown or empty split,
    and components that the code lacks; `DataError` for a damaged corpus or a mean that is not finite.
    """
    color = default_color(corpus.label_names()) if color is None else color
    if color not in colors(corpus):
        raise UsageError(f"corpus {corpus.name} has no label {color!r}", f"known colours: {', '.join(colors(corpus))}")
    components = check_components(components, network.settings.latent_size)
    corpus.verify()
    data = corpus.nonempty_split(split)
    rows = spread_indices(len(data), most)
    means = metrics.posteriors(network, _Subset(data, rows), watch=watch).mean.double().numpy()
    found = {"source": split, "step": step, "components": components, "total": len(data)}
    if color == LENGTH:
        return _means(means, LENGTH, (data.lengths[rows], (), ()), found)
    label = corpus.labels(split)[color]
    used, indices = np.unique(label.indices[rows], return_inverse=True)
    return _means(means, color, _coloured(Label(tuple(label.values[index] for index in used), indices)), found)


def project_sentences(
    network: SentenceVAE,
    tokenizer: Tokenizer,
    sentences: Iterable[str],
    labels: Iterable[object] | None = None,
    color: str | None = None,
    *,
    step: int,
    components: Sequence[int] = FIRST,
    most: int = POINTS,
    source: str = "",
    tally: Tally | None = None,
) -> Means:
    """The posterior means of at most `most` sentences of a stream: all, or a uniform sample of those that have words.

    `labels` has a value for each sentence, in the same order, empty where it has none; `color` is their name. Sentences
    are encoded as they come, so that memory does not grow with their number; the sample is always the same. `tally`
    counts sentences without words, and the unknown words of the sentences that were encoded.

    Raises `UsageError` for components that the code lacks and another number of labels than of sentences; `DataError`
    where no sentence has words, or a mean is not finite.
    """
    components = check_components(components, network.settings.latent_size)
    reservoir = Reservoir(most)
    tally = Tally() if tally is None else tally
    known: dict[str, int] = {}
    kept: dict[int, tuple[int, int, int, NDArray[np.float64]]] = {}  # its number, length, index of its label, mean
    drawn = _drawn(sentences, labels, color or "label", tokenizer, reservoir, known, tally)
    for held in windows(drawn, WINDOW, lambda one: len(one[3])):
        means = metrics.posteriors(network, _Sentences(ids for *_, ids in held)).mean.double().numpy()
        for (place, number, label, ids), mean in zip(held, means, strict=True):
            kept[place] = number, len(ids), label, mean
    if not kept:
        raise DataError(f"no sentences{f' in {source}' if source else ''}", "give sentences with words")
    rows = sorted(kept.values(), key=lambda row: row[0])
    points = np.stack([mean for *_, mean in rows])
    found = {"source": source, "step": step, "components": components, "total": reservoir.seen}
    if labels is None:
        return _means(points, LENGTH, (np.array([length for _, length, _, _ in rows]), (), ()), found)
    used = sorted({label for _, _, label, _ in rows})  # without the values of sentences that others have replaced
    names, places = list(known), {label: place for place, label in enumerate(used)}
    indices = np.array([places[label] for _, _, label, _ in rows], dtype=np.int64)
    return _means(points, color or "label", _coloured(in_order([names[label] for label in used], indices)), found)


def _drawn(
    sentences: Iterable[str],
    labels: Iterable[object] | None,
    name: str,
    tokenizer: Tokenizer,
    reservoir: Reservoir,
    known: dict[str, int],
    tally: Tally,
) -> Iterator[tuple[int, int, int, NDArray[np.int64]]]:
    """The sentences that take a place in the reservoir: the place, number, index in `known` of the label, token ids."""
    values = itertools.repeat("") if labels is None else iter(labels)
    for sentence in sentences:
        given = next(values, _END)
        if given is _END:
            raise UsageError("there are fewer labels than sentences", "give each sentence one, if an empty one")
        if sentence.strip():
            place = reservoir.place()
            if place is None:
                continue
            if ids := tokenizer.encode(sentence):
                tally.add(tokenizer, sentence, ids)
                value = check_value(name, cell(given, name).strip())
                yield place, reservoir.seen, known.setdefault(value, len(known)), np.array(ids, dtype=np.int64)
                continue
            reservoir.seen -= 1  # as if it had not come
        tally.empty += 1
    if labels is not None and next(values, _END) is not _END:
        raise UsageError("there are more labels than sentences", "give each sentence one")


_END = object()


def _means(
    means: NDArray[np.float64],
    color: str,
    coloured: tuple[NDArray[Any], tuple[str, ...], tuple[str, ...]],
    found: Mapping[str, Any],
) -> Means:
    if not np.isfinite(means).all():
        raise DataError("the posterior means are not finite", "name another run")
    labels, values, palette = coloured
    points, variance = principal(means, found["components"])
    return Means(points, variance, color, labels, values, palette=palette, **found)


def _coloured(label: Label) -> tuple[NDArray[Any], tuple[str, ...], tuple[str, ...]]:
    """What colours N sentences: [N] numbers, or indices of values, the values, and the colour of each.

    A label of numbers with more values than there are colours is a scale. Of another, the rarest values are `other`.
    Sentences without the label are `none`, the last value.
    """
    absent = label.values.index("") if "" in label.values else -1
    named = [index for index in range(len(label.values)) if index != absent]
    room = len(pictures.COLORS) - (absent >= 0)
    scale = numbers(label.values)
    if len(named) > room and scale is not None and (label.indices != absent).any():
        return np.array(scale)[label.indices], (), ()
    counts = np.bincount(label.indices, minlength=len(label.values))
    shown = named
    if len(named) > room:
        shown = sorted(sorted(named, key=lambda index: -counts[index])[: room - 1])
    entries = [(label.values[index], color) for index, color in zip(shown, pictures.COLORS, strict=False)]
    places = np.full(len(label.values), len(entries), np.int64)
    places[shown] = np.arange(len(shown))
    if len(named) > room:
        entries.append((OTHER, OTHER_COLOR))
    if absent >= 0:
        places[absent] = len(entries)
        entries.append((NO_VALUE, NO_COLOR))
    return places[label.indices], tuple(value for value, _ in entries), tuple(color for _, color in entries)


def spread_indices(count: int, most: int) -> Indices:
    """`most` of `count` indices at even distances, or all if there are fewer: [min(count, most)]."""
    kept = min(count, most)
    return np.arange(kept, dtype=np.int64) * count // kept


def principal(
    means: NDArray[np.float64], components: tuple[int, int] = FIRST
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Rows [N, L] projected onto two of their principal components, [N, 2]; the fraction of variance along each.

    By singular value decomposition (Hotelling 1933). The sign of a component makes its largest weight positive.
    Coordinates and fractions of an absent component, or without any variance, are 0.
    """
    centered = means - means.mean(0)
    _, lengths, axes = np.linalg.svd(centered, full_matrices=False)
    total = np.square(lengths).sum()
    points, shares = np.zeros((len(means), 2)), [0.0, 0.0]
    for place, number in enumerate(components):
        if number <= len(axes) and total:
            axis = axes[number - 1]
            points[:, place] = centered @ (axis * np.sign(axis[np.abs(axis).argmax()]))
            shares[place] = float(np.square(lengths[number - 1]) / total)
    return points, (shares[0], shares[1])

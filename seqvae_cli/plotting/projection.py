"""Posterior means of sentences on two of their principal components, with what colours them.

`project` takes the sentences of a split, `project_sentences` any others; `gathering` encodes both. `latent` draws what
they give.

Shapes: N sentences, L latent dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.labels import LENGTH, Label, numbers
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.errors import UsageError
from seqvae_cli.latent.streams import Tally
from seqvae_cli.model import SentenceVAE
from seqvae_cli.plotting import gathering, linear, pictures
from seqvae_cli.plotting.gathering import POINTS, Gathered
from seqvae_cli.system.progress import Advance

OTHER, OTHER_COLOR = "(other)", pictures.COLORS[-1]
"""In place of the rarest values of a label with more values than there are colours."""
NO_VALUE, NO_COLOR = "(none)", "#cccccc"
"""In place of the empty value of sentences without the label."""
HUGE = 1e100
"""Numbers from here on are not on the scale of a label: the range of a scale that has them may not be finite."""
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


def colors(corpus: Corpus) -> tuple[str, ...]:
    """The colourings of a corpus: `length`, and the names of its labels, such as the hidden factors of toy."""
    return LENGTH, *corpus.label_names()


def check_color(color: str, corpus: Corpus) -> None:
    """Raises `UsageError` for anything but one of `colors`."""
    if color not in colors(corpus):
        raise UsageError(f"corpus {corpus.name} has no label {color!r}", f"known colours: {', '.join(colors(corpus))}")


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
    check_color(color, corpus)
    components = check_components(components, network.settings.latent_size)
    return _means(gathering.of_split(network, corpus, split, step=step, most=most, watch=watch), color, components)


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
    named = {} if labels is None else {color or "label": labels}
    options: dict[str, Any] = {"step": step, "most": most, "source": source, "tally": tally}
    found = gathering.of_sentences(network, tokenizer, sentences, named, **options)
    return _means(found, next(iter(named), LENGTH), components)


def _means(found: Gathered, color: str, components: tuple[int, int]) -> Means:
    axes = linear.principal(found.means, components)
    return coloured_means(found, axes.place(found.means), axes.variance, color, components)


def coloured_means(
    found: Gathered,
    points: NDArray[np.float64],
    variance: tuple[float, float],
    color: str,
    components: tuple[int, int] = FIRST,
) -> Means:
    """The sentences at `points` [N, 2], coloured by `LENGTH` or one of their labels."""
    labels, values, palette = (found.lengths, (), ()) if color == LENGTH else coloured(found.labels[color])
    known: dict[str, Any] = {"components": components, "total": found.total, "palette": palette}
    return Means(points, variance, color, labels, values, found.source, found.step, **known)


def coloured(label: Label) -> tuple[NDArray[Any], tuple[str, ...], tuple[str, ...]]:
    """What colours N sentences: [N] numbers, or indices of values, the values, and the colour of each.

    A label of numbers with more values than there are colours is a scale. Of another, the rarest values are `other`.
    Sentences without the label are `none`, the last value.
    """
    absent = label.values.index("") if "" in label.values else -1
    named = [index for index in range(len(label.values)) if index != absent]
    room = len(pictures.COLORS) - (absent >= 0)
    scale = numbers(label.values)
    if len(named) > room and scale is not None:
        sizes = np.array([size if abs(size) < HUGE else np.nan for size in scale])[label.indices]
        if np.isfinite(sizes).any():
            return sizes, (), ()
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

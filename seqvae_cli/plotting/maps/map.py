"""A map: sentences placed on a plane by their codes, with all that is known of them.

`of_split` and `of_sentences` make one; `picture`, `page` and `tables` write it.

Shapes: N sentences, L latent dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.labels import LENGTH
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation.aggregate import active_dimensions
from seqvae_cli.evaluation.subset import usual_split
from seqvae_cli.latent.arguments import check_counts, check_iterable
from seqvae_cli.latent.streams import Tally
from seqvae_cli.model import SentenceVAE
from seqvae_cli.plotting import gathering, linear, projection
from seqvae_cli.plotting.gathering import Gathered
from seqvae_cli.plotting.maps import methods
from seqvae_cli.plotting.projection import Means
from seqvae_cli.system.progress import Stages, silent


@dataclass(frozen=True, kw_only=True)
class Map(Gathered):
    """N sentences on a plane; `means` are their codes."""

    points: NDArray[np.float64]
    """[N, 2]."""
    method: str
    """A key of `methods.METHODS`."""
    color: str
    """What colours the picture: `length`, or a label."""
    active: int
    """Active units: dimensions whose mean varies over these sentences. With none, distances are noise."""

    def colors(self) -> tuple[str, ...]:
        """What can colour the sentences: the length, and each label."""
        return LENGTH, *self.labels

    def coloured(self, color: str | None = None) -> Means:
        """The points with the number or value of one of `colors`, by default `color`, and the colour of each value."""
        variance = linear.principal(self.means).variance if self.method == "pca" else (0.0, 0.0)
        return projection.coloured_means(self, self.points, variance, self.color if color is None else color)


class MapOptions(TypedDict, total=False):
    """How a map is made."""

    method: str | None
    """pca, tsne, umap or lda (`methods.METHODS`); None: t-SNE or UMAP where they are installed, else pca."""
    color: str | None
    """`length`, or a label; None: the label where there is one alone, else `length`."""
    most: int
    """Sentences, at most: by default `gathering.POINTS`."""
    stage: Stages
    """Told of the stages, each with 0 units: their number is unknown. The first of a split is told tokens."""
    labels: Mapping[str, Iterable[object]]
    """Of given sentences: for each label a value for each sentence, in the same order, empty where it has none."""
    source: str
    """Of given sentences: their name."""
    tally: Tally
    """Of given sentences: counts those without words, and unknown words."""


def of_split(
    network: SentenceVAE, corpus: Corpus, split: str | None = None, *, step: int, **options: Unpack[MapOptions]
) -> Map:
    """A map of sentences evenly spread over a split; None: `subset.usual_split`.

    Raises `UsageError` for unknown names and counts, `MachineError` where a package is missing, and what
    `gathering.of_split` and `methods.place` raise.
    """
    extra = {"labels", "source", "tally"} & options.keys()
    if extra:
        raise UsageError(f"{min(extra)} goes with sentences", "give sentences, too, or leave it out")
    method, color, most, stage = _checked(options, corpus.label_names())
    projection.check_color(color, corpus)
    split = usual_split(corpus) if split is None else split
    found = gathering.of_split(network, corpus, split, step=step, most=most, watch=stage("posteriors", 0))
    return _placed(network, found, method, color, stage)


def of_sentences(
    network: SentenceVAE,
    tokenizer: Tokenizer,
    sentences: Iterable[str],
    *,
    step: int,
    **options: Unpack[MapOptions],
) -> Map:
    """A map of a uniform sample of a stream, which is always the same; raises as `of_split` and `gathering` do."""
    labels = options.get("labels", {})
    if not isinstance(labels, Mapping):
        raise UsageError(f"labels are a {type(labels).__name__}", 'give a dict, such as {"mood": ["good", "bad"]}')
    if LENGTH in labels:
        raise UsageError(f"a label cannot have the name {LENGTH!r}, the colour of the tokens", "rename it")
    method, color, most, stage = _checked(options, labels)
    if color not in (LENGTH, *labels):
        raise UsageError(f"no label {color!r:.40}", f"known colours: {', '.join([LENGTH, *labels])}")
    source, tally = options.get("source", ""), options.get("tally")
    values = {name: check_iterable(column, "labels") for name, column in labels.items()}
    told: dict[str, Any] = {"step": step, "most": most, "source": source, "tally": tally}
    return _placed(network, gathering.of_sentences(network, tokenizer, sentences, values, **told), method, color, stage)


def _checked(options: MapOptions, labels: Iterable[str]) -> tuple[str | None, str, int, Stages]:
    """The method, the colour, the number of sentences, and who is told of stages."""
    method, color, most = options.get("method"), options.get("color"), options.get("most", gathering.POINTS)
    color = projection.default_color(labels) if color is None else color
    check_counts(most=(most, 1))
    if method is not None:
        methods.check(method)
    if method == "lda" and color == LENGTH:
        names = ", ".join(labels)
        hint = f"give --color one of {names}" if names else "prepare with --label, or give --data with --color COLUMN"
        raise UsageError("linear discriminants part the values of a label", hint)
    return method, color, most, options.get("stage", silent)


def _placed(network: SentenceVAE, found: Gathered, method: str | None, color: str, stage: Stages) -> Map:
    if method is None:
        method = methods.default(len(found.sentences))
    advance = stage(methods.METHODS[method].title, 0)
    points = methods.place(method, found.means, found.labels.get(color))
    advance(len(points))
    active = active_dimensions(torch.from_numpy(found.means), sphere=network.settings.posterior == "vmf")
    return Map(**vars(found), points=points, method=method, color=color, active=active)

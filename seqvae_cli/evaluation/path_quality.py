"""How good paths between two sentences are: how many sentences they pass, and how evenly they change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.latent import generate
from seqvae_cli.latent.paths import CANDIDATES_A_STEP, Sentence, candidates, edit_distance, even_steps, walks
from seqvae_cli.runs.loading import Bundle
from seqvae_cli.system.runtime import stream


@dataclass(frozen=True)
class Paths:
    """Greedily decoded paths from one sentence of the split to another, means over the paths."""

    pairs: int
    steps: int
    """Sentences of a path, both ends counted."""
    distinct: float
    """Different sentences a path."""
    ends: float
    """Share of the ends that equal the reconstruction of their sentence, 0 to 1."""
    largest_jump: float
    """The largest token edit distance between neighbours over the sum of all of the path, 0 to 1; NaN where no path
    changes."""
    unchanged: int
    """Paths that say the same sentence at every step; `largest_jump` leaves them out."""

    def to_json(self) -> dict[str, object]:
        return metrics.finite_values(asdict(self))


def paths(
    bundle: Bundle,
    corpus: Corpus,
    split: str = "test",
    *,
    pairs: int = 200,
    steps: int = 11,
    seed: int = 0,
    stage: metrics.Stage = lambda _, __: lambda _: None,
) -> tuple[Paths, Paths]:
    """The figures of `pairs` paths between the codes of two random sentences of the split: of equal steps, and of even.

    Straight paths; on the sphere, for a von Mises-Fisher posterior, great circles. The reconstructions that the ends
    are held against are made apart, as `generate.reconstruct` makes them of any sentence.

    Raises `DataError` where the corpus is not the run's, `UsageError` for a language model and for a split of fewer
    than two sentences.
    """
    bundle.need_latent()
    bundle.run.check_corpus(corpus.path.name, corpus.hash)
    data, model, precision = corpus.split(split), bundle.model, bundle.precision
    if len(data) < 2:
        raise UsageError(f"split {split!r} of corpus {corpus.name} has not two sentences: no path")
    drawn = [stream(seed, i).choice(len(data), 2, replace=False).tolist() for i in range(pairs)]
    data_of_ends = [data[i] for pair in drawn for i in pair]
    max_len = 2 * int(data.lengths.max())
    codes = [code for code, _ in generate.encode(model, data_of_ends, precision=precision)]
    ends = list(zip(codes[::2], codes[1::2], strict=True))
    watch, equal, even = stage("paths", pairs), [], []
    for sentences in walks(model, ends, candidates(steps), max_len=max_len, precision=precision):
        equal.append(sentences[::CANDIDATES_A_STEP])
        even.append([sentences[i] for i in even_steps(sentences, steps)])
        watch(1)
    alone = list(generate.reconstruct(model, data_of_ends, max_len=max_len, precision=precision))
    reconstructions = list(zip(alone[::2], alone[1::2], strict=True))
    return path_figures(equal, reconstructions), path_figures(even, reconstructions)


def path_figures(walked: Sequence[Sequence[Sentence]], ends: Sequence[tuple[Sentence, Sentence]]) -> Paths:
    """The figures of paths of equally many sentences, and the reconstructions of each one's two ends."""
    distances = [[edit_distance(*neighbours) for neighbours in pairwise(path)] for path in walked]
    jumps = [max(path) / sum(path) for path in distances if any(path)]
    equal = [
        list(end) == list(alone)
        for path, both in zip(walked, ends, strict=True)
        for end, alone in zip((path[0], path[-1]), both, strict=True)
    ]
    return Paths(
        pairs=len(walked),
        steps=len(walked[0]),
        distinct=float(np.mean([len(set(map(tuple, path))) for path in walked])),
        ends=float(np.mean(equal)),
        largest_jump=float(np.mean(jumps)) if jumps else math.nan,
        unchanged=len(walked) - len(jumps),
    )

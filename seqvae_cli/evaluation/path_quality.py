"""Quality of paths between two sentences: how many sentences they pass through, and how evenly they change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.latent import generate
from seqvae_cli.latent.paths import CANDIDATES_A_STEP, Sentence, candidates, edit_distance, even_steps, walks
from seqvae_cli.latent.strategy import GREEDY
from seqvae_cli.model import SentenceVAE
from seqvae_cli.system.progress import Stages, silent
from seqvae_cli.system.runtime import stream


@dataclass(frozen=True)
class Paths:
    """Figures of greedily decoded paths between sentences of a split: means over the paths."""

    pairs: int
    steps: int
    """Sentences on a path, both ends included."""
    distinct: float
    """Distinct sentences a path."""
    ends: float
    """Share of path ends that equal the reconstruction of their sentence, 0 to 1."""
    largest_jump: float
    """The largest token edit distance between neighbours over the sum of all distances of the path, 0 to 1.

    NaN where no path changes.
    """
    unchanged: int
    """Number of paths with the same sentence at every step; `largest_jump` leaves them out."""

    def to_json(self) -> dict[str, object]:
        return metrics.finite_values(asdict(self))


def paths(
    network: SentenceVAE,
    corpus: Corpus,
    split: str = "test",
    *,
    pairs: int = 200,
    steps: int = 11,
    seed: int = 0,
    unk: bool = True,
    precision: torch.dtype = torch.float32,
    stage: Stages = silent,
) -> tuple[Paths, Paths]:
    """The figures of `pairs` paths, each between the codes of two random sentences of the split.

    The first are of paths with equal steps of the code, the second of paths with even steps (`interpolate --even`).
    Paths are straight, or great circles for a von Mises-Fisher posterior. Their ends are compared with reconstructions
    that `generate.reconstruct` makes independently of the paths. unk: whether sentences may have `<unk>`.

    `corpus` is the one that the network was trained on; the network has a latent code. Raises `DataError` for a damaged
    corpus, `UsageError` for a split of fewer than two sentences.
    """
    data = corpus.split(split)
    if len(data) < 2:
        raise UsageError(f"split {split!r} of corpus {corpus.name} has fewer than two sentences: a path needs two")
    corpus.verify()
    drawn = [stream(seed, i).choice(len(data), 2, replace=False).tolist() for i in range(pairs)]
    end_sentences = [data[i] for pair in drawn for i in pair]
    max_len = 2 * metrics.usual_length(data.lengths)
    codes = [code for code, _ in generate.encode(network, end_sentences)]
    ends = list(zip(codes[::2], codes[1::2], strict=True))
    greedy = replace(GREEDY, unk=unk)
    watch, equal, even = stage("paths", pairs), [], []
    for sentences in walks(network, ends, candidates(steps), greedy, max_len=max_len, precision=precision):
        equal.append(sentences[::CANDIDATES_A_STEP])
        even.append([sentences[i] for i in even_steps(sentences, steps)])
        watch(1)
    alone = list(generate.reconstruct(network, end_sentences, greedy, max_len=max_len, precision=precision))
    reconstructions = list(zip(alone[::2], alone[1::2], strict=True))
    return path_figures(equal, reconstructions), path_figures(even, reconstructions)


def path_figures(walked: Sequence[Sequence[Sentence]], ends: Sequence[tuple[Sentence, Sentence]]) -> Paths:
    """The figures of paths of equal length; `ends` are the reconstructions of both ends of each path."""
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

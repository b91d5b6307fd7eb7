"""Some of the sentences of a split, so that a figure of a large corpus takes bounded time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.batching import Indices
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.evaluation.metrics import SplitLike

FEW = 300
"""Sentences below which the validation split shows too little of a latent space."""


@dataclass(frozen=True)
class Subset:
    """The sentences `rows` [N] of a split, as a split."""

    split: SplitLike
    rows: Indices

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        return self.split[int(self.rows[index])]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.split.lengths[self.rows]


def spread_indices(count: int, most: int) -> Indices:
    """`most` of `count` indices at even distances and in order, or all if there are fewer: [min(count, most)]."""
    kept = min(count, most)
    return np.arange(kept, dtype=np.int64) * count // max(1, kept)


def usual_split(corpus: Corpus) -> str:
    """The split that shows the latent space: valid, which training has not read, or train where that has under `FEW`
    sentences."""
    return "valid" if corpus.sentences("valid") >= FEW else "train"

"""Some of the sentences of a split, so that a figure of a large corpus takes bounded time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.batching import Indices
from seqvae_cli.evaluation.metrics import SplitLike


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


def spread(count: int, most: int) -> Indices:
    """At most `most` of the places 0 to `count` - 1, at equal distances and in order."""
    return np.arange(min(count, most), dtype=np.int64) * count // max(1, min(count, most))

"""The posteriors of a corpus: each split is encoded once, whichever figures read it.

Shapes: N sentences of a split, M of them, L latent dimensions.
"""

from __future__ import annotations

import torch

from seqvae_cli.data.batching import Indices
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.evaluation import metrics
from seqvae_cli.evaluation.subset import Subset
from seqvae_cli.model import SentenceVAE
from seqvae_cli.nn.distributions import Posterior
from seqvae_cli.system.progress import Stages, silent


class Encoded:
    """The posteriors q(z|x) of the splits of the training corpus of a network, on the CPU."""

    def __init__(
        self,
        network: SentenceVAE,
        corpus: Corpus,
        *,
        precision: torch.dtype = torch.float32,
        stage: Stages = silent,
    ) -> None:
        self.network, self.corpus, self.precision, self.stage = network, corpus, precision, stage
        self._whole: dict[str, Posterior] = {}

    def whole(self, name: str) -> Posterior:
        """Those of all sentences of a split: [N, L]."""
        if name not in self._whole:
            self._whole[name] = self._encode(name, self.corpus.split(name))
        return self._whole[name]

    def some(self, name: str, rows: Indices) -> Posterior:
        """Those of the sentences `rows` [M] of a split: [M, L]; the others are not encoded for it."""
        if name in self._whole or len(rows) == self.corpus.sentences(name):
            return self.whole(name).apply(lambda parameter: parameter[torch.from_numpy(rows)])
        return self._encode(name, Subset(self.corpus.split(name), rows))

    def _encode(self, name: str, data: metrics.SplitLike) -> Posterior:
        watch = self.stage(f"posteriors of {name}", int(data.lengths.sum()) + len(data))
        return metrics.posteriors(self.network, data, precision=self.precision, watch=watch)

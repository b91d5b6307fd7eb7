"""What each latent dimension carries over a split: its rate, and its quantiles under the aggregate posterior.

Shapes: N sentences, L latent dimensions, S quantiles.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.evaluation import metrics
from seqvae_cli.evaluation.metrics import SplitLike
from seqvae_cli.evaluation.subset import Subset, spread_indices, usual_split
from seqvae_cli.latent.traversal import Profile, levels
from seqvae_cli.model import SentenceVAE
from seqvae_cli.nn.distributions import Posterior, kl
from seqvae_cli.system.progress import Stages, silent
from seqvae_cli.system.runtime import sentence_stream

SENTENCES = 2000
"""Sentences that are measured, at most: 20 of them lie below the lowest quantile."""


@torch.inference_mode()
def profile(network: SentenceVAE, corpus: Corpus, steps: int, *, seed: int = 0, stage: Stages = silent) -> Profile:
    """The rates and `steps` quantiles, from 0.01 to 0.99, of all dimensions.

    Of at most `SENTENCES` sentences, spread evenly over `subset.usual_split`. Raises `DataError` for a damaged corpus,
    `UsageError` for an empty split.
    """
    corpus.verify()
    split = usual_split(corpus)
    whole = corpus.nonempty_split(split)
    data = Subset(whole, spread_indices(len(whole), SENTENCES))
    watch = stage(f"posteriors of {split}", int(data.lengths.sum()) + len(data))
    return of_posterior(network, metrics.posteriors(network, data, watch=watch), data, steps, split=split, seed=seed)


@torch.inference_mode()
def of_posterior(
    network: SentenceVAE, posterior: Posterior, data: SplitLike, steps: int, *, split: str, seed: int = 0
) -> Profile:
    """The profile over N sentences with their posterior: [N, L].

    Quantiles are those of one z a sentence from its own posterior: means and noise, which is what the decoder was
    trained on.
    """
    latent = network.settings.latent_size
    noise = [sentence_stream(seed, data[i]).standard_normal(latent, dtype=np.float32) for i in range(len(data))]
    z = posterior.rsample(torch.from_numpy(np.stack(noise)))
    rates = kl(posterior.apply(Tensor.double), network.prior(), z.double()).mean(0).cpu().numpy()
    by_dimension = len(rates) == latent
    weights = rates if by_dimension else posterior.mean.double().var(0, correction=0).numpy()
    chosen = levels(steps)
    return Profile(
        split=split,
        sentences=len(data),
        levels=chosen,
        values=np.quantile(z.numpy(), chosen, axis=0).T.astype(np.float32),
        rates=tuple(rates.tolist()) if by_dimension else None,
        order=tuple(np.argsort(-weights, kind="stable").tolist()),
    )

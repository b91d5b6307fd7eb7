"""The phases of a training: how long they are, and the one in which the encoder learns alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

from seqvae_cli.config.schema import Settings
from seqvae_cli.data.batching import Batch
from seqvae_cli.training.learner import Learner
from seqvae_cli.training.objective import Clock, annealing

MOST = 100
"""Steps of the encoder before one of the decoder."""
COMPARED = 10
"""Steps of the encoder whose mean loss a token is compared with that of as many before."""

PART = 0.5
"""Of a training, at the most, passes before the KL weight is full."""


def fitted(settings: Settings) -> Settings:
    """`settings` with the phases before the full KL weight shortened, all alike, where they would take over half of it.

    So a training of 2 epochs has them too. Those of the cyclical schedule are parts of a training already. Without a
    latent code there is no autoencoder to begin as, and no KL to wait for.
    """
    train, objective = settings.train, settings.objective
    pretrain = train.pretrain
    if not settings.model.latent_size:
        pretrain, objective = 0.0, objective.model_copy(update={"kl_schedule": "none"})
    scale = min(1.0, PART * train.epochs / max(pretrain + annealing(objective), 1e-9))
    train = train.model_copy(update={"pretrain": scale * pretrain})
    phases = {"kl_hold": scale * objective.kl_hold, "kl_warmup": scale * objective.kl_warmup}
    return settings.model_copy(update={"train": train, "objective": objective.model_copy(update=phases)})


def train_encoder(learner: Learner, batches: Iterator[Batch], clock: Clock, number: int) -> int:
    """Trains the encoder alone until its loss stops falling; returns how many steps it took.

    Before the `number`-th step of the run, which is then the decoder's. So the approximate posterior does not lag
    behind the true one, which the decoder changes (He et al. 2019, "Lagging Inference Networks and Posterior
    Collapse in Variational Autoencoders", algorithm 1). `batches` never ends.
    """
    before, nats, tokens = math.inf, 0.0, 0
    for count in range(1, MOST + 1):
        batch = next(batches)
        nats += float(learner.step(batch, clock, number, part="encoder").total) * len(batch)
        tokens += int(batch.lengths.sum())
        if count % COMPARED == 0:
            # A token, as batches of one length each are: a sentence, it would be the lengths that are compared.
            if nats / tokens >= before:
                return count
            before, nats, tokens = nats / tokens, 0.0, 0
    return MOST

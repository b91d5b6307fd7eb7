"""Aggressive training of the encoder, against posterior collapse.

He et al. 2019, "Lagging Inference Networks and Posterior Collapse in Variational Autoencoders", algorithm 1: before
each step of the decoder the encoder is trained until its loss stops falling, so that the approximate posterior does not
lag behind the true one. The phase ends when the mutual information stops rising.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch

from seqvae_cli.data.batching import Batch
from seqvae_cli.system.runtime import sum_type
from seqvae_cli.training.learner import Learner
from seqvae_cli.training.schedule import Clock
from seqvae_cli.training.state import TrainingState

MAX_ENCODER_STEPS = 100
"""Most steps of the encoder before one of the decoder."""
STEPS_PER_COMPARISON = 10
"""Steps of the encoder whose mean loss is compared with the mean of as many steps before."""


def train_encoder(learner: Learner, batches: Iterator[Batch], clock: Clock, number: int) -> int:
    """Trains the encoder alone until its loss stops falling; returns how many steps it took.

    `number` is the decoder's next step of the run, before which this happens. `batches` must not end.
    """
    before, tokens = math.inf, 0
    nats = zero = torch.zeros((), dtype=sum_type(learner.device), device=learner.device)
    for count in range(1, MAX_ENCODER_STEPS + 1):
        batch = next(batches)
        # Stays on the device between comparisons: reading it in every step would make the device wait.
        sentences, words = batch.counts
        nats = nats + learner.step(batch, clock, number, part="encoder").total.to(nats) * sentences
        tokens += words
        if count % STEPS_PER_COMPARISON == 0:
            # Nats a token: a batch holds sentences of like length, so nats a sentence would compare lengths.
            now = float(nats) / tokens
            if now >= before:
                return count
            before, nats, tokens = now, zero, 0
    return MAX_ENCODER_STEPS


def epochs(mutual_informations: Sequence[float]) -> int:
    """The epochs that the phase took, from the mutual information after each epoch since its begin."""
    pairs = itertools.pairwise(mutual_informations)
    return next((epoch for epoch, (before, now) in enumerate(pairs, 2) if now <= before), len(mutual_informations))


def update_phase(state: TrainingState, mutual_information: float) -> None:
    """Ends the phase if the validation's mutual information (nats) did not rise since the epoch before."""
    before = state.mutual_information
    state.aggressive = before is None or mutual_information > before
    state.mutual_information = mutual_information

"""No operation mixes devices, and a training step waits for nothing: found on a pretended accelerator, without one."""

from __future__ import annotations

from collections import Counter
from itertools import repeat
from typing import Any

import numpy as np
import pytest
import torch

from seqvae_cli.config import layers, presets
from seqvae_cli.config.schema import Settings
from seqvae_cli.data.batching import collate
from seqvae_cli.evaluation import bounds, metrics
from seqvae_cli.latent import generate, paths
from seqvae_cli.latent.strategy import Strategy
from seqvae_cli.model import SentenceVAE
from seqvae_cli.training import aggressive
from seqvae_cli.training.learner import Learner
from seqvae_cli.training.schedule import Clock
from tests.conftest import InMemory
from tests.devices.fake import ACCELERATOR, Waits, pretended_accelerator
from tests.faults.matrix import FULL

WORDS = 64
SMALL: dict[str, Any] = {
    "model.embed_size": 6,
    "model.hidden_size": 8,
    "model.encoder_size": 6,
    "model.components": 3,
    "model.shortlist": 10,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in presets.names()} | {
    "gru": ("default", {"model.cell": "gru"}),
    "learned concentration": ("vmf", {"model.concentration": 0, "model.prior": "mixture"}),
    "both directions, last state": ("default", {"model.bidirectional": True, "model.pooling": "last"}),
    "two layers, mean": ("default", {"model.encoder_layers": 2, "model.decoder_layers": 2, "model.pooling": "mean"}),
    "no shortlist": ("default", {"model.shortlist": 0}),
}

ALIKE = {"bowman", "pretrain", "beta", "seed", "free-bits", "lagging"}
"""Presets whose parts are those of other models."""


def settings(name: str) -> Settings:
    preset, changes = CASES[name]
    sizes = SMALL | ({} if preset == "lm" else {"model.latent_size": 4})
    return layers.resolve(preset, overrides=sizes | changes)


class Split(InMemory):
    """Sentences of different lengths; of one length for networks that pack sequences."""

    def __init__(self, chosen: Settings) -> None:
        draw = np.random.default_rng(0)
        lengths = [1, 1] if chosen.model.bidirectional else [2, 1]
        super().__init__(draw.integers(4, WORDS, size=length) for length in lengths)


@pytest.mark.parametrize("name", [name for name in CASES if FULL or name not in ALIKE])
def test_a_training_step_waits_for_nothing(name: str) -> None:
    chosen = settings(name)
    batch = collate(Split(chosen).sentences)
    with pretended_accelerator():
        learner = Learner(chosen, WORDS, ACCELERATOR, torch.float32)
        with Waits() as waits:
            learner.step(batch, Clock(1.0, 2.0), 1)
    assert waits.found == Counter()


def test_an_aggressive_phase_waits_once_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggressive, "STEPS_PER_COMPARISON", 2)
    chosen = settings("lagging")
    batch = collate(Split(chosen).sentences)
    with pretended_accelerator():
        learner = Learner(chosen, WORDS, ACCELERATOR, torch.float32)
        with Waits() as waits:
            steps = aggressive.train_encoder(learner, repeat(batch), Clock(1.0, 2.0), 1)
    assert steps == 4  # every loss is 1
    assert sum(waits.found.values()) == 2


MODELS = {settings(name).model.model_copy(update={"dropout": 0.0, "weight_drop": 0.0}): name for name in CASES}
"""Reading does not depend on the objective and training of a preset: one for each model."""


READ = [name for name in MODELS.values() if FULL or name not in ALIKE]
STRATEGIES = (Strategy(beam=2), Strategy(), Strategy(temperature=0.7, top_k=5, top_p=0.9, unk=False))
"""A beam moves the parts of a model's state; the others choose words from its logits, whatever the model."""


@pytest.mark.parametrize("name", READ)
def test_nothing_that_reads_a_model_mixes_devices(name: str) -> None:
    chosen = settings(name)
    split, latent = Split(chosen), chosen.model.latent_size
    with pretended_accelerator(), Waits():
        network = SentenceVAE(chosen.model, WORDS, ACCELERATOR).eval()
        z = torch.randn(2, latent)
        metrics.elbo(network, split)
        bounds.iw_nll(network, split, samples=2)
        assert len(list(bounds.score(network, split.sentences, samples=2))) == len(split)
        assert len(list(generate.encode(network, split.sentences))) == len(split)
        generate.decode(network, z, start=[7], max_len=3)
        for strategy in STRATEGIES if FULL or name == READ[0] else STRATEGIES[:1]:
            assert len(list(generate.sample(network, 2, strategy, max_len=2))) == 2
        generate.log_probs(network, z, [[5, 6], [7]], max_len=2)
        if latent:
            paths.walk(network, z[0], z[1], 3, even=True, max_len=2)

"""One step: the learning rate it takes, and the mean of the weights after it."""

from __future__ import annotations

import math

import pytest
import torch

from seqvae_cli.config.schema import Settings
from seqvae_cli.data.batching import collate
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.training.learner import Learner
from seqvae_cli.training.objective import Clock


def learner(corpus: Corpus, **train: object) -> Learner:
    sizes = {"hidden_size": 8, "embed_size": 6, "latent_size": 2}
    settings = Settings.model_validate({"model": sizes, "train": {"lr": 0.5, **train}})
    return Learner(settings, len(corpus.tokenizer), torch.device("cpu"), torch.float32)


def test_the_learning_rate_falls_along_a_cosine_from_the_end_of_pretraining_to_0(tiny_corpus: Corpus) -> None:
    rates = [learner(tiny_corpus).learning_rate(Clock(epoch, 8)) for epoch in (-2, 0, 2, 4, 6, 8)]
    half = math.sqrt(0.5)
    assert rates == pytest.approx([0.5, 0.5, 0.25 * (1 + half), 0.25, 0.25 * (1 - half), 0.0])


def test_each_cycle_of_the_learning_rate_starts_high_again_and_the_last_ends_at_0(tiny_corpus: Corpus) -> None:
    cycles = learner(tiny_corpus, lr_cycles=2)
    rates = [cycles.learning_rate(Clock(epoch, 8)) for epoch in (0, 2, 3.9999999, 4, 6, 8, 9)]
    assert rates == pytest.approx([0.5, 0.25, 0.0, 0.5, 0.25, 0.0, 0.0], abs=1e-9)


def test_plateaus_alone_lower_the_learning_rate_where_they_are_chosen(tiny_corpus: Corpus) -> None:
    plateau = learner(tiny_corpus, lr_schedule="plateau")
    assert [plateau.learning_rate(Clock(epoch, 8)) for epoch in (-1, 0, 4, 8)] == [0.5] * 4


def test_a_step_takes_the_learning_rate_of_its_moment(tiny_corpus: Corpus) -> None:
    batch = collate([tiny_corpus.split("train")[i] for i in range(8)])
    one = learner(tiny_corpus)
    before = [weight.clone() for weight in one.model.parameters()]
    one.step(batch, Clock(8, 8), 1)  # at the end of the cosine: 0
    assert all(torch.equal(old, new) for old, new in zip(before, one.model.parameters(), strict=True))
    one.step(batch, Clock(0, 8), 2)
    assert not any(torch.equal(old, new) for old, new in zip(before, one.model.parameters(), strict=True))


def test_what_is_validated_is_the_running_mean_of_the_weights(tiny_corpus: Corpus) -> None:
    batch = collate([tiny_corpus.split("train")[i] for i in range(8)])
    one = learner(tiny_corpus, average=0.75)
    assert one.evaluated is not one.model
    mean: list[torch.Tensor] = []
    for number in range(4):
        one.step(batch, Clock(1, 8), number + 1)
        weights = [weight.detach().clone() for weight in one.model.parameters()]
        mean = [0.75 * old + 0.25 * new for old, new in zip(mean, weights, strict=True)] if mean else weights
    for expected, found, last in zip(mean, one.evaluated.parameters(), one.model.parameters(), strict=True):
        torch.testing.assert_close(found, expected)
        assert not torch.equal(found, last)
    assert one.evaluated.decoder.vocabulary.weight is one.evaluated.encoder.embedding.weight


def test_without_averaging_the_model_itself_is_validated(tiny_corpus: Corpus) -> None:
    one = learner(tiny_corpus)
    assert one.evaluated is one.model

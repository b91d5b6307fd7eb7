"""The aggressive phase: when the encoder's steps end, and when the phase does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from seqvae_cli.data.batching import Batch, collate
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.training import aggressive
from seqvae_cli.training.learner import Learner, belongs_to_encoder
from seqvae_cli.training.loop import Trainer
from seqvae_cli.training.objective import Loss
from seqvae_cli.training.schedule import Clock
from seqvae_cli.training.state import TrainingState
from tests.trainings import changed, copied, fit, new_run, small_learner


def test_the_encoder_is_trained_until_its_loss_stops_falling(tiny_corpus: Corpus) -> None:
    learner, split = small_learner(tiny_corpus, objective={"min_rate": 4.0}), tiny_corpus.split("train")
    taken = []

    def batches() -> Any:
        while True:
            taken.append(1)
            yield collate([split[i] for i in range(16)])

    before = copied(learner.model)
    count = aggressive.train_encoder(learner, batches(), Clock(5, 10), 1)
    assert count == len(taken)
    assert aggressive.STEPS_PER_COMPARISON <= count <= aggressive.MAX_ENCODER_STEPS
    assert count % aggressive.STEPS_PER_COMPARISON == 0
    assert changed(before, learner.model) == {name for name in before if belongs_to_encoder(name)}
    assert float(learner.objective.multiplier) == 0, "it rises once a training step"
    learner.step(next(batches()), Clock(5, 10), 1, part="decoder")
    assert float(learner.objective.multiplier) > 0


def test_what_stops_the_encoder_is_the_loss_a_token() -> None:
    """Scripted losses a token, in batches whose lengths grow or shrink: the lengths are not to matter."""

    class Scripted:
        device = torch.device("cpu")

        def __init__(self, losses: list[float]) -> None:
            self.losses = iter(losses)

        def step(self, batch: Batch, *_: Any, part: str) -> Loss:
            assert part == "encoder"
            total = next(self.losses) * float(batch.lengths.sum()) / len(batch)
            return Loss(torch.tensor(total), torch.tensor(0.0), torch.tensor(0.0))

    def batches(lengths: Iterator[int]) -> Iterator[Batch]:
        for length in lengths:
            yield Batch(np.zeros((2, length), dtype=np.int64), np.full(2, length))

    ten = aggressive.STEPS_PER_COMPARISON
    falling = [5 - n // ten * 0.1 for n in range(aggressive.MAX_ENCODER_STEPS)]
    bottom = falling[: 3 * ten] + [6.0] * aggressive.MAX_ENCODER_STEPS
    for lengths in (itertools.count(3), itertools.count(200, -1)):
        lengths, again = itertools.tee(lengths)
        assert (
            aggressive.train_encoder(Scripted(falling), batches(lengths), Clock(5, 10), 1)
            == aggressive.MAX_ENCODER_STEPS
        )  # type: ignore[arg-type]
        assert aggressive.train_encoder(Scripted(bottom), batches(again), Clock(5, 10), 1) == 4 * ten  # type: ignore[arg-type]


def test_the_phase_ends_where_the_mutual_information_does_not_rise() -> None:
    state, seen = TrainingState(aggressive=True), []
    for nats in (1.0, 1.5, 2.0, 2.0):
        aggressive.update_phase(state, nats)
        seen.append(state.aggressive)
    assert seen == [True, True, True, False]


@pytest.mark.parametrize("pretrain", [0, 1])
def test_an_aggressive_phase_begins_after_pretraining_and_ends_when_the_mutual_information_stops_rising(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch, pretrain: int
) -> None:
    clocks: list[float] = []
    real = aggressive.train_encoder

    def watched(learner: Learner, batches: Iterator[Batch], clock: Clock, number: int) -> int:
        clocks.append(clock.epoch)
        return real(learner, batches, clock, number)

    monkeypatch.setattr(aggressive, "train_encoder", watched)
    monkeypatch.setattr(aggressive, "MAX_ENCODER_STEPS", 5)
    told = [3.0, 1.0, 2.0, 1.5, 2.5][1 - pretrain :]  # epoch 1 of pretraining says nothing of the rest
    validate = Trainer.validate
    monkeypatch.setattr(
        Trainer, "validate", lambda self: replace(validate(self), mutual_information=told[self.state.epoch - 1])
    )
    settings = {"train__aggressive": True, "train__epochs": 4, "train__pretrain": pretrain}
    run = new_run(tiny_corpus, "lagging", **settings, objective__kl_schedule="none")
    fit(run, tiny_corpus)
    steps = 10  # an epoch
    assert clocks == pytest.approx([step / steps for step in range(3 * steps)])


@pytest.mark.parametrize("found", [[], [1.0], [0.0, 1.0, 2.0], [0.0, 1.0, 1.0, 5.0], [2.0, 1.0], [1.0, 3.0, 2.0, 4.0]])
def test_the_epochs_of_the_phase_are_those_that_training_spends_in_it(found: list[float]) -> None:
    state = TrainingState(learning_rate=1.0, aggressive=True)
    spent = 0
    for mutual_information in found:
        spent += state.aggressive
        if state.aggressive:
            aggressive.update_phase(state, mutual_information)
    assert aggressive.epochs(found) == spent

"""Phases of a training: the encoder alone, the autoencoder before, the language model without a code."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from seqvae_cli import api
from seqvae_cli.config import layers
from seqvae_cli.config.schema import Settings
from seqvae_cli.data.batching import Batch, collate
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.evaluation import metrics
from seqvae_cli.model import SentenceVAE
from seqvae_cli.training import phases, session
from seqvae_cli.training.events import EvalEvent, StartEvent, StepEvent
from seqvae_cli.training.learner import Learner, is_encoders
from seqvae_cli.training.loop import Trainer
from seqvae_cli.training.objective import Clock, Loss
from tests.conftest import Seqvae
from tests.trainings import assert_same_run, fit, new_run


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], model: torch.nn.Module) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.fixture
def learner(tiny_corpus: Corpus) -> Learner:
    settings = Settings.model_validate({"model": {"hidden_size": 16, "embed_size": 12, "latent_size": 4}})
    return Learner(settings, len(tiny_corpus.tokenizer), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("part", ["all", "encoder", "decoder"])
def test_a_step_of_one_part_changes_that_part_alone(learner: Learner, tiny_corpus: Corpus, part: str) -> None:
    batch = collate([tiny_corpus.split("train")[i] for i in range(8)])
    before = weights(learner.model)
    learner.step(batch, Clock(5, 10), 1, part=part)
    own = {name for name in before if is_encoders(name)}
    expected = {"all": set(before), "encoder": own, "decoder": set(before) - own}[part]
    assert changed(before, learner.model) == expected
    assert any(name.startswith("encoder.lstm") for name in own)
    assert not any("embedding" in name for name in own)


def test_the_encoder_is_trained_until_its_loss_stops_falling(learner: Learner, tiny_corpus: Corpus) -> None:
    split = tiny_corpus.split("train")
    taken = []

    def batches() -> Any:
        while True:
            taken.append(1)
            yield collate([split[i] for i in range(16)])

    before = weights(learner.model)
    count = phases.train_encoder(learner, batches(), Clock(5, 10), 1)
    assert count == len(taken)
    assert phases.COMPARED <= count <= phases.MOST
    assert count % phases.COMPARED == 0
    assert changed(before, learner.model) == {name for name in before if is_encoders(name)}


def test_what_stops_the_encoder_is_the_loss_a_token() -> None:
    """Scripted losses a token, in batches whose lengths grow or shrink: the lengths are not to matter."""

    class Scripted:
        def __init__(self, losses: list[float]) -> None:
            self.losses = iter(losses)

        def step(self, batch: Batch, *_: Any, part: str) -> Loss:
            assert part == "encoder"
            total = next(self.losses) * float(batch.lengths.sum()) / len(batch)
            return Loss(torch.tensor(total), torch.tensor(0.0), torch.tensor(0.0))

    def batches(lengths: Iterator[int]) -> Iterator[Batch]:
        for length in lengths:
            yield Batch(torch.zeros(2, length, dtype=torch.long), torch.full((2,), length), ragged=False)

    ten = phases.COMPARED
    falling = [5 - n // ten * 0.1 for n in range(phases.MOST)]
    bottom = falling[: 3 * ten] + [6.0] * phases.MOST
    for lengths in (itertools.count(3), itertools.count(200, -1)):
        lengths, again = itertools.tee(lengths)
        assert phases.train_encoder(Scripted(falling), batches(lengths), Clock(5, 10), 1) == phases.MOST  # type: ignore[arg-type]
        assert phases.train_encoder(Scripted(bottom), batches(again), Clock(5, 10), 1) == 4 * ten  # type: ignore[arg-type]


def test_more_epochs_do_not_bring_the_phases_back(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "longer", train__epochs=2, train__pretrain=2, objective__kl_warmup=4)
    fit(run, tiny_corpus)
    later = [event for event in fit(run, tiny_corpus, resume=True, epochs=8) if isinstance(event, StepEvent)]
    assert [event.epoch for event in later] == sorted(event.epoch for event in later)
    assert {event.kl_weight for event in later} == {1.0}
    assert later[-1].epoch == 8


@pytest.mark.parametrize("pretrain", [0, 1])
def test_an_aggressive_phase_begins_after_pretraining_and_ends_when_the_mutual_information_stops_rising(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch, pretrain: int
) -> None:
    clocks: list[float] = []
    real = phases.train_encoder

    def watched(learner: Learner, batches: Iterator[Batch], clock: Clock, number: int) -> int:
        clocks.append(clock.epoch)
        return real(learner, batches, clock, number)

    monkeypatch.setattr(phases, "train_encoder", watched)
    told = [3.0, 1.0, 2.0, 1.5, 2.5][1 - pretrain :]  # epoch 1 of pretraining says nothing of the rest
    validate = Trainer.validate
    monkeypatch.setattr(
        Trainer, "validate", lambda self: replace(validate(self), mutual_information=told[self.progress.epoch - 1])
    )
    settings = {"train__aggressive": True, "train__epochs": 4, "train__pretrain": pretrain}
    run = new_run(tiny_corpus, "lagging", **settings, objective__kl_schedule="none")
    fit(run, tiny_corpus)
    steps = 10  # an epoch
    assert clocks == pytest.approx([step / steps for step in range(3 * steps)])


@pytest.mark.parametrize("stop", [{"train__early_stop": 1}, {"train__lr_schedule": "plateau", "train__patience": 1}])
def test_the_last_epoch_of_pretraining_is_not_one_at_the_full_kl_weight(
    tiny_corpus: Corpus, stop: dict[str, object]
) -> None:
    run = new_run(tiny_corpus, "boundary", train__pretrain=1, train__epochs=3, objective__kl_schedule="none", **stop)
    events = [event for event in fit(run, tiny_corpus) if isinstance(event, EvalEvent)]
    assert [event.kl_weight for event in events[:2]] == [0, 1]
    assert [event.best for event in events[:2]] == [False, True]


def test_after_pretraining_the_decoder_is_new_and_the_encoder_stays(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    reset = SentenceVAE.reset_decoder

    def watched(model: SentenceVAE) -> None:
        before = weights(model)
        reset(model)
        resets.append((before, weights(model)))

    monkeypatch.setattr(SentenceVAE, "reset_decoder", watched)
    pretrained = {"train__pretrain": 2.0, "train__epochs": 5, "objective__kl_warmup": 1e-3, "model__tied": False}
    run = new_run(tiny_corpus, "pretrained", **pretrained)
    events = [event for event in session.fit(run, tiny_corpus) if isinstance(event, EvalEvent)]
    assert [event.kl_weight for event in events[:2]] == [0, 0]
    assert [event.kl_weight for event in events[2:]] == [1, 1, 1]
    assert [event.best for event in events[:3]] == [False, False, True]
    assert len(resets) == 1
    before, after = resets[0]
    assert not torch.equal(before["decoder.lstm.weight_ih_l0"], after["decoder.lstm.weight_ih_l0"])
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("encoder."))


@pytest.mark.parametrize(
    ("given", "shortened"),
    [
        ((3, 0, 6, 30), (3, 0, 6)),  # all of it is 9 of 30 epochs
        ((3, 0, 6, 18), (3, 0, 6)),  # exactly half
        ((3, 0, 6, 3), (0.5, 0, 1)),
        ((0, 2, 6, 4), (0, 0.5, 1.5)),
        ((4, 0, 0.001, 4), (1.9995, 0, 0.0005)),
    ],
)
def test_the_phases_before_the_full_kl_weight_take_half_of_a_training_at_most(
    given: tuple[float, ...], shortened: tuple[float, ...]
) -> None:
    keys = ("train.pretrain", "objective.kl_hold", "objective.kl_warmup", "train.epochs")
    settings = phases.fitted(layers.resolve(overrides=dict(zip(keys, given, strict=True))))
    found = (settings.train.pretrain, settings.objective.kl_hold, settings.objective.kl_warmup)
    assert found == pytest.approx(shortened, rel=1e-3)
    assert phases.fitted(settings) == settings


def test_phases_that_are_parts_of_a_training_already_are_left_alone() -> None:
    settings = layers.resolve("cyclical", overrides={"train.epochs": 1})
    assert phases.fitted(settings) == settings
    untrained = layers.resolve(overrides={"objective.kl_schedule": "none", "train.pretrain": 0, "train.epochs": 1})
    assert phases.fitted(untrained) == untrained


def test_a_language_model_does_not_begin_as_an_autoencoder(tiny_corpus: Corpus) -> None:
    """Its decoder would be thrown away for nothing."""
    run = new_run(tiny_corpus, "without", model__latent_size=0, train__pretrain=3.0)
    events = fit(run, tiny_corpus)
    assert isinstance(events[0], StartEvent)
    assert events[0].pretrain == events[0].annealing == 0
    assert {event.kl_weight for event in events if isinstance(event, StepEvent)} == {1.0}
    assert next(event for event in events if isinstance(event, EvalEvent)).best


def test_a_reset_decoder_keeps_the_embeddings_and_what_is_tied(learner: Learner) -> None:
    model = learner.model
    before = weights(model)
    model.reset_decoder()
    new = changed(before, model)
    assert "decoder.lstm.weight_ih_l0" in new
    assert "decoder.first_cell.weight" in new
    assert not any(name.startswith("encoder.") or "embedding" in name for name in new)
    assert model.decoder.vocabulary.weight is model.encoder.embedding.weight


@pytest.mark.parametrize(
    "settings",
    [
        {"train__pretrain": 1},
        {"train__aggressive": True},
        {"objective__min_rate": 3.0, "objective__free_bits_total": 0.0},
        {"model__latent_size": 0},
        {"train__average": 0.9, "train__pretrain": 0.7},
        {"model__weight_drop": 0.3, "model__locked_dropout": True, "train__lr_cycles": 2},
    ],
    ids=lambda settings: next(iter(settings)),
)
@pytest.mark.parametrize("after", [3, 12, 22])
def test_stopping_and_resuming_equals_never_having_stopped(
    tiny_corpus: Corpus, settings: dict[str, Any], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "MOST", 20)  # of the encoder's steps before each of the decoder
    quiet = new_run(tiny_corpus, "quiet", train__epochs=3, **settings)
    fit(quiet, tiny_corpus)
    asked = [0]

    def stop() -> bool:
        asked[0] += 1
        return asked[0] > after

    stopped = new_run(tiny_corpus, "stopped", train__epochs=3, **settings)
    fit(stopped, tiny_corpus, stop=stop)
    fit(stopped, tiny_corpus, resume=True)
    assert_same_run(quiet, stopped)


def test_a_language_model_has_no_code_and_an_exact_bound(tiny_corpus: Corpus, seqvae: Seqvae) -> None:
    run = new_run(tiny_corpus, "words", model__latent_size=0)
    assert all(event.rate == 0 for event in fit(run, tiny_corpus) if isinstance(event, EvalEvent))
    model = api.load(run)
    assert not any(name.startswith("encoder.lstm") for name, _ in model.network.named_parameters())
    figures = model.evaluate("test", samples=50)
    assert figures.iw_samples == 1
    assert figures.iw_nll == pytest.approx(figures.neg_elbo, abs=1e-5)
    assert (figures.rate, figures.mutual_information, figures.active_units) == (0, 0, 0)
    many = metrics.iw_nll(model.network, tiny_corpus.split("test"), samples=7)
    assert float(many.mean()) == pytest.approx(figures.iw_nll, abs=1e-5)
    assert math.isfinite(figures.iw_ppl)
    assert len(seqvae("sample", "words", "-n", "3").lines) == 3
    for arguments in (["encode", "the cat"], ["reconstruct", "the cat"], ["interpolate", "a dog", "the cat"]):
        answer = seqvae(*arguments, "-r", "words")
        assert answer.code == 2
        assert "language model" in answer.err

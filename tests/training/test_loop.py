"""The training loop: resuming equals never having stopped; events, plateaus, phases, and damaged checkpoints."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqvae_cli import api
from seqvae_cli.data.batching import collate
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.tokenizer import EOS, UNK
from seqvae_cli.errors import UPGRADE, CheckpointError
from seqvae_cli.evaluation import metrics
from seqvae_cli.model import SentenceVAE
from seqvae_cli.runs import checkpoint, registry
from seqvae_cli.system import json_files
from seqvae_cli.training import aggressive, session, setup
from seqvae_cli.training.events import (
    CollapseEvent,
    EndEvent,
    EvalEvent,
    PlateauEvent,
    StartEvent,
    StepEvent,
    WarningEvent,
)
from seqvae_cli.training.loop import Trainer
from tests.faults.matrix import FULL
from tests.trainings import assert_same_run, copied, fit, new_run


class Stopper:
    """Asks to stop at the n-th question."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


PLATEAU = {"train__lr_schedule": "plateau", "train__pretrain": 0}


def test_a_training_says_what_it_does_and_leaves_a_finished_run(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "whole")
    events = fit(run, tiny_corpus)
    assert isinstance(events[0], StartEvent)
    assert events[0].steps_per_epoch == 10
    assert (events[0].pretrain, events[0].annealing) == pytest.approx((1 / 3, 2 / 3)), "half of 2 epochs, not 3 + 6"
    evaluations = [event for event in events if isinstance(event, EvalEvent)]
    assert [event.epoch for event in evaluations] == [1, 2]
    assert all(event.neg_elbo == event.distortion + event.rate for event in evaluations)
    assert isinstance(events[-1], EndEvent)
    assert events[-1].reason == "finished"
    assert events[-1].step == 20
    assert any(isinstance(event, StepEvent) for event in events)
    found = registry.find("whole")
    assert found.status == "finished"
    assert [line["epoch"] for line in found.metrics()] == [1, 2]
    assert found.info["best_neg_elbo"] == min(event.neg_elbo for event in evaluations)


def test_the_loss_falls_below_that_of_words_alone(tiny_corpus: Corpus) -> None:
    run = new_run(
        tiny_corpus,
        "learns",
        train__epochs=10,
        train__lr=0.03,
        model__dropout=0.0,
        objective__free_bits_total=0.0,
    )
    fit(run, tiny_corpus)
    lines = run.metrics()
    train_split = tiny_corpus.split("train")
    counts = torch.bincount(torch.from_numpy(train_split.tokens[:].astype("int64"))).float()
    counts = torch.cat([counts[counts > 0], torch.tensor([float(len(train_split))])])
    share = counts / counts.sum()
    unigram = -(share * share.log()).sum() * counts.sum() / len(train_split)
    assert min(line["neg_elbo"] for line in lines) < 0.7 * float(unigram)


def test_validation_is_the_elbo_of_the_saved_best_weights(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "checked")
    fit(run, tiny_corpus)
    best = min(run.metrics(), key=lambda line: float(line["neg_elbo"]))
    again = metrics.elbo(api.load(run).network, tiny_corpus.split("valid"), seed=0)
    assert again.neg_elbo == pytest.approx(best["neg_elbo"], abs=1e-9)
    assert again.mutual_information == pytest.approx(best["mutual_information"], abs=1e-9)


def test_stopping_anywhere_and_resuming_equals_never_having_stopped(tiny_corpus: Corpus) -> None:
    quiet = new_run(tiny_corpus, "quiet", model__word_dropout=0.2)
    fit(quiet, tiny_corpus)
    for after in (1, 5, 10, 11, 12, 17, 21) if FULL else (1, 10, 11, 17, 21):
        stopped = new_run(tiny_corpus, f"stopped-{after}", model__word_dropout=0.2)
        events = fit(stopped, tiny_corpus, stop=Stopper(after))
        assert events[-1].reason == "interrupted", after
        seconds = events[-1].seconds
        assert registry.find(stopped.name).status == "interrupted"
        torch.manual_seed(999)  # whatever another process left behind
        events = fit(registry.find(stopped.name), tiny_corpus, resume=True)
        assert events[-1].reason == "finished", after
        assert events[-1].seconds > seconds > 0
        assert_same_run(quiet, stopped)


def test_plateaus_reload_the_best_weights_and_survive_resuming(tiny_corpus: Corpus) -> None:
    settings = {"train__epochs": 12, "train__lr": 0.5, "train__patience": 1, "train__max_decays": 2}
    settings |= PLATEAU
    settings |= {"objective__kl_schedule": "none"}
    quiet = new_run(tiny_corpus, "quiet", **settings)
    events = fit(quiet, tiny_corpus)
    plateaus = [event for event in events if isinstance(event, PlateauEvent)]
    assert [event.learning_rate for event in plateaus] == [0.25, 0.125][: len(plateaus)]
    assert plateaus
    stopped = new_run(tiny_corpus, "stopped", **settings)
    resume = False
    for _ in range(100):
        events = fit(registry.find("stopped"), tiny_corpus, resume=resume, stop=Stopper(17))
        resume = True
        if events[-1].reason != "interrupted":
            break
    assert_same_run(quiet, stopped)


def test_training_stops_early_and_when_its_plateaus_are_used_up(tiny_corpus: Corpus) -> None:
    common = {"train__epochs": 50, "train__lr": 0.5, "objective__kl_schedule": "none"} | PLATEAU
    early = fit(new_run(tiny_corpus, "early", **common, train__early_stop=2, train__patience=0), tiny_corpus)[-1]
    assert early.reason == "stopped"
    assert early.epoch < 50
    same = fit(registry.find("early"), tiny_corpus, resume=True, epochs=50)
    assert same[-1].epoch == early.epoch
    killed = session.fit(registry.find("early"), tiny_corpus, resume=True, epochs=60)
    next(killed)
    killed.close()
    assert fit(registry.find("early"), tiny_corpus, resume=True)[-1].epoch > early.epoch
    used = fit(new_run(tiny_corpus, "used", **common, train__patience=1, train__max_decays=1), tiny_corpus)[-1]
    assert used.reason == "stopped"


def test_more_epochs_continue_a_finished_run(tiny_corpus: Corpus) -> None:
    timeless = PLATEAU | {"objective__kl_warmup": 0.5}  # its schedules do not ask for the number of epochs
    longer = new_run(tiny_corpus, "longer", train__epochs=3, **timeless)
    fit(longer, tiny_corpus)
    run = new_run(tiny_corpus, "shorter", **timeless)
    fit(run, tiny_corpus)
    events = fit(run, tiny_corpus, resume=True, epochs=3, stop=Stopper(5))
    assert events[-1].reason == "interrupted"
    events = fit(run, tiny_corpus, resume=True)
    assert events[-1].reason == "finished"
    assert_same_run(longer, run)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_used(tiny_corpus: Corpus) -> None:
    quiet = new_run(tiny_corpus, "quiet")
    fit(quiet, tiny_corpus)
    run = new_run(tiny_corpus, "hurt")
    fit(run, tiny_corpus)
    newest = checkpoint.generations(run.path / "last")[0]
    with open(newest / "model.safetensors", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x55")
    events = fit(run, tiny_corpus, resume=True)
    (warning,) = [event for event in events if isinstance(event, WarningEvent)]
    assert newest.name in warning.message
    assert_same_run(quiet, run)
    kept = checkpoint.generations(run.path / "last")
    assert [checkpoint.verify(path) for path in kept] == [20, 10]  # the damaged one takes no place among them
    assert len(list((run.path / "last").glob(f"{checkpoint.DAMAGED}{newest.name}-*"))) == 1


def test_two_crashes_between_saving_the_best_and_the_last_lose_neither(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = new_run(tiny_corpus, "quiet", train__epochs=3)
    fit(quiet, tiny_corpus)
    run = new_run(tiny_corpus, "unlucky", train__epochs=3)
    real = Trainer.save

    def crash(trainer: Any) -> None:
        if trainer.state.epoch == 3:  # the second one is over, its best weights are saved
            raise SystemExit
        real(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", crash)
        for resume in (False, True, True):
            with pytest.raises(SystemExit):
                fit(run, tiny_corpus, resume=resume)
    assert len(checkpoint.generations(run.path / "best")) == 2
    events = fit(run, tiny_corpus, resume=True)
    assert not [event for event in events if isinstance(event, WarningEvent)]
    assert_same_run(quiet, run)


def test_a_checkpoint_of_a_newer_version_is_neither_passed_over_nor_set_aside(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "new")
    fit(run, tiny_corpus)
    newest = checkpoint.newest(run.path / "last")
    manifest = json_files.read(newest / "manifest.json")
    json_files.write(newest / "manifest.json", manifest | {"format": 99}, sealed=True)
    with pytest.raises(CheckpointError, match="newer") as caught:
        fit(run, tiny_corpus, resume=True)
    assert caught.value.hint == UPGRADE
    assert checkpoint.generations(run.path / "last")[0] == newest


def test_damaged_best_weights_are_told_and_the_next_epoch_gives_better_ones(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "hurt")
    fit(run, tiny_corpus)
    for path in checkpoint.generations(run.path / "best"):
        (path / "model.safetensors").write_bytes(b"")
    events = fit(run, tiny_corpus, resume=True, epochs=3)
    (warning,) = [event for event in events if isinstance(event, WarningEvent)]
    assert "damaged" in warning.message
    assert events[-1].best_epoch == 3
    assert api.load(run).step == 30


def test_a_run_that_goes_on_in_another_precision_says_so(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "moved", runtime__precision="float32")
    fit(run, tiny_corpus)
    run.update(precision="bfloat16")
    events = fit(run, tiny_corpus, resume=True, epochs=3)
    assert WarningEvent("this run was last trained in bfloat16, and goes on in float32") in events
    assert not [event for event in fit(run, tiny_corpus, resume=True, epochs=4) if isinstance(event, WarningEvent)]


def test_collapse_is_told_once_the_weight_is_full(tiny_corpus: Corpus) -> None:
    settings = {"objective__kl_schedule": "none", "objective__free_bits_total": 0.0, "objective__beta": 100.0}
    events = fit(new_run(tiny_corpus, "flat", **settings, train__epochs=6, train__lr=0.01), tiny_corpus)
    told = [event for event in events if isinstance(event, CollapseEvent)]
    assert len(told) == 1
    assert min(told[0].rate, told[0].mutual_information) < metrics.COLLAPSED


def test_a_rate_that_is_held_and_says_nothing_is_a_collapse_too(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "mutual_information", lambda *_, **__: 0.1)
    settings = {"objective__kl_schedule": "none", "model__posterior": "vmf", "model__concentration": 20.0}
    (collapse,) = [
        event
        for event in fit(new_run(tiny_corpus, "mute", **settings, train__epochs=2), tiny_corpus)
        if isinstance(event, CollapseEvent)
    ]
    assert collapse.rate > metrics.COLLAPSED > collapse.mutual_information


def test_batches_by_tokens_and_a_short_max_len_train(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "tokens", train__batch_tokens=20, train__max_len=4, train__epochs=1)
    events = fit(run, tiny_corpus)
    assert events[-1].reason == "finished"
    assert run.metrics()[0]["step"] == events[0].steps_per_epoch
    assert events[0].steps_per_epoch != 10


# --- unknown words


def test_words_seen_once_are_unknown_in_a_share_of_the_steps(tiny_corpus: Corpus) -> None:
    split = tiny_corpus.split("train")
    run = new_run(tiny_corpus, "unknown", train__unknown=0.25)
    trainer = Trainer(run, tiny_corpus, setup.resolve(run), bool)
    assert (trainer.batches.seen_once == (np.bincount(split.tokens, minlength=len(tiny_corpus.tokenizer)) == 1)).all()
    trainer.batches.seen_once = np.ones(len(tiny_corpus.tokenizer), dtype=np.bool_)
    rows = np.arange(len(split))
    found = [trainer.batches.batch(rows, number) for number in range(1, 41)]
    plain = collate([split[i] for i in rows])
    words = plain.ids > EOS
    shares = [(batch.ids[words] == UNK).mean() for batch in found]
    assert np.mean(shares) == pytest.approx(0.25, abs=0.01)
    assert all((batch.ids == plain.ids)[batch.ids != UNK].all() for batch in found)
    assert (found[0].ids == trainer.batches.batch(rows, 1).ids).all()
    assert (found[0].ids != found[1].ids).any()
    trainer.batches.seen_once[:] = False
    assert (trainer.batches.batch(rows, 1).ids == plain.ids).all()


# --- phases


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
        before = copied(model)
        reset(model)
        resets.append((before, copied(model)))

    monkeypatch.setattr(SentenceVAE, "reset_decoder", watched)
    pretrained = {"train__pretrain": 2.0, "train__epochs": 5, "objective__kl_warmup": 1e-3, "model__tied": False}
    run = new_run(tiny_corpus, "pretrained", **pretrained)
    events = [event for event in session.fit(run, tiny_corpus) if isinstance(event, EvalEvent)]
    assert [event.kl_weight for event in events[:2]] == [0, 0]
    assert [event.kl_weight for event in events[2:]] == [1, 1, 1]
    assert [event.phase for event in events] == ["autoencoder", "autoencoder", "", "", ""]
    assert [event.best for event in events[:3]] == [False, False, True]
    assert len(resets) == 1
    before, after = resets[0]
    assert not torch.equal(before["decoder.lstm.weight_ih_l0"], after["decoder.lstm.weight_ih_l0"])
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("encoder."))


def test_more_epochs_do_not_bring_the_phases_back(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "longer", train__epochs=2, train__pretrain=2, objective__kl_warmup=4)
    fit(run, tiny_corpus)
    later = [event for event in fit(run, tiny_corpus, resume=True, epochs=8) if isinstance(event, StepEvent)]
    assert [event.epoch for event in later] == sorted(event.epoch for event in later)
    assert {event.kl_weight for event in later} == {1.0}
    assert later[-1].epoch == 8


def test_a_language_model_does_not_begin_as_an_autoencoder(tiny_corpus: Corpus) -> None:
    """Its decoder would be thrown away for nothing."""
    run = new_run(tiny_corpus, "without", model__latent_size=0, train__pretrain=3.0)
    events = fit(run, tiny_corpus)
    assert isinstance(events[0], StartEvent)
    assert events[0].pretrain == events[0].annealing == 0
    assert {event.kl_weight for event in events if isinstance(event, StepEvent)} == {1.0}
    assert next(event for event in events if isinstance(event, EvalEvent)).best


@pytest.mark.parametrize(
    "settings",
    [
        {"train__pretrain": 1},
        {"train__aggressive": True},
        {"objective__min_rate": 3.0, "objective__free_bits_total": 0.0},
        {"model__latent_size": 0},
        {"train__average": 0.9, "train__pretrain": 0.7},
        {"train__unknown": 0.5},
        {"model__weight_drop": 0.3, "model__locked_dropout": True, "train__lr_cycles": 2},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_stopping_and_resuming_equals_never_having_stopped(
    tiny_corpus: Corpus, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggressive, "MAX_ENCODER_STEPS", 2)
    quiet = new_run(tiny_corpus, "quiet", train__epochs=3, **settings)
    fit(quiet, tiny_corpus)
    for after in (3, 12, 22) if FULL or "train__pretrain" in settings else (12,):
        stopped = new_run(tiny_corpus, f"stopped-{after}", train__epochs=3, **settings)
        fit(stopped, tiny_corpus, stop=Stopper(after))
        fit(stopped, tiny_corpus, resume=True)
        assert_same_run(quiet, stopped)

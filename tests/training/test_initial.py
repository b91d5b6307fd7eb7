"""A new run that begins with the weights of another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seqvae_cli.api import load, train_model
from seqvae_cli.config import layers
from seqvae_cli.data import prepare
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.sources import text_source
from seqvae_cli.errors import CheckpointError, UsageError
from seqvae_cli.runs import checkpoint, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.training import session
from seqvae_cli.training.events import EvalEvent, StepEvent
from seqvae_cli.training.initial import Initial
from tests.conftest import TINY, Seqvae
from tests.trainings import assert_same_run, fit

RUNTIME = {key: value for key, value in TINY.items() if not key.startswith("model.")}


def begun(corpus: Corpus, name: str, **overrides: object) -> Run:
    initial = Initial(registry.find("tiny-run"))
    dotted = RUNTIME | {key.replace("__", "."): value for key, value in overrides.items()}
    settings, chosen = session.settle(overrides=dotted, corpus=corpus, initial=initial)
    return session.start(settings, chosen, name=name, initial=initial)


def test_a_training_begins_with_the_weights_of_the_run(tiny_corpus: Corpus) -> None:
    run = begun(tiny_corpus, "more", train__lr=1e-12, train__epochs=1)
    events = fit(run, tiny_corpus)
    before, after = load("tiny-run").network.state_dict(), load("more").network.state_dict()
    assert all(torch.allclose(before[name], after[name], atol=1e-9) for name in before)
    assert {event.phase for event in events if isinstance(event, StepEvent)} == {""}
    best = registry.find("tiny-run").info["best_neg_elbo"]
    assert next(event for event in events if isinstance(event, EvalEvent)).neg_elbo == pytest.approx(best, rel=1e-6)
    assert registry.find("more").info["init"] == {"run": "tiny-run", "step": load("tiny-run").step}


def test_a_run_stopped_before_its_first_checkpoint_begins_again_with_the_same_weights(tiny_corpus: Corpus) -> None:
    whole = begun(tiny_corpus, "whole")
    fit(whole, tiny_corpus)
    stopped = begun(tiny_corpus, "stopped")
    training = session.fit(stopped, tiny_corpus)
    next(training)
    training.close()
    registry.find("tiny-run").path.rename(whole.path.parent / "gone")  # the new run has its own copy
    fit(registry.find("stopped"), tiny_corpus, resume=True)
    assert_same_run(whole, stopped)


def test_damaged_initial_weights_are_refused(tiny_corpus: Corpus) -> None:
    run = begun(tiny_corpus, "damaged")
    (weights,) = (run.path / checkpoint.INITIAL).glob("*/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError):
        fit(run, tiny_corpus)
    assert registry.find("damaged").status != "running"


def test_other_sizes_are_refused_and_all_else_is_free(tiny_corpus: Corpus) -> None:
    with pytest.raises(UsageError, match=r"do not fit other sizes: model\.latent_size 4 -> 5"):
        begun(tiny_corpus, "other", model__latent_size=5)
    begun(tiny_corpus, "free", model__dropout=0.1, objective__beta=2.0, train__batch_size=3)
    settings = layers.load(registry.find("free").path / "config.yaml")
    assert (settings.model.dropout, settings.objective.beta, settings.train.batch_size) == (0.1, 2.0, 3)
    assert settings.train.pretrain == 0
    assert settings.objective.kl_schedule == "none"


def test_other_words_are_refused_with_the_command_that_is_meant(tiny_corpus: Corpus, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("a b c\n" * 30)
    other = prepare.prepare_text(text_source(text), "other").corpus
    with pytest.raises(UsageError, match="corpus other has other words than run tiny-run") as caught:
        begun(other, "refused")
    assert caught.value.hint == "seqvae prepare TEXT --tokenizer-of tiny-run"
    assert "refused" not in registry.names()
    assert tiny_corpus.name == "tiny"


def test_the_command_says_what_it_begins_with(trained_home: Path, seqvae: Seqvae) -> None:
    assert trained_home.is_dir()
    answer = seqvae("train", "--init", "tiny-run", "--epochs", "1", "--name", "next")
    assert answer.code == 0, answer.err
    assert "begins with the weights of tiny-run, step " in answer.err
    assert "0.00 % of the training words of tiny are unknown" in answer.err
    assert registry.find("next").info["corpus"] == registry.find("tiny-run").info["corpus"]
    assert seqvae("train", "--init", "tiny-run", "--resume", "next").code == 2
    assert seqvae("train", "--init", "tinny-run").code == 3


def test_the_library_takes_a_run_or_its_name(tiny_corpus: Corpus) -> None:
    settings = {"train.epochs": 1, "runtime.threads": 1, "runtime.precision": "float32"}
    for init in ("tiny-run", registry.find("tiny-run")):
        model = train_model(settings, data=tiny_corpus, init=init)
        assert model.run.info["init"]["run"] == "tiny-run"


def test_dropout_is_of_the_training_not_of_the_weights(tiny_corpus: Corpus) -> None:
    initial = Initial(registry.find("tiny-run"))
    kept = session.settle("large", corpus=tiny_corpus, initial=initial)[0].model
    large = layers.resolve("large").model
    assert (kept.locked_dropout, kept.weight_drop) == (large.locked_dropout, large.weight_drop)
    assert kept.dropout >= large.dropout
    assert kept.hidden_size == initial.settings.model.hidden_size

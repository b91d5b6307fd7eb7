"""`start` and `fit`: what they refuse, and how a run is marked when it ends early."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from seqvae_cli.config import layers
from seqvae_cli.config.schema import Settings
from seqvae_cli.data import prepare
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError, MachineError, UsageError
from seqvae_cli.runs import registry
from seqvae_cli.system import runtime
from seqvae_cli.training import session
from seqvae_cli.training.events import ScheduleEvent
from seqvae_cli.training.facts import facts
from seqvae_cli.training.schedule import KL_SCHEDULES
from tests.trainings import fit, new_run


def test_a_consumer_that_leaves_marks_the_run_as_interrupted(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "left")
    events = session.fit(run, tiny_corpus)
    next(events)
    events.close()
    found = registry.find("left")
    assert found.status == "interrupted"
    assert not found.locked()


@pytest.mark.parametrize("schedule", [*KL_SCHEDULES])
def test_an_interrupted_run_may_end_with_its_pretraining(tiny_corpus: Corpus, schedule: str) -> None:
    fading = {"objective__free_bits_fade": 0.3, "objective__free_bits_total": 3, "objective__kl_schedule": schedule}
    run = new_run(tiny_corpus, "short", train__epochs=6, train__pretrain=2, **fading)
    asked = itertools.count()
    fit(run, tiny_corpus, stop=lambda: next(asked) > 3)
    assert registry.find("short").status == "interrupted"
    assert fit(run, tiny_corpus, resume=True, epochs=2)[-1].reason == "finished"


def test_more_epochs_bring_free_nats_back_and_it_is_told(tiny_corpus: Corpus) -> None:
    fading = {"objective__free_bits_fade": 0.5, "objective__free_bits_total": 3, "objective__kl_schedule": "none"}
    run = new_run(tiny_corpus, "more", train__epochs=2, **fading)
    fit(run, tiny_corpus)
    (told,) = [event for event in fit(run, tiny_corpus, resume=True, epochs=4) if isinstance(event, ScheduleEvent)]
    assert ("free nats", 0.0, 3.0) in told.changes


# --- what follows from the corpus


def settled(corpus: Corpus, preset: str = "default", **overrides: object) -> Settings:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return session.settle(preset, overrides=dotted, corpus=corpus)[0]


def test_free_bits_that_are_given_stay(tiny_corpus: Corpus, tmp_path: Path) -> None:
    assert settled(tiny_corpus).objective.free_bits_fade < 1
    assert settled(tiny_corpus, objective__free_bits_total=7).objective.free_bits_fade == 1
    assert settled(tiny_corpus, objective__free_bits=0.1).objective.free_bits_fade == 1
    file = tmp_path / "settings.yaml"
    file.write_text("objective:\n  free_bits_total: 7\n")
    assert session.settle(file=file, corpus=tiny_corpus)[0].objective.free_bits_fade == 1
    assert settled(tiny_corpus, "free-bits").objective.free_bits_fade == 1  # where they are the method


def test_adapt_can_be_asked_of_a_preset_that_does_without(tiny_corpus: Corpus) -> None:
    assert settled(tiny_corpus, "seed").train.batch_size == layers.resolve("seed").train.batch_size
    assert settled(tiny_corpus, "seed", train__adapt=True).train.batch_size == 4


def test_plateaus_end_a_training_by_themselves(tiny_corpus: Corpus) -> None:
    assert settled(tiny_corpus).train.early_stop > 0
    assert settled(tiny_corpus, train__lr_schedule="plateau").train.early_stop == 0


def lines(folder: Path, text: str, **options: Any) -> Corpus:
    path = folder / "lines.txt"
    path.write_text(text)
    return prepare.prepare(path, **options).corpus


def test_what_can_be_unknown_depends_on_the_tokenizer_and_the_text(tmp_path: Path) -> None:
    text = "".join(f"the word{i} is here\n" for i in range(100))
    assert facts(lines(tmp_path, text)).seen_once == 90
    assert facts(lines(tmp_path, text, tokenizer="char")).seen_once == 0  # every digit occurs often
    letters = "".join(f"{chr(97 + i)}\n" for i in range(20))
    assert facts(lines(tmp_path, letters, tokenizer="char")).seen_once == 18
    few = text + "one <unk> of three\n" * 3
    assert facts(lines(tmp_path, few)).seen_once > 80
    many = text + "the <unk> is here\n" * 200
    assert facts(lines(tmp_path, many)).seen_once == 0, "it has <unk> for its rare words"


@pytest.mark.parametrize("tokenizer", ["bpe", "unigram"])
def test_subwords_with_bytes_know_every_text(tmp_path: Path, tokenizer: str) -> None:
    pytest.importorskip("tokenizers")
    text = "".join(f"the word{i} is here\n" for i in range(100))
    assert facts(lines(tmp_path, text, tokenizer=tokenizer, vocab_size=300)).seen_once == 0


def test_another_corpus_under_the_same_name_is_refused_with_both_hashes(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "moved")
    run.update(corpus=run.info["corpus"] | {"hash": "f" * 64})
    with pytest.raises(DataError) as caught:
        fit(run, tiny_corpus)
    assert tiny_corpus.hash[:12] in caught.value.message
    assert "ffffffffffff" in caught.value.message


def test_a_corpus_without_validation_is_refused_before_a_run_is_made(home: Path, tmp_path: Path) -> None:
    from seqvae_cli.data import prepare, sources

    text = tmp_path / "text.txt"
    text.write_text("a b c\n" * 50)
    corpus = prepare.prepare_text(sources.text_source(text), "bare", valid_fraction=0.0, test_fraction=0.0).corpus
    with pytest.raises(UsageError, match="valid"):
        new_run(corpus, "never")
    assert not (home / "runs").exists() or not list((home / "runs").iterdir())


def test_what_cannot_begin_leaves_the_run_as_it_was(tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run(tiny_corpus, "two")
    fit(run, tiny_corpus)
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(UsageError, match="2 epochs already"):
        fit(run, tiny_corpus, resume=True, epochs=1)
    monkeypatch.setattr(runtime, "devices", lambda: ["cuda:0"])  # as on a machine without the run's device
    with pytest.raises(MachineError, match="no device 'cpu'"):
        fit(run, tiny_corpus, resume=True, epochs=3)
    assert (run.path / "run.json").read_bytes() == before
    assert registry.find("two").status == "finished"


def test_a_run_says_on_what_it_was_trained(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "told", train__epochs=1)
    assert not run.info.keys() & {"threads", "device", "precision", "epochs"}
    fit(run, tiny_corpus)
    info = registry.find("told").info
    found = {key: info[key] for key in ("threads", "device", "precision", "epochs")}
    assert found == {"threads": torch.get_num_threads(), "device": "cpu", "precision": "float32", "epochs": 1}


def test_the_facts_of_a_corpus_have_the_nats_of_its_frequencies(tmp_path: Path) -> None:
    found = facts(lines(tmp_path, "a a b c\n" * 20))
    assert found.occurrences == pytest.approx(4 * found.sentences / 3)
    assert found.unigram_nll == pytest.approx(2 * math.log(2) + 2 * math.log(4))

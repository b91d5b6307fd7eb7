"""`start` and `fit`: what they refuse, and how a run is marked when it ends early."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError, MachineError, UsageError
from seqvae_cli.runs import registry
from seqvae_cli.system import runtime
from seqvae_cli.training import session
from tests.trainings import fit, new_run


def test_a_consumer_that_leaves_marks_the_run_as_interrupted(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "left")
    events = session.fit(run, tiny_corpus)
    next(events)
    events.close()
    found = registry.find("left")
    assert found.status == "interrupted"
    assert not found.locked()


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
    facts = {key: info[key] for key in ("threads", "device", "precision", "epochs")}
    assert facts == {"threads": torch.get_num_threads(), "device": "cpu", "precision": "float32", "epochs": 1}

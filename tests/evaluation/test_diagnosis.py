"""The diagnosis of a latent space: its verdicts, its linear probe, and the codes that it exchanges."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqvae_cli import api
from seqvae_cli.data import prepare
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.evaluation.diagnosis import Diagnosis, derangement, diagnose, probe
from tests.conftest import tiny_text

FOUND = Diagnosis(
    sentences=3761,
    latent_size=32,
    rate=7.0,
    rate_by_dimension=(7.0,),
    mutual_information=6.0,
    active_units=32,
    own=95.0,
    shuffled=110.0,
    prior=111.0,
    probes={},
    left_out={},
)


@pytest.mark.parametrize(
    ("changes", "start", "said"),
    [
        ({}, "used: 6.0 of 7.0 nats are mutual information", "costs 15.0"),
        ({"rate": 0.2, "mutual_information": 0.1}, "collapsed", "0.2 nats"),
        ({"shuffled": 95.1}, "collapsed", "worth 0.1"),
        ({"mutual_information": 3.0}, "used, at a high price: 3.0 of 7.0", "32 of 32"),
        ({"rate": 4.9, "mutual_information": 0.2}, "mostly unused: 0.2 of 4.9 nats are mutual information", "32 of 32"),
        ({"rate": 30.0, "mutual_information": math.log(3761)}, "used: 8.2 of 30.0 nats", "or more: 3,761 sentences"),
        ({"latent_size": 0}, "no latent code", "language model"),
    ],
)
def test_the_verdict(changes: dict[str, float], start: str, said: str) -> None:
    verdict = dataclasses.replace(FOUND, **changes).verdict  # type: ignore[arg-type]
    assert verdict.startswith(start)
    assert said in verdict


def test_the_rate_is_mutual_information_and_the_way_of_all_codes_to_the_prior() -> None:
    assert FOUND.aggregate_kl == 1.0
    assert not FOUND.at_ceiling
    capped = dataclasses.replace(FOUND, rate=30.0, mutual_information=math.log(3761) - 0.05)
    assert capped.at_ceiling  # of more sentences, the codes may say more, and lie nearer to the prior
    assert capped.aggregate_kl == pytest.approx(30 - math.log(3761) + 0.05)


def test_what_rounds_to_zero_has_no_sign() -> None:
    found = dataclasses.replace(FOUND, rate=-1e-9, shuffled=94.99)
    assert found.verdict.startswith("collapsed: a code of 0.0 nats is worth 0.0 to the decoder")


def test_derangement_is_another_sentence_for_each_and_each_once() -> None:
    for count in (2, 3, 50):
        found = derangement(count, seed=1)
        assert sorted(found.tolist()) == list(range(count))
        assert not bool((found == torch.arange(count)).any())


def test_the_codes_of_sentences_are_those_of_the_elbo(tiny_corpus: Corpus) -> None:
    """Drawn by the seed and the sentence, whichever figure asks."""
    model = api.load("tiny-run")
    found = diagnose(model.network, tiny_corpus, "train", seed=3)
    elbo = metrics.elbo(model.network, tiny_corpus.split("train"), seed=3)
    assert found.own == pytest.approx(elbo.distortion, rel=1e-6)
    assert found.mutual_information == pytest.approx(elbo.mutual_information, rel=1e-5)


def test_a_probe_reads_what_is_linear_in_the_codes_and_nothing_of_what_is_not_there() -> None:
    generator = torch.Generator().manual_seed(0)
    train, test = (torch.randn(600, 6, generator=generator) for _ in range(2))
    labels, truth = train[:, :3].argmax(1), test[:, :3].argmax(1)
    assert probe(train, labels, test, truth) > 0.9
    chance = torch.randint(0, 3, (600,), generator=generator)
    assert probe(train, chance, test, torch.randint(0, 3, (600,), generator=generator)) < 0.45
    # Neither scale nor place of a dimension matters.
    assert probe(1000 * train - 5, labels, 1000 * test - 5, truth) > 0.9


def test_one_sentence_has_no_other_to_exchange_codes_with(tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Corpus, "split", lambda _, __: [np.array([5, 6])])
    with pytest.raises(UsageError, match="1 sentence"):
        diagnose(api.load("tiny-run").network, tiny_corpus, "test")


def test_a_decoder_that_does_not_read_the_code_loses_nothing_by_another(tiny_corpus: Corpus) -> None:
    model = api.load("tiny-run")
    used = model.diagnose("test")
    assert used.sentences == len(tiny_corpus.split("test"))
    assert sum(used.rate_by_dimension) == pytest.approx(used.rate)
    with torch.no_grad():
        for name, weight in model.network.decoder.named_parameters():
            if name.startswith("first_cell"):
                weight.zero_()
            elif name == "lstm.weight_ih_l0":
                weight[:, -model.settings.model.latent_size :] = 0
    blind = model.diagnose("test")
    assert blind.worth == pytest.approx(0, abs=1e-4)
    assert blind.own == pytest.approx(blind.prior, abs=1e-4)
    assert blind.verdict.startswith("collapsed")
    assert abs(used.worth) > 1e-3


def test_each_label_has_a_probe_or_a_reason(tiny_corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "tiny.jsonl"
    rows = [{"text": text, "who": text.split()[0], "all": "x", "row": i} for i, text in enumerate(tiny_text())]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options: dict[str, Any] = {"label": ["who", "all", "row"], "valid_fraction": 0.1, "test_fraction": 0.1}
    corpus = prepare.prepare(path, tokenizer="whitespace", normalize="none", **options).corpus
    assert corpus.split("train").hash == tiny_corpus.split("train").hash
    found = diagnose(api.load("tiny-run").network, corpus, "train")
    assert list(found.probes) == ["who"]
    assert found.probes["who"].accuracy >= found.probes["who"].chance == pytest.approx(0.4, abs=0.05)
    assert found.left_out == {
        "all": "1 value in train, a probe takes 2 to 50",
        "row": "80 values in train, a probe takes 2 to 50",
    }
    assert found.to_json()["left_out"] == found.left_out
    lying = found.disentanglement
    assert lying is not None
    assert list(lying.factors) == ["who"]
    assert (lying.train_sentences, lying.sentences) == (10, 80), "learned from valid, tested on train"
    assert lying.factors["who"].informativeness is not None
    assert json.loads(json.dumps(found.to_json()))["disentanglement"]["mig"] == lying.mig


def test_sentences_without_the_label_are_no_class_of_its_probe(tiny_corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "tiny.jsonl"
    rows = [
        {"text": text, "two": ("a", "b", "", "", "")[i % 5], "one": ("x", "")[i % 2], "none": ""}
        for i, text in enumerate(tiny_text())
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options: dict[str, Any] = {"label": ["two", "one", "none"], "valid_fraction": 0.1, "test_fraction": 0.1}
    corpus = prepare.prepare(path, tokenizer="whitespace", normalize="none", **options).corpus
    found = diagnose(api.load("tiny-run").network, corpus, "train")
    assert corpus.split("train").hash == tiny_corpus.split("train").hash
    two = [row["two"] for row in rows]
    assert list(found.probes) == ["two"]
    assert 0.5 <= found.probes["two"].chance < 0.65, f"of {two.count('a')} and {two.count('b')}"
    assert found.disentanglement is not None
    assert list(found.disentanglement.factors) == ["two"]
    assert found.left_out["one"].startswith("1 value in train")
    assert found.left_out["none"].startswith("0 values in train") or "0 sentences" in found.left_out["none"]


def test_a_label_that_differs_in_each_sentence_has_no_probe_and_spoils_no_mean(
    tiny_corpus: Corpus, tmp_path: Path
) -> None:
    """Though a small split has few values of it: those of train are too many, or are others."""
    path = tmp_path / "tiny.jsonl"
    rows = [
        {"text": text, "who": text.split()[0], "user": i, "half": i if i % 4 == 0 else ""}
        for i, text in enumerate(tiny_text())
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options: dict[str, Any] = {"label": ["who", "user", "half"], "valid_fraction": 0.1, "test_fraction": 0.1}
    corpus = prepare.prepare(path, tokenizer="whitespace", normalize="none", **options).corpus
    assert corpus.split("train").hash == tiny_corpus.split("train").hash
    found = diagnose(api.load("tiny-run").network, corpus, "test", seed=2**40)
    assert list(found.probes) == ["who"]
    assert found.left_out["user"] == "80 values in train, a probe takes 2 to 50"
    assert found.left_out["half"] == "0 values in both test and train, a probe takes 2 or more"
    assert found.disentanglement is not None
    assert list(found.disentanglement.factors) == ["who"]


@pytest.mark.parametrize("read", ["diagnose", "sample_quality", "path_quality", "evaluate", "profile"])
def test_a_damaged_corpus_is_not_read(tiny_corpus: Corpus, read: str) -> None:
    """Its ids are all in the vocabulary: without the digest, the figures would be of another text."""
    path = tiny_corpus.path / "train.tokens.bin"
    path.write_bytes(path.read_bytes()[:2] * (path.stat().st_size // 2))
    model = api.load("tiny-run")
    reading = {"profile": lambda: model.traverse("the cat sees the sea", steps=3)}
    with pytest.raises(DataError, match="damaged"):
        reading.get(read, lambda: getattr(model, read)())()

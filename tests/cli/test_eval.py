"""`seqvae eval` with all that it can add, on a tiny trained run."""

from __future__ import annotations

import dataclasses
import json
import sys
from functools import partialmethod

import numpy as np
import pytest

from seqvae_cli import api
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.labels import Label
from seqvae_cli.evaluation import disentanglement
from seqvae_cli.evaluation.disentanglement import Disentanglement, FactorScores
from tests.conftest import SMALL, Seqvae

pytestmark = pytest.mark.usefixtures("trained_home")

FAST = ["--samples", "2", "--threads", "1"]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 samples say as much here."""
    monkeypatch.setattr(api.Model, "sample_quality", partialmethod(api.Model.sample_quality, count=100))


def test_samples_quality_adds_samples_and_paths(seqvae: Seqvae) -> None:
    arguments = ["eval", *FAST, "--split", "valid", "--seed", "4", "--json"]
    plain = json.loads(seqvae(*arguments).out)
    answer = seqvae(*arguments, "--samples-quality")
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    assert result.keys() - plain.keys() == {"samples_quality", "paths", "even_paths"}
    assert {name: result[name] for name in plain} == plain
    model = api.load("tiny-run")
    assert result["samples_quality"] == model.sample_quality("valid", seed=4).to_json()
    figures = [figures.to_json() for figures in model.path_quality("valid", seed=4)]
    assert [result["paths"], result["even_paths"]] == figures
    assert result["paths"]["pairs"] == 200
    assert result["paths"]["steps"] == 11
    figures = {"perplexity", "reverse_perplexity", "distinct_2", "self_bleu", "length"}
    assert result["samples_quality"]["samples"].keys() == result["samples_quality"]["real"].keys() == figures


def test_a_language_model_gets_figures_of_its_samples_alone(seqvae: Seqvae) -> None:
    assert seqvae("train", *SMALL, "--latent-size", "0", "--epochs", "1", "--name", "lm", "-q").code == 0
    answer = seqvae("eval", "lm", *FAST, "--samples-quality", "--json")
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    assert result["samples_quality"]["sampled"] == 100
    assert "paths" not in result
    answer = seqvae("eval", "lm", *FAST, "--samples-quality")
    assert answer.code == 0, answer.err
    assert "self-BLEU" in answer.out
    assert "a path" not in answer.out


def test_the_tables_put_samples_beside_real_sentences_with_the_numbers_of_sentences(seqvae: Seqvae) -> None:
    answer = seqvae("eval", *FAST, "--samples-quality", "--diagnose")
    assert answer.code == 0, answer.err
    found = api.load("tiny-run").sample_quality()
    lines = {" ".join(line.split()) for line in answer.lines}
    samples, real = found.samples, found.real
    assert f"distinct-2 of 10 {100 * samples.distinct_2:.2f} {100 * real.distinct_2:.2f} %" in lines
    assert f"self-BLEU of 10 {samples.self_bleu:.2f} {real.self_bleu:.2f} of 100" in lines
    reverse = f"{samples.reverse_perplexity:.2f} {real.reverse_perplexity:.2f}"
    assert f"perplexity of test under a 5-gram model of 80 (real: of train) {reverse} a token" in lines
    assert "ends that equal their reconstruction 100.00 100.00 %" in lines
    assert any(line.startswith("verdict: ") for line in lines)


def test_samples_are_not_measured_against_the_text_that_the_n_gram_model_has_learned(seqvae: Seqvae) -> None:
    answer = seqvae("eval", "--split", "train", "--samples-quality")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.splitlines()[0].startswith("error: the quality of samples is measured against a model of train")


def labels(count: int) -> dict[str, Label]:
    """Two labels of `count` sentences."""
    rows = np.arange(count)
    return {"topic": Label(("a", "b"), rows % 2), "tense": Label(("c", "d"), rows // 2 % 2)}


def test_a_diagnosis_tells_how_labels_lie_in_dimensions(seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = FactorScores(mig=0.125, sap=0.25, completeness=0.5, informativeness=0.75)
    found = Disentanglement(80, 10, 0.125, 0.25, 0.375, 0.5, 0.75, 0.625, 0.5, {"topic": scores, "tense": scores})
    monkeypatch.setattr(disentanglement, "measure", lambda *_, **__: found)
    monkeypatch.setattr(Corpus, "labels", lambda corpus, split: labels(len(corpus.split(split))))
    answer = seqvae("eval", *FAST, "--diagnose")
    assert answer.code == 0, answer.err
    lines = [" ".join(line.split()) for line in answer.lines]
    assert "mutual information gap (MIG) 12.50 %" in lines
    assert "fixed label named (z-min-var) 62.50 % (chance 50)" in lines
    place = lines.index("label MIG % SAP % completeness % informativeness %")
    assert lines[place + 1 : place + 3] == [f"{name} 12.50 25.00 50.00 75.00" for name in ("topic", "tense")]
    assert "scikit-learn" not in answer.err
    result = json.loads(seqvae("eval", *FAST, "--diagnose", "--json").out)
    assert result["diagnosis"]["disentanglement"] == json.loads(json.dumps(dataclasses.asdict(found)))


def test_without_scikit_learn_a_diagnosis_says_what_it_lacks(seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Corpus, "labels", lambda corpus, split: labels(len(corpus.split(split))))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    answer = seqvae("eval", *FAST, "--diagnose")
    assert answer.code == 0, answer.err
    assert 'SAP and DCI of the labels need scikit-learn: pip install "seqvae[analysis]"' in answer.err.splitlines()
    assert "mutual information gap (MIG)" in answer.out
    assert "label MIG %" in [" ".join(line.split()) for line in answer.lines]
    assert "SAP" not in answer.out
    assert "verdict: " in answer.out

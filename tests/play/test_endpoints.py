"""The endpoints as functions: they answer as the methods of the model do, within bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae_cli.api import load
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import NotFoundError, UsageError
from seqvae_cli.play import endpoints
from seqvae_cli.play.layout import Background
from seqvae_cli.play.playground import Playground
from seqvae_cli.web import work
from seqvae_cli.web.worker import ClientGoneError
from tests.play.conftest import Ask
from tests.trainings import fit, new_run

FIRST, LAST = "the cat sees the sea", "a dog likes it"


def test_the_shown_sentences_are_those_of_the_split_with_their_codes(ask: Ask, playground: Playground) -> None:
    found = ask("points", split="train")
    corpus = playground.open("").corpus
    split = corpus.split("train")
    assert found["texts"] == [corpus.tokenizer.decode(ids) for ids in split]
    assert found["lengths"] == split.lengths.tolist()
    assert found["total"] == len(split)


def test_every_answer_of_a_model_says_which_weights_gave_it(ask: Ask, playground: Playground) -> None:
    """The page tells by it that a training went on since it read the sentences."""
    step = playground.open("").model.step
    for name, values in {
        "model": {},
        "points": {},
        "map": {},
        "encode": {"sentences": [FIRST]},
        "decode": {"codes": [[0.0] * 4]},
        "interpolate": {"first": FIRST, "last": LAST},
        "sample": {},
        "score": {"sentences": [FIRST], "samples": 2},
        "neighbours": {"sentence": FIRST},
        "arithmetic": {"a": FIRST, "b": LAST, "c": FIRST},
        "diagnose": {},
    }.items():
        assert ask(name, **values)["step"] == step, name


def test_a_slider_goes_where_a_traversal_goes(ask: Ask) -> None:
    """valid of tiny is too small for `traverse`, which then takes train."""
    found, expected = ask("points", split="train"), load("tiny-run").traverse(FIRST, steps=3).profile
    assert found["rated"]
    assert np.allclose(found["rates"], expected.rates or (), atol=1e-5)
    ends = np.array([found["low"], found["middle"], found["high"]])
    assert np.allclose(ends, expected.values.T, atol=1e-5)


def test_all_splits_together_are_told_apart(ask: Ask) -> None:
    found = ask("points", split="all")
    label = found["labels"]["split"]
    counts = np.bincount(label["indices"])
    assert dict(zip(label["values"], counts, strict=True)) == {"train": 80, "valid": 10, "test": 10}


def test_a_path_is_that_of_the_model(ask: Ask) -> None:
    model = load("tiny-run")
    for options in ({"steps": 5}, {"steps": 4, "even": True}, {"steps": 3, "path": "spherical"}):
        found = ask("interpolate", first=FIRST, last=LAST, **options)
        expected = model.interpolation(FIRST, LAST, **options)  # type: ignore[arg-type]
        assert [one["text"] for one in found["sentences"]] == expected.sentences
        assert found["positions"] == expected.positions


def test_places_on_a_linear_map_keep_means_and_lines(ask: Ask) -> None:
    for map_of in ({"map": "pca"}, {"map": "discriminants", "label": "split"}):
        found = ask("interpolate", first=FIRST, last=LAST, steps=3, split="all", **map_of)
        at = np.array(found["at"])
        assert np.allclose(at[1], (at[0] + at[2]) / 2, atol=1e-4)
        ends = ask("encode", sentences=[FIRST, LAST], split="all", **map_of)["at"]
        assert np.allclose(ends, at[[0, 2]], atol=1e-4)
        shares = ask("map", split="all", **map_of)["variance"]
        if map_of["map"] == "pca":
            assert 1 >= sum(shares) >= shares[0] >= shares[1] > 0
        else:
            assert shares is None, "discriminants have no share of the variance"


def test_codes_go_out_and_come_back(ask: Ask) -> None:
    model = load("tiny-run")
    codes = ask("encode", sentences=[FIRST, LAST])["codes"]
    assert np.array_equal(np.array(codes, np.float32), model.encode([FIRST, LAST]))
    assert [one["text"] for one in ask("decode", codes=codes)["sentences"]] == model.reconstruct([FIRST, LAST])


def test_samples_are_those_of_the_model(ask: Ask) -> None:
    found = ask("sample", count=4, seed=3, start="the", unk=False)
    from seqvae_cli.api import Strategy

    assert [one["text"] for one in found["sentences"]] == load("tiny-run").sample(
        4, Strategy(unk=False), start="the", seed=3
    )
    assert found["at"] is None
    placed = ask("sample", count=4, seed=3, start="the", unk=False, map="pca")
    again = ask("encode", sentences=[one["text"] for one in placed["sentences"]], map="pca")
    assert placed["at"] == again["at"]


def test_the_heat_of_the_words_adds_up_to_the_distortion(ask: Ask) -> None:
    (found,) = ask("score", sentences=[FIRST], samples=500)["sentences"]
    assert found["tokens"] == [*FIRST.split(), "<eos>"]
    assert sum(found["nats"]) == pytest.approx(found["distortion"], rel=0.02)
    assert found["neg_elbo"] == pytest.approx(found["distortion"] + found["rate"])


def test_a_sum_without_a_difference_is_the_sentence(ask: Ask) -> None:
    found = ask("arithmetic", a=FIRST, b=LAST, c=LAST, split="train")
    assert [one["text"] for one in found["sentences"]] == load("tiny-run").reconstruct([FIRST])
    near = ask("neighbours", sentence=FIRST, split="train")["neighbours"]
    assert found["neighbours"] == near
    doubled = ask("arithmetic", a=FIRST, b=LAST, c=FIRST, scale=2.0)["codes"]
    a, b = load("tiny-run").encode([FIRST, LAST])
    assert np.allclose(doubled, a + 2 * (a - b), atol=1e-5)


def test_a_shown_sentence_is_its_own_nearest(ask: Ask) -> None:
    texts = ask("points", split="train")["texts"]
    near = ask("neighbours", sentence=texts[7], split="train", count=3)["neighbours"]
    assert near[0] == {"index": 7, "text": texts[7], "distance": 0.0}
    assert [one["distance"] for one in near] == sorted(one["distance"] for one in near)


@pytest.mark.parametrize("concentration", [20.0, 0.0])
def test_on_the_sphere_the_codes_that_are_shown_are_those_that_are_encoded(
    concentration: float, tiny_corpus: Corpus
) -> None:
    run = new_run(tiny_corpus, "sphere", model__posterior="vmf", model__concentration=concentration, train__epochs=1)
    fit(run, tiny_corpus)
    sphere = Playground(load("sphere"), Background(lambda codes: codes[:, 1:].astype(float)))

    def ask(name: str, **values: Any) -> Any:
        return endpoints.answer(sphere, name, values, lambda: None)

    shown = ask("points", split="train")
    for index in (7, 30):
        near = ask("neighbours", sentence=shown["texts"][index], split="train", count=1)["neighbours"]
        assert near[0]["distance"] == pytest.approx(0, abs=1e-5)
        places = ask("map", split="train", map="pca")["places"]
        encoded = ask("encode", sentences=[shown["texts"][index]], split="train", map="pca")
        assert np.allclose(encoded["at"][0], places[index], atol=1e-5)


def test_the_run_tells_its_curves_and_the_runs_there_are(ask: Ask) -> None:
    found = ask("run", run="tiny-run")
    assert found["status"] == "finished"
    assert found["curves"]["epoch"] == [1, 2]
    assert min(found["curves"]["neg_elbo"]) == found["best_neg_elbo"]
    assert [run["name"] for run in ask("runs")["runs"]] == ["tiny-run"]


def test_the_verdict_is_that_of_the_model(ask: Ask) -> None:
    assert ask("diagnose", split="valid")["verdict"] == load("tiny-run").diagnose("valid").verdict


@pytest.mark.parametrize(
    ("name", "values", "fault"),
    [
        ("interpolate", {"first": FIRST, "last": LAST, "steps": 10**6}, "steps"),
        ("interpolate", {"first": FIRST, "last": LAST, "steps": True}, "steps"),
        ("interpolate", {"first": FIRST}, "last"),
        ("interpolate", {"first": " ", "last": LAST}, "first"),
        ("interpolate", {"first": FIRST, "last": LAST, "path": "curved"}, "path"),
        ("interpolate", {"first": FIRST, "last": "\ud800"}, "lone surrogate"),
        ("interpolate", {"first": "a " * 300, "last": LAST}, "300 tokens"),
        ("sample", {"count": 10**6}, "count"),
        ("sample", {"temperature": 0}, "temperature"),
        ("sample", {"beam": 1000}, "beam"),
        ("sample", {"start": "zebra"}, "zebra"),
        ("sample", {"start": "x" * 3000}, "3,000 characters"),
        ("sample", {"max_len": 10**9}, "max_len"),
        ("encode", {"sentences": FIRST}, "sentences"),
        ("encode", {"sentences": [FIRST] * 1000}, "sentences"),
        ("encode", {"sentences": [1]}, "sentences"),
        ("decode", {"codes": [[1.0]]}, "codes"),
        ("decode", {"codes": [[1e30] * 4]}, "codes"),
        ("decode", {"codes": [["0"] * 4]}, "codes"),
        ("decode", {}, "codes"),
        ("points", {"split": "dev"}, "dev"),
        ("map", {"map": "umap"}, "map"),
        ("map", {"map": "discriminants", "label": "topic"}, "topic"),
        ("map", {"map": "discriminants", "label": "split", "split": "train"}, "here are 1"),
        ("score", {"sentences": ["the cat " * 90] * 20, "samples": 2000}, "samples"),
        ("score", {"sentences": [FIRST], "samples": 10**7}, "samples"),
        ("arithmetic", {"a": FIRST, "b": FIRST, "c": FIRST, "scale": 1e9}, "scale"),
        ("sample", {"counts": 3}, "counts"),
        ("model", {"run": "../x"}, "../x"),
    ],
)
def test_values_out_of_bounds_are_refused_with_their_name(
    ask: Ask, name: str, values: dict[str, Any], fault: str
) -> None:
    with pytest.raises(UsageError) as raised:
        ask(name, **values)
    assert fault in raised.value.message + raised.value.hint


def test_an_unknown_run_is_not_found(ask: Ask) -> None:
    with pytest.raises(NotFoundError):
        ask("model", run="nothing")


def test_work_ends_when_the_client_has_left(playground: Playground, in_home: Path) -> None:
    assert in_home.is_dir()
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1
        if looks == work.AT_ONCE + 1:
            raise ClientGoneError

    with pytest.raises(ClientGoneError):
        endpoints.answer(playground, "sample", {"count": 200}, check)
    assert looks == work.AT_ONCE + 1


@pytest.mark.parametrize("name", endpoints.ENDPOINTS)
def test_every_answer_is_json(ask: Ask, name: str) -> None:
    calls: dict[str, dict[str, Any]] = {
        "encode": {"sentences": [FIRST], "map": "pca"},
        "decode": {"codes": [[0, 0, 0, 0]], "map": "pca"},
        "interpolate": {"first": FIRST, "last": LAST},
        "score": {"sentences": [FIRST], "samples": 2},
        "neighbours": {"sentence": FIRST},
        "arithmetic": {"a": FIRST, "b": LAST, "c": LAST},
    }
    assert json.loads(json.dumps(ask(name, **calls.get(name, {})), allow_nan=False))

"""The library's front door gives what the commands give, from strings to strings."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import seqvae_cli
from seqvae_cli import Model, Strategy, load, prepare_corpus, train_model
from seqvae_cli.cli import boundary
from seqvae_cli.data.corpus import find
from seqvae_cli.errors import NotFoundError, UsageError
from seqvae_cli.runs import registry
from seqvae_cli.training.events import EvalEvent, Event, StepEvent
from tests.conftest import TINY, tiny_text

SENTENCES = ["the cat sees the sea", "a dog likes it", "my sister paints a red house"]


@pytest.fixture
def model(trained_home: Path) -> Model:
    assert trained_home.is_dir()
    return load("tiny-run")


def test_codes_are_the_posterior_means(model: Model) -> None:
    codes = model.encode(SENTENCES)
    assert codes.shape == (3, model.latent_size)
    assert codes.dtype == np.float32
    means, scales = model.posterior(SENTENCES)
    assert np.array_equal(codes, means)
    assert (scales > 0).all()
    np.testing.assert_allclose(model.encode(SENTENCES[1:2])[0], codes[1], rtol=1e-5)
    assert model.encode([]).shape == (0, model.latent_size)


def test_decoding_takes_arrays_lists_tensors_and_single_codes(model: Model) -> None:
    codes = model.encode(SENTENCES)
    expected = model.reconstruct(SENTENCES)
    assert len(expected) == 3
    assert model.decode(codes) == model.decode(codes.tolist()) == model.decode(torch.from_numpy(codes)) == expected
    assert model.decode(codes[0]) == expected[:1]
    for strategy in (Strategy(greedy=True), Strategy(beam=3), Strategy()):
        assert model.decode(np.empty((0, model.latent_size)), strategy) == []
    assert model.decode(torch.from_numpy(codes).requires_grad_()) == expected
    assert len(model.decode(torch.from_numpy(codes).bfloat16())) == 3
    assert model.reconstruct(np.array(SENTENCES)) == model.reconstruct(iter(SENTENCES)) == expected
    assert model.decode(codes[::-1]) == expected[::-1]
    assert model.sample(codes=codes[::-1], strategy=Strategy(greedy=True)) == expected[::-1]
    assert model.decode(np.asfortranarray(codes)) == model.decode(codes.astype(np.float64)) == expected
    assert len(model.decode(codes.astype(np.float16))) == 3
    codes.setflags(write=False)
    assert model.sample(codes=codes, strategy=Strategy(greedy=True)) == expected
    assert model.decode([]) == []
    bold = Strategy(temperature=0.001)
    for largest in (1e12, -1e12):
        assert len(model.decode(np.full((2, model.latent_size), largest), bold)) == 2


@pytest.mark.parametrize("kind", ["strings", "objects", "generator"])
def test_sentences_come_as_any_iterable(model: Model, kind: str) -> None:
    kinds = {"strings": np.array(SENTENCES), "objects": np.array(SENTENCES, object)}

    def given() -> object:
        return kinds.get(kind, (one for one in SENTENCES))

    codes = model.encode(SENTENCES)
    assert np.array_equal(model.encode(given()), codes)  # type: ignore[arg-type]
    calls = {
        "score": lambda texts: model.score(texts, samples=2),
        "shift": lambda texts: model.shift(texts, np.ones(model.latent_size)),
        "neighbours": lambda texts: model.neighbours(texts, texts if kind != "generator" else given(), n=1),
        "map": lambda texts: model.map(texts, method="pca").points.tolist(),
    }
    for name, call in calls.items():
        found, expected = call(given()), call(SENTENCES)  # type: ignore[no-untyped-call]
        assert found == expected, name
        assert len(found) >= len(SENTENCES), name


def test_a_run_is_opened_from_its_folder_wherever_that_lies(
    trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load("tiny-run").encode(SENTENCES)
    away = tmp_path / "away"
    shutil.move(trained_home, away)
    monkeypatch.chdir(away / "runs")
    for path in (away / "runs" / "tiny-run", f"{away}/runs/tiny-run/", "./tiny-run", Path("tiny-run")):
        found = load(path)
        assert np.array_equal(found.encode(SENTENCES), expected)
        assert found.name == "tiny-run"
        assert found.corpus().path.is_relative_to(away), "that of the home which the run lies in"
    shutil.move(away / "runs" / "tiny-run", tmp_path / "copied")
    assert load(tmp_path / "copied").decode(expected) == found.decode(expected)
    with pytest.raises(NotFoundError, match="no prepared corpus"):
        load(tmp_path / "copied").corpus()
    with pytest.raises(NotFoundError, match="no run 'tiny-run'"):
        load("tiny-run")
    for wrong, words in ((tmp_path, "no run.json"), ("./nowhere", "does not exist"), ("a/\0b", "no folder")):
        with pytest.raises(NotFoundError, match=words):
            load(wrong)
    assert not trained_home.exists()


def test_an_interpolation_begins_and_ends_with_the_reconstructions(model: Model) -> None:
    path = model.interpolate(SENTENCES[0], SENTENCES[2], steps=5)
    assert len(path) == 5
    assert [path[0], path[-1]] == model.reconstruct([SENTENCES[0], SENTENCES[2]])
    assert len(model.interpolate(SENTENCES[0], SENTENCES[2], steps=2, path="spherical")) == 2
    even = model.interpolate(SENTENCES[0], SENTENCES[2], steps=5, even=True)
    assert (len(even), even[0], even[-1]) == (5, path[0], path[-1])


def test_samples_are_those_of_the_command(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert boundary.main(["sample", "tiny-run", "-n", "4", "--seed", "3", "--start", "the"]) == 0
    assert model.sample(4, seed=3, start="the") == capsys.readouterr().out.splitlines()
    assert boundary.main(["sample", "tiny-run", "-n", "4", "--beam", "3"]) == 0
    assert model.sample(4, Strategy(beam=3)) == capsys.readouterr().out.splitlines()


def test_scores_and_evaluation_are_those_of_the_commands(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert boundary.main(["score", "-r", "tiny-run", "--samples", "5", "--json", *SENTENCES]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one.iw_nll for one in model.score(SENTENCES, samples=5)] == [line["nll"] for line in lines]
    assert boundary.main(["eval", "tiny-run", "--samples", "5", "--json"]) == 0
    found = model.evaluate("test", samples=5).to_json()
    assert found == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("tokenizer", [None, "word", "whitespace", "char", "bpe"])
def test_a_text_is_prepared_as_the_command_does(tokenizer: str | None, home: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("\n".join(f"{line}, it's said." for line in tiny_text()))
    corpus = prepare_corpus(text, tokenizer=tokenizer)
    assert corpus.path.is_relative_to(home)
    assert corpus.tokenizer.kind == (tokenizer or "word")
    option = ["--tokenizer", tokenizer] if tokenizer else []
    assert boundary.main(["prepare", str(text), "--name", "other", *option]) == 0
    assert find("other").hash == corpus.hash


def test_training_tells_of_its_events_and_gives_the_model(home: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("\n".join(tiny_text()))
    corpus = prepare_corpus(text)
    events: list[Event] = []
    model = train_model(TINY, data=corpus, name="mine", callback=events.append)
    assert model.run.name == "mine"
    assert model.run.path.is_relative_to(home)
    assert any(isinstance(event, StepEvent) for event in events)
    told = [event.neg_elbo for event in events if isinstance(event, EvalEvent)]
    assert told == [line["neg_elbo"] for line in model.run.metrics()]
    assert len(told) == TINY["train.epochs"]
    assert "mine" in repr(model)
    short = TINY | {"train.epochs": 1}
    (tmp_path / "later.txt").write_text("the dog likes the sea\n" * 20)
    prepare_corpus(tmp_path / "later.txt")
    assert train_model(short, data="notes").run.name.startswith("notes-default")
    assert train_model(short | {"data": "notes"}).run.info["corpus"]["name"] == "notes"
    with pytest.raises(UsageError, match="named twice"):
        train_model(short | {"data": "notes"}, data="tiny")


@pytest.mark.usefixtures("tiny_corpus")
def test_a_callback_that_raises_ends_the_training() -> None:
    def refuse(_: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_model(TINY, name="refused", callback=refuse)
    run = registry.find("refused")
    assert run.status == "interrupted"
    assert not run.locked()


@pytest.mark.usefixtures("small_toy")
def test_the_built_in_corpus(home: Path) -> None:
    assert prepare_corpus("toy", sentences=200).entropy is not None
    assert home.is_dir()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: model.encode("the cat"), "in a list"),
        (lambda model: model.encode(["the cat", "  "]), "empty"),
        (lambda model: model.encode(None), "sentences are None"),
        (lambda model: model.encode(3), "sentences are 3"),
        (lambda model: model.encode(b"the cat"), "sentences are b'the cat'"),
        (lambda model: model.reconstruct([b"the cat"]), "b'the cat' is not a sentence"),
        (lambda model: model.score([3]), "3 is not a sentence"),
        (lambda model: model.encode(np.array("the cat")), "sentences are array"),
        (lambda model: list(model.encode_stream("the cat")), "in a list"),
        (lambda model: list(model.reconstruct_stream([None])), "None is not a sentence"),
        (lambda model: list(model.score_stream(3)), "sentences are 3"),
        (lambda model: model.unknown(3), "3 is not a sentence"),
        (lambda model: model.sample(1, start=None), "None is not a sentence"),
        (lambda model: model.sample(1, "greedy"), "strategy is 'greedy'"),
        (lambda model: model.decode(np.zeros((1, 4)), None), "strategy is None"),
        (lambda model: model.interpolate("the cat", 3), "3 is not a sentence"),
        (lambda model: model.interpolate("the cat", "a dog", strategy=3), "strategy is 3"),
        (lambda model: model.decode(np.full((1, 4), 3e38), Strategy(temperature=0.5)), "a code has 3e.38"),
        (lambda model: model.decode(np.full((1, 4), 1e300)), "finite"),
        (lambda model: list(model.decode_stream([np.full(4, 3e38)])), "a code has 3e.38"),
        (lambda model: list(model.decode_stream([np.zeros(3)])), r"\(1, 3\)"),
        (lambda model: list(model.decode_stream([np.zeros((2, 4))])), "one is meant"),
        (lambda model: model.decode(None), "codes are numbers"),
        (lambda model: model.decode(np.full((1, 4), "1")), "codes are numbers"),
        (lambda model: model.decode(np.ones((1, 4), complex)), "codes are numbers"),
        (lambda model: model.decode([[10**400] * 4]), "codes are numbers"),
        (lambda model: model.diagnose(seed=None), "seed is None"),
        (lambda model: model.sample_quality(count=2.5), "count is 2.5"),
        (lambda model: model.path_quality(pairs=-1), "pairs is -1"),
        (lambda model: model.path_quality(steps="a"), "steps is 'a'"),
        (lambda model: model.project(most=-1), "most is -1"),
        (lambda model: model.encode_frame({"text": ["the cat"]}, "text"), "a DataFrame of pandas or Polars"),
        (lambda _: load(3), "run is 3"),
        (lambda _: load("tiny-run", device=None), "device is None"),
        (lambda _: Strategy(temperature="a"), "temperature='a'"),
        (lambda _: Strategy(top_p=None), "top_p=None"),
        (lambda model: model.decode([[1.0, 2.0]]), r"\(1, 2\)"),
        (lambda model: model.decode(np.full((1, 4), np.nan)), "finite"),
        (lambda model: model.sample(1, start="zebra"), "zebra"),
        (lambda model: model.interpolate("the cat", "a dog", steps=1), "steps is 1"),
        (lambda model: model.interpolate("the cat", "a dog", path="curved"), "spherical"),
        (lambda model: model.evaluate("dev"), "dev"),
        (lambda model: model.evaluate(samples=0), "samples is 0"),
        (lambda model: model.score(["the cat"], samples=0), "samples is 0"),
        (lambda model: model.sample(-1), "count is -1"),
        (lambda model: model.sample(2.5), "count is 2.5"),
        (lambda model: model.sample(1, seed=-1), "seed is -1"),
        (lambda model: model.decode(np.zeros((1, 4)), max_len=0), "max_len is 0"),
        (lambda model: model.decode("abc"), "codes are numbers"),
        (lambda model: model.decode([[1.0], [1.0, 2.0]]), "codes are numbers"),
        (lambda _: Strategy(top_k=-1), "top_k=-1"),
        (lambda _: Strategy(temperature=float("nan")), "temperature=nan"),
        (lambda _: Strategy(top_p=0.0), "top_p=0.0"),
        (lambda _: Strategy(beam=-1), "beam=-1"),
        (lambda _: prepare_corpus("ptb", name="mine"), "name does not go with ptb"),
        (lambda _: prepare_corpus("toy", from_folder="."), "from_folder"),
        (lambda _: prepare_corpus("toy", tokenizer="char"), "tokenizer does not go with toy"),
    ],
)
def test_wrong_use_is_refused_with_the_value(model: Model, call: object, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        call(model)  # type: ignore[operator]
    assert re.search(words, f"{caught.value.message} {caught.value.hint}")


def test_what_is_not_there(home: Path) -> None:
    assert not home.exists()
    with pytest.raises(NotFoundError):
        load("nothing")
    with pytest.raises(NotFoundError):
        train_model(TINY, data="nothing")
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = seqvae_cli.lod  # type: ignore[attr-defined]


def test_the_names_are_loaded_when_they_are_used() -> None:
    code = "import sys, seqvae_cli; assert 'torch' not in sys.modules; seqvae_cli.load; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in seqvae_cli.__all__:
        assert getattr(seqvae_cli, name) is not None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: prepare_corpus(None), "the source is None"),  # type: ignore[arg-type]
        (lambda: prepare_corpus("x.txt", lower="no"), "lower is 'no'"),  # type: ignore[arg-type]
        (lambda: prepare_corpus("x.txt", seed=-1), "seed is -1"),
        (lambda: prepare_corpus("x.txt", seed=1.5), "seed is 1.5"),  # type: ignore[arg-type]
        (lambda: train_model(data=5), "data is 5"),  # type: ignore[arg-type]
        (lambda: Strategy(temperature=1e39), "temperature from 1e-06 to 1e\\+06"),
        (lambda: Strategy(beam=True), "is out of range"),
    ],
)
def test_values_of_another_type_or_size_are_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert re.search(words, f"{caught.value.message} {caught.value.hint}")

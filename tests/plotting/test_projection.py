"""Posterior means on principal components, of a split and of given sentences, and what colours them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from seqvae_cli import api
from seqvae_cli.api import Model
from seqvae_cli.data import prepare
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.labels import Label
from seqvae_cli.data.toy import build as toy_build
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.evaluation import metrics, subset
from seqvae_cli.evaluation.subset import spread_indices, usual_split
from seqvae_cli.latent.streams import Tally
from seqvae_cli.plotting import gathering, linear, pictures, projection
from tests.conftest import tiny_text
from tests.trainings import fit, new_run


@pytest.fixture
def model(tiny_corpus: Corpus) -> Model:
    assert tiny_corpus.name == "tiny"
    return api.load("tiny-run")


@pytest.fixture
def toy(home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Model, Corpus]:
    """A small toy corpus and a run on it."""
    assert not home.exists()
    monkeypatch.setattr(toy_build, "HELD_OUT", 60)
    corpus = toy_build.prepare_toy(sentences=100).corpus
    run = new_run(corpus, "on-toy", train__epochs=1)
    fit(run, corpus)
    return api.load(run), corpus


# principal components


@pytest.mark.parametrize(
    "given", [(1,), (1, 2, 3), (0, 1), (-1, 2), (2, 2), (4, 5), (1, 10**9), (1, 2.5), (True, 2), "12", 1]
)
def test_components_are_two_different_ones_of_the_code(given: object) -> None:
    with pytest.raises(UsageError, match="components are") as caught:
        projection.check_components(given, 4)
    assert caught.value.hint == "give two different ones of 1 to 4"


def test_the_components_of_a_code_with_one_dimension_are_the_default_ones() -> None:
    assert projection.check_components([4, 3], 4) == (4, 3)
    assert projection.check_components(projection.FIRST, 1) == (1, 2)


def test_a_selection_is_even_and_never_more_than_there_is() -> None:
    assert spread_indices(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert spread_indices(10, 4).tolist() == [0, 2, 5, 7]
    assert spread_indices(3, 5).tolist() == [0, 1, 2]
    large = spread_indices(10**6 + 2500, 5000)
    assert set(np.diff(large)) == {200, 201}


# the means of a run


def test_points_are_the_posterior_means_of_an_even_part_of_the_split(model: Model, tiny_corpus: Corpus) -> None:
    done: list[int] = []
    found = model.project("train", most=20, watch=done.append)
    split = tiny_corpus.split("train")
    rows = spread_indices(len(split), 20)
    expected = metrics.posteriors(model.network, split).mean.double().numpy()[rows]
    np.testing.assert_allclose(found.points, linear.principal(expected).place(expected), atol=1e-5)
    assert found.labels.tolist() == split.lengths[rows].tolist()
    assert (found.color, found.values, found.source, found.step) == ("length", (), "train", model.step)
    assert (found.total, found.components) == (len(split), (1, 2))
    assert sum(done) == sum(split.lengths[rows] + 1)
    assert len(model.project().points) == len(tiny_corpus.split("valid"))


def test_the_map_shows_the_validation_split_unless_it_is_small(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert usual_split(tiny_corpus) == "train"
    monkeypatch.setattr(subset, "FEW", len(tiny_corpus.split("valid")))
    assert usual_split(tiny_corpus) == "valid"


def test_a_factor_of_the_toy_corpus_has_its_values_in_order(toy: tuple[Model, Corpus]) -> None:
    model, corpus = toy
    assert projection.colors(corpus) == ("length", *corpus.info["toy"]["factors"])
    found = model.project("test", "tense", most=30)
    assert found.values == tuple(corpus.info["toy"]["factors"]["tense"])
    assert found.labels.tolist() == corpus.labels("test")["tense"].indices[::2].tolist()
    by_length = model.project("test", most=30)
    assert (by_length.points == found.points).all()
    assert by_length.labels.tolist() == corpus.split("test").lengths[::2].tolist()
    with pytest.raises(UsageError, match="no label 'tens'") as caught:
        model.project(color="tens")
    assert "length, topic, sentiment, tense, number, form, polarity" in caught.value.hint


def test_a_text_corpus_is_coloured_only_by_length(model: Model) -> None:
    with pytest.raises(UsageError, match="corpus tiny has no label 'topic'") as caught:
        model.project(color="topic")
    assert caught.value.hint.endswith(": length")


def test_unknown_splits_language_models_and_damage_are_refused(model: Model, tiny_corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="no split 'dev'"):
        model.project("dev")
    language_model = new_run(tiny_corpus, "lm", model__latent_size=0, train__epochs=1)
    fit(language_model, tiny_corpus)
    with pytest.raises(UsageError, match="lm is a language model"):
        api.load(language_model).project()
    with torch.no_grad():
        model.network.get_parameter(next(n for n, _ in model.network.named_parameters() if "encoder" in n)).fill_(
            np.nan
        )
    with pytest.raises(DataError, match="not finite"):
        model.project()
    words = tiny_corpus.path / "valid.tokens.bin"
    words.write_bytes(bytes(len(words.read_bytes())))
    with pytest.raises(DataError, match=r"valid\.tokens\.bin"):
        model.project()
    model.run.info["corpus"]["hash"] = "0" * 64
    with pytest.raises(DataError, match="000000000000"):
        model.project()


# the only label


@pytest.mark.parametrize(("names", "color"), [((), "length"), (("mood",), "mood"), (("mood", "stars"), "length")])
def test_a_single_label_is_the_colour_by_default(names: tuple[str, ...], color: str) -> None:
    assert projection.default_color(names) == color


def test_a_corpus_with_one_label_is_coloured_by_it(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "moods.csv"
    path.write_text(
        "text,mood\n" + "".join(f"{text},{'bad' if i % 3 else 'good'}\n" for i, text in enumerate(tiny_text()))
    )
    corpus = prepare.prepare(str(path), label=["mood"], tokenizer=model.tokenizer).corpus
    found = projection.project(model.network, corpus, "train", step=model.step, components=(3, 4))
    assert (found.color, found.values, found.components) == ("mood", ("bad", "good"), (3, 4))
    assert found.labels.tolist() == corpus.labels("train")["mood"].indices.tolist()
    by_length = projection.project(model.network, corpus, "train", "length", step=model.step)
    assert by_length.labels.tolist() == corpus.split("train").lengths.tolist()


# given sentences


def test_a_sentence_has_the_same_mean_from_a_split_and_as_text(model: Model, tiny_corpus: Corpus) -> None:
    split = tiny_corpus.split("train")
    texts = [tiny_corpus.tokenizer.decode(ids.tolist()) for ids in split]
    given, expected = model.project_sentences(texts), model.project("train")
    np.testing.assert_allclose(given.points, expected.points, atol=1e-5)
    assert given.labels.tolist() == expected.labels.tolist()
    assert (given.color, given.values, given.source, given.total) == ("length", (), "", len(texts))
    tuned = model.project_sentences(texts, components=(4, 3), source="mine")
    assert (tuned.components, tuned.source, tuned.step) == ((4, 3), "mine", model.step)
    assert tuned.variance == pytest.approx(model.project("train", components=(4, 3)).variance, rel=1e-4)


def test_labels_stay_with_their_sentences(model: Model) -> None:
    moods = ["bad" if "not" in text else "good" if "cat" in text else "" for text in tiny_text()]
    found = model.project_sentences(tiny_text(), moods, "mood")
    assert (found.color, found.values) == ("mood", ("bad", "good", "(none)"))
    assert [found.values[label] for label in found.labels] == [mood or "(none)" for mood in moods]
    assert model.project_sentences(tiny_text(), range(100)).color == "label"


def test_a_long_stream_gives_a_sample_that_is_always_the_same(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = tiny_text() * 3
    lengths = [str(len(text.split())) for text in texts]
    found = model.project_sentences(iter(texts), most=40)
    assert (len(found.points), found.total) == (40, 300)
    monkeypatch.setattr(gathering, "WINDOW", 7)
    again = model.project_sentences(iter(texts), iter(lengths), most=40)
    np.testing.assert_allclose(again.points, found.points, atol=1e-5)
    assert [int(again.values[label]) for label in again.labels] == found.labels.tolist()
    assert again.total == 300


def test_sentences_without_words_are_left_out_and_counted(model: Model) -> None:
    tally = Tally()
    texts = ["the cat sees the sea", "", "a whale likes it", " \u3000"]
    found = model.project_sentences(texts, ["1", "2", "3", "4"], tally=tally)
    assert (found.values, found.total) == (("1", "3"), 2)
    assert (tally.empty, tally.unknown, tally.words) == (2, 1, 9)
    with pytest.raises(DataError, match="no sentences in mine"):
        model.project_sentences(["", " "], source="mine")


def test_one_sentence_is_the_middle_of_the_map(model: Model) -> None:
    found = model.project_sentences(["the cat sees the sea"])
    assert found.points.tolist() == [[0, 0]]
    assert found.variance == (0, 0)


def test_wrong_sentences_and_labels_are_refused(model: Model, tiny_corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="fewer labels"):
        model.project_sentences(tiny_text(), ["good"])
    with pytest.raises(UsageError, match="more labels"):
        model.project_sentences(tiny_text()[:1], ["good", "bad"])
    with pytest.raises(UsageError, match="one sentence is given"):
        model.project_sentences("the cat")
    with pytest.raises(UsageError, match="most is 0"):
        model.project_sentences(tiny_text(), most=0)
    with pytest.raises(DataError, match="label 'mood' has a value of 1,001 characters"):
        model.project_sentences(tiny_text()[:1], ["x" * 1001], "mood")
    with pytest.raises(DataError, match="'mood' is a list"):
        model.project_sentences(tiny_text()[:1], [["good"]], "mood")
    language_model = new_run(tiny_corpus, "lm", model__latent_size=0, train__epochs=1)
    fit(language_model, tiny_corpus)
    with pytest.raises(UsageError, match="lm is a language model"):
        api.load(language_model).project_sentences(tiny_text())


def test_every_item_of_a_stream_is_as_likely_to_be_in_the_sample() -> None:
    seen: Counter[int] = Counter()
    for seed in range(2000):
        reservoir, kept = gathering.Reservoir(3, seed), {}
        for item in range(12):
            if (place := reservoir.place()) is not None:
                kept[place] = item
        assert (len(kept), reservoir.seen) == (3, 12)
        seen.update(kept.values())
    # Binomial: 2000 draws at 1/4 have a standard deviation of 19.4.
    assert all(abs(seen[item] - 500) < 5 * 19.4 for item in range(12))


# what colours them


def test_the_rarest_values_are_others_and_sentences_without_one_are_none() -> None:
    values = ("", *(f"value {i}" for i in range(11)))
    indices = np.array([index for index in range(12) for _ in range(20 - index)])
    labels, names, palette = projection.coloured(Label(values, indices))
    assert names == (*values[1:7], "(other)", "(none)")
    assert palette == (*pictures.COLORS[:6], projection.OTHER_COLOR, projection.NO_COLOR)
    assert np.bincount(labels).tolist() == [*range(19, 13, -1), 13 + 12 + 11 + 10 + 9, 20]
    eight = Label(values[1:9], np.arange(8))
    assert projection.coloured(eight)[1:] == (values[1:9], pictures.COLORS)
    without = Label(values[:8], np.arange(8))
    labels, names, palette = projection.coloured(without)
    assert (names, palette) == ((*values[1:8], "(none)"), (*pictures.COLORS[:7], projection.NO_COLOR))
    assert labels.tolist() == [7, 0, 1, 2, 3, 4, 5, 6]


def test_the_legend_names_what_is_drawn(model: Model, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    count = len(tiny_corpus.split("valid"))
    label = Label(("", *(f"value {i}" for i in range(20))), np.arange(count) % 3 + 15)
    monkeypatch.setattr(Corpus, "label_names", lambda _: ("mood",))
    monkeypatch.setattr(Corpus, "labels", lambda *_: {"mood": label})
    found = projection.project(model.network, tiny_corpus, "valid", "mood", step=1)
    assert found.values == ("value 14", "value 15", "value 16")
    assert found.labels.tolist() == (np.arange(count) % 3).tolist()


def test_a_label_of_many_numbers_is_a_scale() -> None:
    values = ("", "nan", *(f"{i},5" for i in range(8)), "1e3")
    labels, names, palette = projection.coloured(Label(values, np.array([0, 1, 2, 9, 10])))
    np.testing.assert_array_equal(labels, [np.nan, np.nan, 0.5, 7.5, 1000])
    assert (names, palette) == ((), ())
    few = Label(("1", "2", "3"), np.array([0, 2]))
    assert projection.coloured(few)[1] == ("1", "2", "3")
    nobody = Label(values, np.zeros(3, np.int64))
    assert set(projection.coloured(nobody)[0]) == {7}

"""A map of a split and of given sentences, and the tables that are written of it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae_cli import api
from seqvae_cli.api import Model
from seqvae_cli.data import prepare
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.labels import Label
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.latent.streams import Tally
from seqvae_cli.plotting.maps import map as maps
from seqvae_cli.plotting.maps import page, picture, tables
from seqvae_cli.plotting.maps.map import Map
from tests.conftest import Stages, tiny_text
from tests.trainings import fit, new_run


@pytest.fixture
def model(tiny_corpus: Corpus) -> Model:
    assert tiny_corpus.name == "tiny"
    return api.load("tiny-run")


def made(**given: Any) -> Map:
    """A map of three sentences."""
    known: dict[str, Any] = {
        "means": np.array([[1.0, 2.0, 3.0], [0.0, 0.5, -1.0], [4.0, 4.0, 4.0]]),
        "sentences": ('a "quoted" one', "two\twords", "three"),
        "lengths": np.array([3, 2, 1]),
        "labels": {"mood": Label(("", "bad", "good"), np.array([2, 0, 1]))},
        "source": "valid",
        "step": 7,
        "total": 3,
        "split": "valid",
        "points": np.array([[0.5, -1.0], [1 / 3, 2.0], [1e-9, 3.0]]),
        "method": "pca",
        "color": "mood",
        "active": 3,
    }
    return Map(**known | given)


# making one


def test_a_split_has_its_means_sentences_and_labels(model: Model, tiny_corpus: Corpus) -> None:
    stages = Stages()
    found = model.map(split="train", method="pca", most=20, stage=stages)
    same = model.project("train", most=20)
    assert (found.points == same.points).all()
    assert found.sentences == tuple(
        tiny_corpus.tokenizer.decode(tiny_corpus.split("train")[i]) for i in range(0, 80, 4)
    )
    np.testing.assert_allclose(found.means, model.encode(list(found.sentences)), atol=1e-5)
    assert (found.split, found.source, found.total, found.color, found.labels) == ("train", "train", 80, "length", {})
    assert found.coloured().variance == same.variance
    assert list(stages.done) == ["posteriors", "principal components"]
    assert stages.done["principal components"] == 20
    assert model.map(method="pca").split == "train"  # valid has too few


def test_labels_and_ids_of_a_corpus_stay_with_their_sentences(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "moods.csv"
    rows = [f"{text},{'not' if 'not' in text else 'so'},row {i}" for i, text in enumerate(tiny_text())]
    path.write_text("\n".join(["text,mood,name", *rows]) + "\n")
    corpus = prepare.prepare(str(path), label=["mood"], id="name", tokenizer=model.tokenizer).corpus
    found = maps.of_split(model.network, corpus, "train", method="pca", step=3, most=30)
    label = found.labels["mood"]
    assert [label.values[i] for i in label.indices] == ["not" if "not" in text else "so" for text in found.sentences]
    assert [tiny_text()[int(name.split()[1])] for name in found.ids] == list(found.sentences)
    assert found.color == "mood"
    header, *lines = tables.rows(found)
    assert header == ["text", "x", "y", "id", "split", "length", "mood"]
    assert lines[0][3:5] == [found.ids[0], "train"]


def test_given_sentences_have_several_labels(model: Model) -> None:
    texts, tally = [*tiny_text()[:30], " ", "the whale sees it"], Tally()
    lengths = [len(text.split()) for text in texts]
    found = model.map(
        iter(texts), labels={"words": iter(lengths), "first": [text[:1] for text in texts]}, method="pca",
        color="first", source="mine", tally=tally,
    )  # fmt: skip
    assert found.sentences == (*texts[:30], texts[31])
    words = found.labels["words"]
    assert [int(words.values[i]) for i in words.indices] == found.lengths.tolist()
    assert (found.coloured().values, found.colors()) == (("a", "t"), ("length", "words", "first"))
    assert (tally.empty, tally.unknown, found.source, found.split, found.total) == (1, 1, "mine", "", 31)
    sampled = model.map(iter(texts), labels={"words": lengths}, most=7, method="pca")
    assert sampled.color == "words"
    assert [len(text.split()) for text in sampled.sentences] == sampled.lengths.tolist()
    assert set(sampled.sentences) < set(texts)


def test_what_does_not_go_together_is_refused(model: Model, tiny_corpus: Corpus) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"sentences": ["it"], "split": "valid"}, "sentences and a split are given"),
        ({"labels": {"mood": ["good"]}}, "labels goes with sentences"),
        ({"split": "dev"}, "no split 'dev'"),
        ({"color": "mood"}, "no label 'mood'"),
        ({"sentences": ["it"], "color": "mood"}, "no label 'mood'"),
        ({"sentences": ["it"], "labels": ["good"]}, "labels are a list"),
        ({"sentences": ["it"], "labels": {"mood": 3}}, "labels are 3"),
        ({"sentences": ["it"], "labels": {"length": ["3"]}}, "cannot have the name 'length'"),
        ({"sentences": ["it"], "labels": {"mood": []}}, "fewer labels"),
        ({"sentences": ["it"], "labels": {"mood": ["good", "bad"]}}, "more labels"),
        ({"sentences": ["it", "it"], "labels": {"mood": ["good", "bad"], "kind": ["a"]}}, "differ in their number"),
        ({"sentences": "it"}, "one sentence is given"),
        ({"method": "tnse"}, "no method 'tnse'"),
        ({"method": 3}, "no method 3"),
        ({"most": 0}, "most is 0"),
    ]
    for options, message in refused:
        with pytest.raises(UsageError, match=message):
            model.map(**options)
    with pytest.raises(DataError, match="no sentences in mine"):
        model.map([""], source="mine")
    pytest.importorskip("sklearn")
    with pytest.raises(UsageError, match="linear discriminants part the values of a label"):
        model.map(method="lda")
    language_model = new_run(tiny_corpus, "lm", model__latent_size=0, train__epochs=1)
    fit(language_model, tiny_corpus)
    with pytest.raises(UsageError, match="lm is a language model"):
        api.load(language_model).map()


def test_a_dimension_that_varies_is_active(model: Model) -> None:
    found = model.map(tiny_text(), method="pca")
    assert found.active == int((model.encode(tiny_text()).var(0) > 0.01).sum())
    assert model.map(["it"] * 6, method="pca").active == 0
    assert (model.map(["it"] * 6).points == 0).all()


# writing one


def test_rows_hold_coordinates_and_what_is_known() -> None:
    assert list(tables.rows(made())) == [
        ["text", "x", "y", "split", "length", "mood"],
        ['a "quoted" one', "0.5", "-1", "valid", "3", "good"],
        ["two\twords", "0.333333", "2", "valid", "2", ""],
        ["three", "1e-09", "3", "valid", "1", "bad"],
    ]


def test_labels_with_the_names_of_columns_are_renamed() -> None:
    label = Label(("a",), np.zeros(3, np.int64))
    header, *lines = tables.rows(made(labels=dict.fromkeys(("x", "label_x", "text", "split"), label), split=""))
    assert header == ["text", "x", "y", "length", "label_x", "label_label_x", "label_text", "split"]
    assert all(len(line) == len(header) for line in lines)


def test_parquet_reads_back_with_numbers_as_numbers() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    labels = {
        "mood": made().labels["mood"],
        "stars": Label(("", "1", "10"), np.array([1, 0, 2])),
        "share": Label(("0.5", "2"), np.array([0, 1, 0])),
        "code": Label(("007", "12"), np.array([0, 1, 1])),
        "huge": Label(("9" * 30,), np.zeros(3, np.int64)),
        "odd": Label(("1", "nan"), np.array([0, 1, 1])),
    }
    content = tables.parquet(made(labels=labels, ids=("1", "2", "3")))
    read = parquet.read_table(io.BytesIO(content)).to_pydict()
    assert list(read) == ["text", "x", "y", "id", "split", "length", *labels]
    assert read["text"] == list(made().sentences)
    assert (read["x"], read["y"]) == tuple(made().points.T.tolist())
    assert (read["length"], read["id"]) == ([3, 2, 1], ["1", "2", "3"])
    assert (read["mood"], read["stars"], read["share"]) == (["good", "", "bad"], [1, None, 10], [0.5, 2, 0.5])
    assert (read["code"], read["huge"], read["odd"]) == (["007", "12", "12"], ["9" * 30] * 3, ["1", "nan", "nan"])
    assert content == tables.parquet(made(labels=labels, ids=("1", "2", "3")))


def test_the_files_of_the_projector_agree() -> None:
    files = {name: content.decode() for name, content in tables.projector(made()).items()}
    vectors, metadata = (files[name].split("\n") for name in ("vectors.tsv", "metadata.tsv"))
    assert [list(map(float, line.split("\t"))) for line in vectors[:-1]] == made().means.tolist()
    assert metadata == [
        "text\tsplit\tlength\tmood",
        'a "quoted" one\tvalid\t3\tgood',
        "two words\tvalid\t2\t(none)",
        "three\tvalid\t1\tbad",
        "",
    ]
    odd = tables.projector(made(labels={"a\tb\nc": made().labels["mood"]}))["metadata.tsv"].decode()
    assert odd.split("\n")[0] == "text\tsplit\tlength\ta b c"
    config = files["projector_config.pbtxt"]
    assert re.findall(r"tensor_shape: (\d+)", config) == ["3", "3"]
    assert re.findall(r'_path: "(.*)"', config) == ["vectors.tsv", "metadata.tsv"]
    with pytest.raises(UsageError, match="codes of one dimension"):
        tables.projector(made(means=np.ones((3, 1))))


def test_numbers_that_no_scale_holds_have_no_colour() -> None:
    values = (*(f"{number}.5" for number in range(12)), "1e308", "-1e308", "inf")
    count = len(values)
    label = Label(values, np.arange(count))
    rest: dict[str, Any] = {"points": np.zeros((count, 2)), "means": np.zeros((count, 3)), "total": count}
    rest |= {"sentences": ("a",) * count, "lengths": np.ones(count, np.int64)}
    found = made(labels={"size": label}, color="size", ids=(), **rest)
    np.testing.assert_array_equal(found.coloured().labels, [*np.arange(12) + 0.5, np.nan, np.nan, np.nan])
    assert b'"high":1' in page.page("run", found)


def test_a_picture_names_its_method_and_its_axes() -> None:
    pytest.importorskip("matplotlib")
    axes = picture.figure("my run", made()).axes[0]
    assert axes.get_xlabel().startswith("principal component 1 (")
    assert axes.get_title(loc="left") == "my run"
    assert [text.get_text() for text in axes.texts] == ["posterior means by principal components: 3 sentences of valid"]
    near = picture.figure("my run", made(method="tsne", color="length")).axes[0]
    assert (near.get_xlabel(), near.get_ylabel(), len(near.get_xticks())) == ("", "", 0)
    parting = picture.figure("my run", made(method="lda")).axes[0]
    assert (parting.get_xlabel(), parting.get_ylabel()) == ("discriminant 1", "first principal component of the rest")
    assert picture.picture("my run", made(), "svg") == picture.picture("my run", made(), "svg")

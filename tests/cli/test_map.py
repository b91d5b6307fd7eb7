"""`seqvae map`: the files it writes, what it says, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from tests.conftest import Seqvae, tiny_text


@pytest.fixture
def here(tmp_path: Path, trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a run, and a table of 100 sentences with the labels `mood` and `number`."""
    assert trained_home.is_dir()
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "moods.csv").open("w", newline="") as file:
        rows = [("good" if "cat" in text else "bad", text, i) for i, text in enumerate(tiny_text())]
        csv.writer(file).writerows([("mood", "sentence", "number"), *rows])
    return tmp_path


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), dialect="excel-tab"))


def test_the_same_file_twice_gives_the_same_bytes(seqvae: Seqvae, here: Path) -> None:
    pytest.importorskip("sklearn")
    for name in ("one.tsv", "two.tsv"):
        answer = seqvae("map", "--data", "moods.csv", "--label", "mood", "--label", "number", "-o", name)
        assert (answer.code, answer.out) == (0, "")
        assert answer.err.splitlines()[-1] == f"written: {name}"
    assert (here / "one.tsv").read_bytes() == (here / "two.tsv").read_bytes()
    rows = read((here / "one.tsv").read_text())
    assert list(rows[0]) == ["text", "x", "y", "length", "mood", "number"]
    assert [(row["text"], row["number"]) for row in rows] == [(text, str(i)) for i, text in enumerate(tiny_text())]
    assert all(row["mood"] == ("good" if "cat" in row["text"] else "bad") for row in rows)
    assert len({(row["x"], row["y"]) for row in rows}) > 50


def test_the_table_of_a_split_goes_to_standard_output(seqvae: Seqvae, here: Path) -> None:
    answer = seqvae("map", "tiny-run", "--method", "pca", "--split", "valid", "-o", "-", "-q")
    assert (answer.code, answer.err) == (0, "")
    rows = read(answer.out)
    assert len(rows) == 10
    assert {row["split"] for row in rows} == {"valid"}
    assert not list(here.glob("*map*"))
    piped = seqvae("map", "--method", "pca", "--data", "-", "-o", "-", "-q", stdin=b"the cat sees it\na dog likes it\n")
    assert [row["text"] for row in read(piped.out)] == ["the cat sees it", "a dog likes it"]


def test_a_page_and_the_projector_are_written_and_told_in_json(seqvae: Seqvae, here: Path) -> None:
    options = ["--data", "moods.csv", "--color", "mood", "--method", "pca"]
    answer = seqvae("map", *options, "-o", "map.HTML", "--projector", "out", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told.pop("active_units") in range(5)
    assert told == {
        "path": str(here / "map.HTML"),
        "projector": str(here / "out"),
        "run": "tiny-run",
        "method": "pca",
        "color": "mood",
        "split": None,
        "data": ["moods.csv"],
        "sentences": 100,
        "total": 100,
    }
    assert (here / "map.HTML").read_text().startswith("<!DOCTYPE html>")
    assert [len((here / "out" / name).read_text().splitlines()) for name in ("vectors.tsv", "metadata.tsv")] == [
        100,
        101,
    ]


def test_the_projector_alone_writes_no_picture(seqvae: Seqvae, here: Path) -> None:
    answer = seqvae("map", "--projector", "my folder", "--split", "test", "--json")
    told = json.loads(answer.out)
    assert (told["path"], told["method"], told["sentences"]) == (None, None, 10)
    assert sorted(path.name for path in here.glob("*/*") if path.parent.name == "my folder") == [
        "metadata.tsv",
        "projector_config.pbtxt",
        "vectors.tsv",
    ]
    said = seqvae("map", "--projector", "my folder").err.splitlines()
    assert said[-2:] == ["written: my folder", "open it: tensorboard --logdir 'my folder'"]
    assert not list(here.glob("*.png"))


def test_a_picture_named_after_the_run_is_the_default(seqvae: Seqvae, here: Path) -> None:
    pytest.importorskip("matplotlib")
    answer = seqvae("map", "--method", "pca")
    assert (answer.code, answer.out) == (0, "")
    assert (here / "tiny-run-map.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_library_principal_components_are_shown_and_told(
    seqvae: Seqvae, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sklearn", "umap"):
        monkeypatch.setitem(sys.modules, name, None)
    answer = seqvae("map", "-o", "map.html", "--split", "valid")
    assert answer.code == 0
    assert 'principal components; t-SNE would show neighbours: pip install "seqvae[analysis]"' in answer.err
    refused = seqvae("map", "--method", "umap")
    assert refused.code == 5
    assert refused.err == 'error: UMAP needs the package umap-learn\nhint: pip install "seqvae[umap]"\n'
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert 'hint: pip install "seqvae[parquet]"' in seqvae("map", "-o", "map.parquet").err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert seqvae("map").err.splitlines()[1] == 'hint: pip install "seqvae[plot]"; -o map.html needs nothing'
    assert [path.name for path in here.glob("*map*")] == ["map.html"]


def test_few_sentences_are_shown_by_principal_components(seqvae: Seqvae, here: Path) -> None:
    assert here.is_dir()
    answer = seqvae("map", "--data", "-", "-o", "-", stdin=b"the cat sees it\n\na dog likes it\n")
    assert (answer.code, len(answer.lines)) == (0, 3)
    assert "principal components; 2 sentences are too few for t-SNE" in answer.err
    assert "1 empty sentence; its row is left out" in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-o", "map.gif"], 2, "known: .png, .svg, .pdf, .html, .tsv, .parquet"),
        (["-o", "nowhere/map.tsv"], 2, "name a file in an existing folder"),
        (["-o", "-", "--json"], 2, "--json does not go with -o -"),
        (["--method", "tnse"], 2, "did you mean 'tsne'?"),
        (["--split", "dev"], 2, "known: train, valid, test"),
        (["--color", "mood"], 2, "has no label 'mood'"),
        (["--data", "moods.csv", "--color", "mod"], 2, "did you mean 'mood'?"),
        (["--data", "moods.csv", "--split", "valid"], 2, "--split does not go with --data"),
        (["--data", "nothing.txt"], 2, "no file 'nothing.txt'"),
        (["--text", "sentence"], 2, "--text goes with --data alone"),
        (["--label", "mood"], 2, "--label goes with --data alone"),
        (["--method", "lda", "-o", "map.tsv"], 2, "linear discriminants part the values of a label"),
        (["--method", "pca", "--projector", "out"], 2, "--method goes with a map"),
        (["--data", "moods.tsv", "-o", "moods.tsv"], 2, "'moods.tsv' is the input"),
        (["--projector", "moods.csv"], 2, "--projector names a folder"),
        (["--projector", "nowhere/out"], 2, "cannot be a folder"),
        (["tiny-run", "-r", "other"], 2, "two runs are named"),
        (["other"], 3, "no run"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    seqvae: Seqvae, here: Path, arguments: list[str], code: int, said: str
) -> None:
    pytest.importorskip("sklearn")
    (here / "moods.tsv").write_text("text\tmood\nthe cat sees it\tgood\n")
    before = set(here.iterdir())
    answer = seqvae("map", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert set(here.iterdir()) == before

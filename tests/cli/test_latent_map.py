"""`seqvae runs plot --latent`: sentences of files, components, colours, and what does not go together."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.data import corpus as corpora
from seqvae_cli.plotting import latent, projection
from tests.conftest import Answer, Seqvae, tiny_text

MAP = ("runs", "plot", "--latent")
PICTURE = b"a picture"

Drawn = Callable[..., tuple[dict[str, Any], projection.Means]]


@pytest.fixture
def here(tmp_path: Path, trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a run, and a table of 100 sentences with the labels `mood` and `number`."""
    assert trained_home.is_dir()
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "moods.csv").open("w", newline="") as file:
        rows = [("good" if "cat" in text else "bad", text, i) for i, text in enumerate(tiny_text())]
        csv.writer(file).writerows([("mood", "sentence", "number"), *rows])
    (tmp_path / "notes.txt").write_text("the cat sees the whale\n\na dog likes it\n")
    return tmp_path


@pytest.fixture
def drawn(seqvae: Seqvae, here: Path, monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The answer of a map in JSON, and the means that it shows; no picture is made."""
    assert here.is_dir()
    shown: list[projection.Means] = []

    def picture(name: str, lines: object, means: projection.Means, kind: str) -> bytes:
        assert (name, bool(lines), kind) == ("tiny-run", True, "png")
        shown.append(means)
        return PICTURE

    monkeypatch.setattr(latent, "picture", picture)

    def call(*arguments: str, stdin: bytes = b"") -> tuple[dict[str, Any], projection.Means]:
        answer = seqvae(*MAP, *arguments, "--json", stdin=stdin)
        assert answer.code == 0, answer.err
        return json.loads(answer.out), shown[-1]

    return call


def test_the_sentences_of_a_table_are_drawn_with_their_label(drawn: Drawn, here: Path) -> None:
    shutil.rmtree(corpora.find("tiny").path)  # it is not needed
    answer, means = drawn("--data", "moods.csv", "--label", "mood", "--components", "4,2", "-o", "map.png")
    shares = answer.pop("variance")
    assert answer == {
        "path": str(here / "map.png"),
        "runs": ["tiny-run"],
        "panels": ["rates", "means"],
        "split": None,
        "data": ["moods.csv"],
        "sentences": 100,
        "total": 100,
        "color": "mood",
        "components": [4, 2],
    }
    assert 0 < shares[0] < shares[1] < 1
    assert (here / "map.png").read_bytes() == PICTURE
    assert [means.values[index] for index in means.labels] == [
        "good" if "cat" in text else "bad" for text in tiny_text()
    ]
    assert means.source == "moods.csv"


def test_the_colour_names_a_column_and_several_labels_leave_the_length(drawn: Drawn, seqvae: Seqvae) -> None:
    assert drawn("--data", "moods.csv", "--color", "mood")[1].values == ("bad", "good")
    answer, means = drawn("--data", "moods.csv", "--label", "mood", "--label", "number")
    assert (answer["color"], means.values) == ("length", ())
    assert means.labels.tolist() == [len(text.split()) for text in tiny_text()]
    told = seqvae(*MAP, "--data", "moods.csv", "--label", "mood", "--label", "number").err
    assert told.splitlines()[:2] == [
        "text: sentence (--text-column says otherwise)",
        "coloured by length; --color takes mood, number, too",
    ]
    assert drawn("--data", "moods.csv", "--label", "mood", "--color", "length")[0]["color"] == "length"
    numbers = drawn("--data", "moods.csv", "--label", "mood", "--color", "number")[1]
    assert (numbers.labels.tolist(), numbers.values) == (list(range(100)), ())


def test_several_files_and_standard_input_are_read(drawn: Drawn, here: Path) -> None:
    answer, means = drawn("--data", "moods.csv", "--data", "notes.txt", "--text-column", "sentence")
    assert (answer["sentences"], answer["data"]) == (102, ["moods.csv", "notes.txt"])
    assert means.source == "2 files"
    table = here.joinpath("moods.csv").read_bytes()
    piped = drawn("--data", "-", "--format", "csv", "--color", "mood", stdin=table)
    assert piped[1].source == "standard input"
    assert piped[0]["variance"] == drawn("--data", "moods.csv", "--color", "mood")[0]["variance"]
    latin = drawn("--data", "-", "--encoding", "utf-16", stdin="the cat\n".encode("utf-16"))
    assert latin[0]["sentences"] == 1


@pytest.mark.parametrize("color", [(), ("--color", "folder")])
def test_the_folders_of_a_folder_are_a_label(drawn: Drawn, here: Path, color: tuple[str, ...]) -> None:
    for mood, sentence in (("good", "the cat sees it"), ("bad", "a dog likes it")):
        (here / "moods" / mood).mkdir(parents=True)
        (here / "moods" / mood / "some.txt").write_text(f"{sentence}\n{sentence}\n")
    answer, means = drawn("--data", "moods", *color)
    assert (answer["sentences"], answer["color"], answer["data"]) == (4, "folder", ["moods"])
    assert (means.values, means.source) == (("bad", "good"), "moods")
    assert means.labels.tolist() == [0, 0, 1, 1]


def test_a_split_takes_components_and_says_them(drawn: Drawn) -> None:
    answer, means = drawn("--split", "train", "--components", "3,1")
    assert (answer["split"], answer["data"], answer["components"], answer["total"]) == ("train", None, [3, 1], 80)
    assert answer["variance"][0] < answer["variance"][1]
    assert means.points.shape == (80, 2)
    assert drawn()[0]["components"] == [1, 2]


def test_a_picture_of_a_file_is_made_and_its_unknown_words_are_told(seqvae: Seqvae, here: Path) -> None:
    pytest.importorskip("matplotlib")
    answer = seqvae(*MAP, "--data", "notes.txt", "-o", "map.svg")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.splitlines() == [
        "warning: 1 of 9 words is unknown, read as <unk>: 'whale'",
        "warning: 1 empty sentence; its row is left out",
        "written: map.svg",
    ]
    assert b"2 sentences of notes.txt" in (here / "map.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--data", "nothing.txt"], 2, "no file 'nothing.txt'"),
        (["--data", "the cat sees"], 2, "hint: --data takes files of sentences"),
        (["--data", "folder"], 4, "folder has no .txt"),
        (["--data", "notes", "--color", "folder"], 2, "no label 'folder': the files lie in one folder"),
        (["--data", "empty.txt"], 4, "no sentences in empty.txt"),
        (["--data", "notes.txt", "--data", "-"], 2, "cannot be combined"),
        (["tiny-run", "--data", "notes.txt", "moods.csv"], 2, "hint: give each file a --data of its own"),
        (["--data", "notes.txt", "--split", "valid"], 2, "--split does not go with --data"),
        (["--data", "notes.txt", "--color", "mood"], 2, "notes.txt is text, without columns"),
        (["--data", "moods.csv", "--color", "mod"], 2, "did you mean 'mood'?"),
        (["--data", "moods.csv", "--label", "length"], 2, "cannot have the name 'length'"),
        (["--data", "moods.csv", "--format", "cvs"], 2, "did you mean 'csv'?"),
        (["--data", "moods.csv", "--text", "sentence"], 2, "--text-column"),
        (["--data", "two.csv"], 2, "hint: --text-column one of 'a' (the cat sees it), 'b' (a dog likes it)"),
        (
            ["tiny", "--data", "table.txt"],
            4,
            "hint: seqvae runs plot tiny --latent --data table.txt --format csv --text-column sentence; or",
        ),
        (["--label", "mood"], 2, "--label goes with --data alone"),
        (["--encoding", "latin-1"], 2, "--encoding goes with --data alone"),
        (["--components", "3"], 2, "components are 3\n"),
        (["--components", "one,two"], 2, "components are 'one,two'"),
        (["--components", "0,1"], 2, "hint: give two different ones of 1 to 4"),
        (["--components", "2,2"], 2, "hint: give two different ones of 1 to 4"),
        (["--components", "4,5"], 2, "hint: give two different ones of 1 to 4"),
        (["--components", "9" * 5000 + ",1"], 2, "components are '9999"),
    ],
)
def test_what_does_not_go_together_is_told(
    seqvae: Seqvae, here: Path, arguments: list[str], code: int, said: str
) -> None:
    (here / "folder").mkdir()
    (here / "notes").mkdir()
    shutil.copy("notes.txt", "notes")
    (here / "empty.txt").write_text("\n\n")
    (here / "two.csv").write_text("a,b\nthe cat sees it,a dog likes it\nthe old man paints,it does not follow\n")
    shutil.copy(here / "moods.csv", here / "table.txt")
    answer = seqvae(*MAP, *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not list(here.glob("*.png"))


@pytest.mark.parametrize("option", ["--data", "--components", "--label", "--format", "--text-column", "--encoding"])
def test_options_of_the_map_need_it(seqvae: Seqvae, here: Path, option: str) -> None:
    assert here.is_dir()
    answer: Answer = seqvae("runs", "plot", option, "x")
    assert answer.code == 2
    assert answer.err == f"error: {option} goes with --latent alone\nhint: add --latent\n"

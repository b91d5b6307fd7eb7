"""`seqvae neighbours`: queries and candidates by every door, what it prints, and what it refuses."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.api import load
from seqvae_cli.cli import boundary
from tests.cli.terminal import on_terminal
from tests.conftest import SMALL, Seqvae, tiny_text
from tests.faults.test_long_lines_and_pauses import Pipes, talk
from tests.latent.test_code_sets import Encodings

QUERY = "the cat sees the sea"


@pytest.fixture
def here(tmp_path: Path, trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a run, a text and a table of 100 sentences with ids and moods."""
    assert trained_home.is_dir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.txt").write_text("\n".join(tiny_text()) + "\n")
    with (tmp_path / "moods.csv").open("w", newline="") as file:
        rows = [("good" if "cat" in text else "bad", text, f"n{i}") for i, text in enumerate(tiny_text())]
        csv.writer(file).writerows([("mood", "sentence", "number"), *rows])
    return tmp_path


def told(seqvae: Seqvae, *arguments: str, stdin: bytes = b"") -> list[dict[str, Any]]:
    answer = seqvae("neighbours", *arguments, "--json", stdin=stdin)
    assert answer.code == 0, answer.err
    return [json.loads(line) for line in answer.lines]


def test_the_columns_are_sentence_rank_distance_and_neighbour(seqvae: Seqvae, here: Path) -> None:
    assert here.is_dir()
    expected = load("tiny-run").neighbours([QUERY], n=3)[0]
    answer = seqvae("neighbours", QUERY, "-n", "3")
    assert (answer.code, answer.err) == (0, "")
    assert [line.split("\t") for line in answer.lines] == [
        [QUERY, str(rank), f"{one.distance:.4f}", one.sentence] for rank, one in enumerate(expected, 1)
    ]
    (row,) = told(seqvae, QUERY, "-n", "3")
    assert (row["text"], row["among"], row["metric"]) == (QUERY, "train", "euclidean")
    assert row["neighbours"] == [
        {"text": one.sentence, "distance": one.distance, "place": one.place} for one in expected
    ]


def test_metrics_and_splits_are_those_of_the_library(seqvae: Seqvae, here: Path) -> None:
    assert here.is_dir()
    for metric in ("cosine", "kl"):
        expected = load("tiny-run").neighbours([QUERY], "valid", n=2, metric=metric)[0]
        (row,) = told(seqvae, QUERY, "-n", "2", "--split", "valid", "--metric", metric)
        assert [one["distance"] for one in row["neighbours"]] == [one.distance for one in expected]
        assert told(seqvae, QUERY, "-n", "2", "--among", "valid", "--metric", metric) == [row]


def test_a_table_gives_its_ids_and_labels_to_the_neighbours_of_any_sentence(seqvae: Seqvae, here: Path) -> None:
    columns = ("--label", "mood", "--id", "number")
    (row,) = told(seqvae, QUERY, "-n", "1", "--among", "moods.csv", *columns)
    assert row.keys() == {"text", "among", "metric", "neighbours"}
    (near,) = row["neighbours"]
    assert near["distance"] == pytest.approx(0, abs=1e-6)
    assert near == {
        **{"text": QUERY, "distance": near["distance"], "place": 0},
        **{"id": "n0", "labels": {"mood": "good"}},
    }
    (here / "asked.txt").write_text(f"{QUERY}\n\n")
    texts = seqvae("neighbours", "asked.txt", "-n", "1", "--among", "moods.csv", *columns)
    assert [line.split("\t") for line in texts.lines] == [
        [QUERY, "1", "0.0000", QUERY, "n0", "good"],
        ["", "", "", "", "", ""],
    ]
    piped = seqvae("neighbours", "-", "-n", "1", "--among", "moods.csv", *columns, stdin=f"{QUERY}\n\n".encode())
    assert piped.out == texts.out
    both = told(seqvae, "moods.csv", "-n", "1", "--among", "moods.csv", *columns)
    assert [(row["id"], row["labels"]) for row in both[:2]] == [("n0", {"mood": "good"}), ("n1", {"mood": "good"})]
    assert all(row["text"] == row["neighbours"][0]["text"] for row in both)
    queries = told(seqvae, "moods.csv", "-n", "1", "--among", "all.txt", *columns)
    assert (queries[0]["id"], queries[0]["neighbours"][0].keys()) == ("n0", {"text", "distance", "place"})


def test_files_of_every_kind_are_candidates(seqvae: Seqvae, here: Path) -> None:
    near = told(seqvae, QUERY, "--among", "all.txt")[0]["neighbours"]
    (here / "some.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in tiny_text()))
    (here / "all.txt.gz").write_bytes(gzip.compress((here / "all.txt").read_bytes()))
    for names in (["some.jsonl"], ["all.txt.gz"], ["moods.csv", "all.txt"]):
        among = [part for name in names for part in ("--among", name)]
        assert told(seqvae, QUERY, *among)[0]["neighbours"] == near
    assert told(seqvae, QUERY, "--among", "-", stdin=(here / "all.txt").read_bytes())[0]["neighbours"] == near
    for mood, sentence in (("good", QUERY), ("bad", "a dog likes it")):
        (here / "moods" / mood).mkdir(parents=True)
        (here / "moods" / mood / "some.txt").write_text(f"{sentence}\n")
    found = told(seqvae, QUERY, "--among", "moods")[0]["neighbours"]
    assert [(one["text"], one["labels"]) for one in found] == [
        (QUERY, {"folder": "good"}),
        ("a dog likes it", {"folder": "bad"}),
    ]


def test_a_file_is_encoded_once_and_a_changed_one_again(
    seqvae: Seqvae, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encodings = Encodings(monkeypatch)

    def batches() -> int:
        before = encodings.count
        told(seqvae, QUERY, "--among", "all.txt")
        return encodings.count - before

    first = batches()
    assert batches() == 1  # the query
    with (here / "all.txt").open("a") as file:
        file.write("the whale sees people\n")
    assert batches() >= first
    assert seqvae("neighbours", QUERY, "--among", "all.txt", "-n", "1").err == (
        "warning: 1 of 634 words of all.txt is unknown, read as <unk>\n"
    )


def test_a_named_pipe_is_read_once(seqvae: Seqvae, here: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo("pipe")
    if os.fork() == 0:
        (here / "pipe").write_text(f"{QUERY}\na dog likes it\n")
        os._exit(0)
    assert [one["text"] for one in told(seqvae, QUERY, "--among", "pipe")[0]["neighbours"]] == [QUERY, "a dog likes it"]
    os.wait()


@pytest.mark.usefixtures("here")
def test_a_stream_is_answered_when_it_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    def script(pipes: Pipes) -> None:
        for line in (QUERY, "", "a dog likes it"):
            pipes.say(line.encode())
            answer = json.loads(pipes.hear(1)[0])
            assert answer["text"] == line
            assert (answer["neighbours"] is None) == (not line)

    assert talk(monkeypatch, ["neighbours", "-", "-n", "1", "--split", "valid", "--json"], script) == 0


def test_a_terminal_shows_a_table_for_each_sentence(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here.is_dir()
    monkeypatch.setenv("COLUMNS", "80")
    screen = on_terminal(monkeypatch)
    arguments = [QUERY, "a dog likes it", "-n", "2", "--among", "moods.csv", "--label", "mood", "--no-color"]
    assert boundary.main(["neighbours", *arguments]) == 0
    shown = [line for line in screen.getvalue().splitlines() if "\x1b" not in line and "..." not in line]
    assert [line.split() for line in shown if "distance" in line] == [["distance", "neighbour", "mood"]] * 2
    assert "  0.0000  a dog likes it  " in "\n".join(shown)
    assert max(map(len, shown)) <= 80


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([QUERY, "-n", "0"], 2, "--number takes a whole number from 1 to 10000"),
        ([QUERY, "--split", "dev"], 2, "no split 'dev'"),
        ([QUERY, "--split", "valid", "--among", "all.txt"], 2, "--split does not go with --among"),
        ([QUERY, "--metric", "manhattan"], 2, "hint: known: cosine, euclidean, kl"),
        ([QUERY, "--among", "nothing.txt"], 2, "no file 'nothing.txt'"),
        ([QUERY, "--among", "a dog likes it"], 2, "--among takes files of sentences"),
        (["-", "--among", "-"], 2, "cannot be both"),
        (["all.txt", "--among", "-", "--among", "all.txt"], 2, "cannot be combined"),
        ([QUERY, "--among", "empty.txt"], 4, "no sentences in empty.txt"),
        ([QUERY, "--among", "all.txt", "--label", "mood"], 2, "all.txt is text, without columns"),
        ([QUERY, "--among", "moods.csv", "--label", "mod"], 2, "did you mean 'mood'?"),
        ([QUERY, "--label", "mood"], 2, "columns go with files"),
        (["", "--among", "all.txt"], 2, "an empty sentence has no code"),
        ([QUERY, "--among", "latin.txt"], 4, "--encoding"),
        ([QUERY, "-r", "nobody"], 3, "no run"),
    ],
)
def test_bad_input_is_told(seqvae: Seqvae, here: Path, arguments: list[str], code: int, said: str) -> None:
    (here / "empty.txt").write_text("\n \n")
    (here / "latin.txt").write_bytes(b"the caf\xe9\n")
    answer = seqvae("neighbours", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.usefixtures("trained_home")
def test_a_language_model_has_no_codes(seqvae: Seqvae) -> None:
    assert seqvae("train", "--data", "tiny", "--preset", "lm", *SMALL, "--set", "model.latent_size=0").code == 0
    answer = seqvae("neighbours", QUERY)
    assert (answer.code, answer.out) == (2, "")
    assert "has no latent code" in answer.err

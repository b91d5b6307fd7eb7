"""The page about one's own text: its commands run, on small files of the names that it uses."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from seqvae_cli.data import corpus
from seqvae_cli.plotting import latent
from tests.conftest import SMALL, Seqvae
from tests.test_docs import ROOT, blocks, calls, shown

PAGE = ROOT / "docs" / "own-text.md"

ROWS = [
    {"number": i, "review_text": f"{thing} is {what}, all told", "sentiment": feeling, "stars": 1 + i % 5}
    for i, (thing, (what, feeling)) in enumerate(
        (thing, said)
        for thing in ("my mug", "this lamp", "the chair", "a jacket", "one book", "the train")
        for said in (("very good", "positive"), ("really bad", "negative"), ("quite fine", "positive"))
    )
] * 3


def table(path: Path, rows: list[dict[str, object]], delimiter: str = ",") -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page names, to work in."""
    lines = [json.dumps(row) + "\n" for row in ROWS]
    table(tmp_path / "reviews.csv", ROWS)
    table(tmp_path / "reviews.tsv", ROWS, "\t")
    table(tmp_path / "parts.csv", [row | {"part": ("train", "dev", "test")[i % 3]} for i, row in enumerate(ROWS)])
    (tmp_path / "reviews.csv.gz").write_bytes(gzip.compress((tmp_path / "reviews.csv").read_bytes()))
    for name, part in (("reviews", lines), ("part-1", lines[:30]), ("part-2", lines[30:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(part))
    (tmp_path / "sentences.txt").write_text("".join(f"{row['review_text']}\n" for row in ROWS))
    for i, row in enumerate(ROWS):
        path = tmp_path / "films" / str(row["sentiment"]) / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{row['review_text']}\n")
    if find_spec("pyarrow"):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "reviews.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(title: str) -> Iterator[tuple[str, list[str]]]:
    """The lines of the shell in a section, and the words of each; without those that need a missing package."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    missing = {"parquet": "pyarrow", "zst": "zstandard", "plot": "matplotlib"}
    for line in (line for block in blocks(PAGE, "sh") if block in section for line, _ in shown(block)):
        (words, *_) = calls(line)
        if all(find_spec(package) for word, package in missing.items() if word in line.partition("#")[0]):
            yield line, words


def test_the_section_about_files_runs(folder: Path, seqvae: Seqvae) -> None:
    done = []
    for line, words in commands("Files and tables"):
        more = {
            "train": [*SMALL, "--epochs", "1"],
            "eval": ["--samples", "2", "--split", "train"],
            "score": ["--samples", "2"],
        }.get(words[0], [])
        answer = seqvae(*words, *more, stdin=(folder / "reviews.csv").read_bytes() if "-" in words else b"")
        assert answer.code == 0, line + answer.err
        done.append(words[0])
        if words[0] == "prepare":
            made = corpus.latest()
            assert made.info["splits"]["train"]["sentences"] > 10
            flags = [words[i + 1] for i, word in enumerate(words) if word == "--label"]
            assert made.label_names() == (("folder",) if "films" in words else tuple(flags))
        if words[0] == "score":
            assert [row.split("\t")[-1] for row in answer.lines] == [str(row["number"]) for row in ROWS]
        if words[0] == "eval":
            assert "sentiment, named by a linear probe" in answer.out
    assert done.count("prepare") >= 10
    assert set(done) >= {"encode", "score", "reconstruct", "eval"}
    head, *rows = csv.reader((folder / "codes.tsv").read_text().splitlines(), "excel-tab")
    assert head[-2:] == ["number", "sentiment"]
    assert [row[-1] for row in rows] == [str(row["sentiment"]) for row in ROWS]


def test_the_section_about_the_map_runs(folder: Path, seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for line, words in commands("The map"):
        plotted = words[:2] == ["runs", "plot"]
        more = [*SMALL, "--epochs", "1"] if words[0] == "train" else ["--json"] if plotted else []
        answer = seqvae(*words, *more, stdin=(folder / "sentences.txt").read_bytes() if "-" in words else b"")
        assert answer.code == 0, line + answer.err
        if plotted:
            written.append(json.loads(answer.out))
            assert Path(written[-1]["path"]).stat().st_size > (10_000 if len(written) == 1 else 0)
            monkeypatch.setattr(latent, "picture", lambda *_: b"drawn")  # the first picture is enough, and takes long
        if words[0] == "sample":
            assert len(answer.lines) == 5
    if find_spec("matplotlib"):
        assert [one["color"] for one in written] == [
            "sentiment",
            "sentiment",
            "stars",
            "length",
            "length",
            "length",
            "sentiment",
        ]
        assert [one["sentences"] for one in written[1:6]] == [len(ROWS)] * 5
        assert written[-1]["components"] == [3, 4]

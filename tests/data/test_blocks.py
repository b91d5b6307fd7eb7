"""A corpus is the same, byte for byte, in whatever blocks and by however many processes it is made."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.data import blocks, prepare
from seqvae_cli.data.inspection import Inspector
from seqvae_cli.data.tokenizer import SPECIALS, Tokenizer
from seqvae_cli.data.vocabulary import tokenizer_settings
from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.system import files
from seqvae_cli.system.workers import Workers
from tests.data.corpora import left_behind, prepared
from tests.faults.matrix import some, tries, wait_for

LINES = [
    f"{who} {what} {number} {where}"
    for number, (who, what, where) in enumerate(
        random.Random(0).choices(
            [
                ("The dogs' owner", "doesn't see", "the U.S. flag."),
                ("Der Bürgermeister", "fährt um", "Uhr – „heute“."),
                ("İstanbul", "cafe\u0301", "👩‍👩‍👧 <unk>"),
                ("你好。", "今天天气好！明天？", "我不去。"),
                ("No one", "says", "much. He left. She stayed. It rained. Then"),
            ],
            k=150,
        )
    )
]
LINES += LINES[:20]

DOORS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("txt", {}),
    "labels": ("csv", {"label": ["sign"], "id": "number", "split": "part", "dedupe": True}),
    "pattern": ("txt", {"pattern": r" ?\w+|[^\w\s]", "max_len": 7}),
    "whitespace": ("txt", {"tokenizer": "whitespace", "lower": True, "min_count": 2}),
    "characters": ("txt", {"tokenizer": "char", "max_len": 9, "normalize": "nfkc"}),
    "subwords": ("txt", {"tokenizer": "bpe", "vocab_size": 600}),
    "unigrams": ("txt", {"tokenizer": "unigram", "vocab_size": 600}),
    "lines of JSON": ("jsonl", {"label": ["sign"]}),
    "Parquet": ("parquet", {"label": ["sign"]}),
    "documents": ("txt", {"sentences": "document", "language": "en", "dedupe": True}),
}
"""A format and options each, the cheapest first."""


@pytest.fixture
def source(tmp_path: Path) -> Callable[[str], Path]:
    """A file of LINES in a format."""

    def made(form: str) -> Path:
        path = tmp_path / f"lines.{form}"
        signs = ["+-0"[number % 3] for number in range(len(LINES))]
        parts = ["valid" if number % 9 == 3 else "train" for number in range(len(LINES))]
        table = {"text": LINES, "sign": signs, "part": parts, "number": list(map(str, range(len(LINES))))}
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        if form == "parquet":
            arrow = pytest.importorskip("pyarrow")
            pytest.importorskip("pyarrow.parquet").write_table(arrow.table(table), path, row_group_size=40)
        elif form == "csv":
            path.write_text(
                "".join(
                    f'"{text}",{sign},{part},{number}\n'
                    for text, sign, part, number in [
                        ("text", "sign", "part", "number"),
                        *(tuple(row.values()) for row in rows),
                    ]
                ).replace('"text"', "text"),
                encoding="utf-8",
            )
        else:
            lines = LINES if form == "txt" else list(map(json.dumps, rows))
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return made


def made(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, object]:
    """What a corpus has in its files, prepared in a home of its own."""
    with monkeypatch.context() as context:
        context.setenv("SEQVAE_HOME", str(home))
        corpus = prepare.prepare(path, name="same", **options).corpus
        assert left_behind() == []
    found: dict[str, object] = {file.name: file.read_bytes() for file in corpus.path.iterdir()}
    info = {key: value for key, value in corpus.info.items() if key not in ("created", "prepared_at")}
    return found | {"corpus.json": json.dumps(info)}


@pytest.mark.parametrize("door", DOORS)
def test_a_corpus_does_not_depend_on_its_blocks(
    door: str, source: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, options = DOORS[door]
    path = source(form)
    whole = made(path, tmp_path / "whole", monkeypatch, **options)
    monkeypatch.setattr(blocks, "BLOCK", 7)
    assert made(path, tmp_path / "parts", monkeypatch, workers=1, **options) == whole


@pytest.mark.parametrize("door", some(list(DOORS), 2))
def test_a_corpus_does_not_depend_on_the_number_of_processes(
    door: str, source: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, options = DOORS[door]
    path = source(form)
    one = made(path, tmp_path / "one", monkeypatch, workers=1, **options)
    monkeypatch.setattr(blocks, "BLOCK", 16)
    monkeypatch.setattr(blocks, "ALONE", 2)
    assert made(path, tmp_path / "two", monkeypatch, workers=2, **options) == one


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_line_is_the_same_error_in_every_block(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 16)
    monkeypatch.setattr(blocks, "ALONE", 0)
    path = tmp_path / "bad.csv"
    path.write_text("text,sign\n" + "a b,+\n" * 300 + "a b\n" + "a b,-\n" * 9)
    with pytest.raises(DataError, match=r"bad.csv, line 302 has 1 field, the header has 2$"):
        prepare.prepare(path, label="sign", valid_fraction=0.0, test_fraction=0.0, workers=workers)
    assert left_behind() == []


def test_a_worker_that_is_killed_is_one_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 16)
    monkeypatch.setattr(blocks, "ALONE", 0)
    monkeypatch.setattr(
        blocks.Encoding, "__reduce__", lambda _: (eval, ("__import__('os').kill(__import__('os').getpid(), 9)",))
    )
    path = tmp_path / "text.txt"
    path.write_text("a b c\n" * 300)
    with pytest.raises(MachineError, match=r"^a worker process was killed by signal 9$"):
        prepared(path, workers=2)
    assert left_behind() == []


STOPPED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
from seqvae_cli.cli import boundary
from seqvae_cli.data import blocks
blocks.ALONE = 0
sys.exit(boundary.main(["prepare", sys.argv[1], "--workers", "2"]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("seed", tries(20, 1))
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), *some([(signal.SIGTERM, 143)], 0)])
def test_a_signal_ends_all_at_once_and_leaves_nothing(
    number: int, code: int, seed: int, tmp_path: Path, home: Path
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("the cat sees the sea\n" * 1_000_000)  # more than is read before the signal
    words = [sys.executable, "-c", STOPPED, str(path)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for(lambda: any((home / "corpora").glob(f"{files.TEMPORARY}*")) or process.poll() is not None)
        time.sleep(random.Random(seed).uniform(0.0, 1.0))
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=60)  # ends when the last worker has ended, too
    assert process.returncode == code
    assert "Traceback" not in err
    assert err.splitlines()[-1] == f"error: {'interrupted' if code == 130 else 'stopped by SIGTERM'}"
    assert left_behind() == []


def test_workers_load_neither_torch_nor_numpy() -> None:
    tokenizer = Tokenizer("word", False, (*SPECIALS, "a", "b"), "nfc")
    with Workers(2) as workers:
        encoding = blocks.Encoding(tokenizer, None, "H")
        (encoded,) = workers.map(encoding, [[("train", "a b c"), ("test", "b")]])
        assert {split: (list(one.ids), list(one.lengths), one.unknown) for split, one in encoded.splits.items()} == {
            "train": ([4, 5, 3], [3], 1),
            "test": ([5], [1], 0),
        }
        loaded = set().union(*workers.map(eval, ["set(__import__('sys').modules)"] * 9))
    assert "seqvae_cli.data.blocks" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "pydantic", "typer", "rich"})


@pytest.mark.parametrize("options", [options for form, options in DOORS.values() if form == "txt"])
def test_a_tokenizer_can_be_pickled(options: dict[str, Any]) -> None:
    names = ("tokenizer", "pattern", "vocab_size", "lower", "normalize")
    chosen = {name: options[name] for name in names if name in options}
    made = tokenizer_settings(**{"default_kind": "word"} | chosen).learn(LINES, None)[0]
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert [again.encode(line) for line in LINES] == [made.encode(line) for line in LINES]


def test_inspectors_of_parts_find_what_one_finds() -> None:
    texts = ["a,b", "c;d", *LINES, "{", "e,f", "g;h"]
    whole, sum_of_parts = Inspector("word"), Inspector("word")
    for start in range(0, len(texts), 5):
        part = Inspector("word")
        for number, text in enumerate(texts[start : start + 5], start):
            split = "valid" if number % 4 == 1 else "train"
            whole.add(split, text, text)
            part.add(split, text, text)
        sum_of_parts.extend(part)
    assert vars(sum_of_parts) == vars(whole)
    assert sum_of_parts.findings(lambda *_: "") == whole.findings(lambda *_: "")
    assert whole.findings(lambda *_: "")

"""Text -> a prepared corpus: splits, settings, damaged text, crashes and concurrency."""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae_cli.data import build, sources
from seqvae_cli.data.corpus import SplitWriter, find
from seqvae_cli.data.flow import draw_splits
from seqvae_cli.data.prepare import prepare_known, prepare_text
from seqvae_cli.data.sources import text_source
from seqvae_cli.data.toy.build import prepare_toy
from seqvae_cli.errors import DataError, MachineError, NotFoundError, UsageError
from seqvae_cli.system import files, places
from tests.data.corpora import left_behind, prepared, sentences, whole

PTB = Path(os.environ.get("SEQVAE_PTB") or Path(__file__).parents[3] / "shared" / "data" / "ptb")
needs_ptb = pytest.mark.skipif(not (PTB / "ptb.train.txt").is_file(), reason="no PTB here; set SEQVAE_PTB")


# Splits


def test_every_sentence_is_in_one_split_in_text_order(text: Path) -> None:
    corpus = prepared(text, valid_fraction=0.1, test_fraction=0.2).corpus
    parts = {split: sentences(corpus, split) for split in corpus.splits}
    assert {split: len(part) for split, part in parts.items()} == {"train": 70, "valid": 10, "test": 20}
    raw = text.read_text().splitlines()
    assert sorted(itertools.chain.from_iterable(parts.values())) == raw
    assert all(part == sorted(part) for part in parts.values())  # the text is in sorted order


def test_the_vocabulary_comes_from_the_training_split(tmp_path: Path) -> None:
    for name, content in {"train.txt": "a b\n", "valid.txt": "a c\n", "test.txt": "d\n"}.items():
        (tmp_path / name).write_text(content)
    corpus = prepared(tmp_path).corpus
    assert corpus.tokenizer.words[4:] == ("a", "b")
    assert sentences(corpus, "valid") == ["a <unk>"]
    assert [corpus.info["splits"][split]["unknown"] for split in corpus.splits] == [0, 1, 1]


@pytest.mark.parametrize("total", [3, 4, 7, 19, 1000])
@pytest.mark.parametrize("fractions", [(0.05, 0.05), (0.9, 0.05), (0.3, 0.6)])
def test_no_split_is_empty_from_three_sentences_on(tmp_path: Path, total: int, fractions: tuple[float, float]) -> None:
    path = tmp_path / "t.txt"
    path.write_text("x\n" * total)
    corpus = prepared(path, valid_fraction=fractions[0], test_fraction=fractions[1]).corpus
    sizes = [len(corpus.split(split)) for split in ("train", "valid", "test")]
    assert sum(sizes) == total
    assert min(sizes) >= 1


@pytest.mark.parametrize(("total", "empty"), [(1, "valid"), (2, "test")])
def test_too_few_sentences_name_the_empty_split(tmp_path: Path, total: int, empty: str) -> None:
    path = tmp_path / "t.txt"
    path.write_text("x\n" * total)
    with pytest.raises(DataError, match=f"{total} sentences?: the {empty} split is empty"):
        prepared(path)


def test_the_split_depends_on_the_seed_alone(text: Path) -> None:
    first = prepared(text, seed=1).corpus
    assert sentences(prepared(text, seed=2).corpus, "valid") != sentences(first, "valid")
    assert prepared(text, seed=1).corpus.hash == first.hash


def test_all_splits_are_equally_likely() -> None:
    counts = Counter(tuple(draw_splits({"train": 2, "valid": 1, "test": 1}, seed)) for seed in range(6000))
    assert len(counts) == 12
    assert all(abs(count - 500) < 110 for count in counts.values())  # 5 standard deviations


def test_a_missing_split_is_cut_from_training(tmp_path: Path, text: Path) -> None:
    (tmp_path / "v.txt").write_text("sentence\n")
    corpus = prepare_text(text_source(text, valid=tmp_path / "v.txt"), "given").corpus
    assert [len(corpus.split(split)) for split in ("train", "valid", "test")] == [95, 1, 5]


# Settings


def test_min_count_max_len_and_lower(tmp_path: Path) -> None:
    corpus = whole(tmp_path / "t", b"The the cat\nthe Cat sat\ndog\n", lower=True, min_count=2, max_len=2)
    assert sentences(corpus) == ["the the", "the <unk>", "<unk>"]
    counts = corpus.info["splits"]["train"]
    assert (counts["truncated"], counts["unknown"], counts["words"], counts["tokens"]) == (2, 2, 5, 8)
    assert corpus.info["types"] == 3  # truncated words are not counted
    lengths = counts["lengths"]
    assert (lengths["min"], lengths["p50"], lengths["max"]) == (1, 2, 2)


def test_the_char_tokenizer_keeps_spaces(tmp_path: Path) -> None:
    corpus = whole(tmp_path / "t", "C1=CC (é)\r\n  日本 x \n".encode(), tokenizer="char")
    assert sentences(corpus) == ["C1=CC (é)", "日本 x"]
    assert corpus.split("train").lengths.tolist() == [9, 4]


def test_a_huge_max_len_changes_nothing(text: Path) -> None:
    assert prepared(text, max_len=10**9).corpus.hash == prepared(text).corpus.hash


def test_percentiles_equal_those_of_numpy(tmp_path: Path) -> None:
    lengths = [1 + (i * i) % 37 for i in range(500)]
    corpus = whole(tmp_path / "t", "\n".join("w " * length for length in lengths).encode())
    found = corpus.info["splits"]["train"]["lengths"]
    for share in (50, 90, 99):
        assert found[f"p{share}"] == np.percentile(lengths, share, method="inverted_cdf")
    assert found["mean"] == pytest.approx(np.mean(lengths), abs=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        *({"min_count": 0}, {"min_count": -1}, {"max_len": 0}, {"max_len": -1}, {"tokenizer": "none"}),
        *({"valid_fraction": -0.1}, {"test_fraction": 1.0}, {"valid_fraction": float("nan")}),
        *({"valid_fraction": 0.5, "test_fraction": 0.5}, {"encoding": "no-such"}, {"encoding": "rot13"}),
        {"encoding": "a\0b"},
    ],
)
def test_invalid_settings_are_rejected_before_reading(options: dict[str, object]) -> None:
    source = sources.TextSource({"train": (Path("nowhere.txt"),)}, "nothing")
    with pytest.raises(UsageError):
        prepare_text(source, "given", **options)  # type: ignore[arg-type]


# Reuse, crashes and concurrency


def test_preparing_again_only_hashes_the_text(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared(text)
    stages = set()
    monkeypatch.setattr(build, "_encode", None)
    second = prepared(text, watch=lambda stage, _done, _total: stages.add(stage))
    assert (first.fresh, second.fresh) == (True, False)
    assert second.corpus.path == first.corpus.path
    assert second.corpus.hash == first.corpus.hash
    assert stages == {"hash"}


def test_the_same_text_gives_the_same_bytes(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared(text, tokenizer="word").corpus
    monkeypatch.setenv("SEQVAE_HOME", str(tmp_path / "elsewhere"))
    second = prepared(text, tokenizer="word").corpus
    assert second.path.name == first.path.name
    assert second.info["files"] == first.info["files"]
    assert second.hash == first.hash


@pytest.mark.parametrize("damage", ["flip", "truncate", "no json", "bad json", "no tokenizer"])
def test_a_damaged_corpus_is_rebuilt(text: Path, damage: str) -> None:
    first = prepared(text).corpus
    tokens = first.path / "train.tokens.bin"
    data = tokens.read_bytes()
    if damage == "flip":
        tokens.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    elif damage == "truncate":
        tokens.write_bytes(data[:-1])
    elif damage == "bad json":
        (first.path / "corpus.json").write_text("{")
    else:
        (first.path / {"no json": "corpus.json", "no tokenizer": "tokenizer.json"}[damage]).unlink()
    second = prepared(text)
    assert second.fresh
    assert second.corpus.path == first.path
    second.corpus.verify()
    assert left_behind() == []


def test_progress_is_reported_to_the_last_byte(text: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    prepared(text, watch=lambda *args: seen.append(args))
    size = text.stat().st_size
    stages = [stage for stage, _ in itertools.groupby(seen, key=lambda entry: entry[0])]
    assert stages == ["hash", "lines", "count", "encode"]
    for stage in stages:
        assert [entry for entry in seen if entry[0] == stage][-1][1:] == (size, size)


def test_an_interrupted_prepare_leaves_nothing(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = SplitWriter.extend

    def extend(self: SplitWriter, *arguments: Any) -> None:
        if self.name == "valid":
            raise KeyboardInterrupt
        real(self, *arguments)

    monkeypatch.setattr(SplitWriter, "extend", extend)
    with pytest.raises(KeyboardInterrupt):
        prepared(text)
    assert list(places.corpora().iterdir()) == []


CRASH = """
import os, sys
from pathlib import Path
from seqvae_cli.data import prepare, sources
from seqvae_cli.data.corpus import SplitWriter
SplitWriter.finish = lambda self: os._exit(9)
prepare.prepare_text(sources.text_source(Path(sys.argv[1])), "given")
"""


def test_leftovers_of_a_crash_are_ignored_and_swept(text: Path) -> None:
    assert subprocess.run([sys.executable, "-c", CRASH, text], check=False).returncode == 9
    assert left_behind()
    with pytest.raises(NotFoundError):
        find("given")
    assert prepared(text).fresh
    assert left_behind() == []


def test_work_in_progress_is_not_swept(home: Path) -> None:
    with files.claimed(home, "a") as first, files.claimed(home, "a") as second:
        first.mkdir()
        (first / "part").touch()
        second.touch()
        with files.claimed(home, "b"):
            assert (first / "part").exists()
            assert second.exists()
    assert list(home.iterdir()) == []


CONCURRENT = """
import sys
from pathlib import Path
from seqvae_cli.data import prepare, sources
sys.stdin.read(1)
prepared = prepare.prepare_text(sources.text_source(Path(sys.argv[1])), "given")
prepared.corpus.verify()
print(prepared.corpus.hash)
"""


def test_two_prepares_at_once_both_succeed(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"sentence number {i} of the text\n" for i in range(20_000)))
    command = [sys.executable, "-c", CONCURRENT, str(path)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    time.sleep(0.5)
    for process in processes:
        assert process.stdin
        process.stdin.write("x")
        process.stdin.flush()
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert len({out for out, _ in results}) == 1
    assert len(list(places.corpora().iterdir())) == 1


def test_a_full_disk_is_a_machine_error(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="No space left"):
        prepared(text)
    monkeypatch.undo()
    monkeypatch.setenv("SEQVAE_HOME", str(text.parent / "home"))
    assert left_behind() == []
    assert prepared(text).fresh


LIMITED = """
import resource, signal, sys
from pathlib import Path
from seqvae_cli.data import prepare, sources
from seqvae_cli.errors import MachineError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.dont_write_bytecode = True  # it would be cut, too
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    prepare.prepare_text(sources.text_source(Path(sys.argv[1])), "given")
except MachineError as error:
    print(error.message)
"""


def test_a_file_size_limit_is_a_machine_error(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a b c d e f g h\n" * 20_000)
    found = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True)
    assert "File too large" in found.stdout
    assert found.stdout.partition(":")[0].endswith("corpora")  # not a temporary name
    assert left_behind() == []


def test_a_file_in_place_of_the_home_is_a_machine_error(text: Path, home: Path) -> None:
    home.write_text("")
    with pytest.raises(MachineError, match="home"):
        prepared(text)


# Known corpora and toy


@needs_ptb
def test_ptb_has_the_published_counts() -> None:
    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    first = prepare_known("ptb", from_folder=PTB)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - start < 4
    corpus = first.corpus
    assert [len(corpus.split(split)) for split in ("train", "valid", "test")] == [42068, 3370, 3761]
    assert [corpus.info["splits"][split]["tokens"] for split in corpus.splits] == [929_589, 73_760, 82_430]
    assert corpus.info["types"] == 9999
    assert len(corpus.tokenizer) == 10_002
    assert [corpus.info["splits"][split]["lengths"]["max"] for split in corpus.splits] == [82, 74, 77]
    lines = (line.split() for line in (PTB / "ptb.test.txt").read_text().splitlines())
    assert sentences(corpus, "test") == [" ".join(words) for words in lines]
    assert corpus.findings == []
    assert not prepare_known("ptb", from_folder=PTB).fresh
    assert find("ptb").hash == corpus.hash


@needs_ptb
def test_ptb_follows_the_settings() -> None:
    corpus = prepare_known("ptb", from_folder=PTB, min_count=5, max_len=40).corpus
    assert len(corpus.tokenizer) < 10_002
    assert corpus.split("test").lengths.max() == 40
    assert corpus.info["splits"]["test"]["truncated"] > 0


def test_unknown_corpora_and_invalid_settings_fail_without_network() -> None:
    with pytest.raises(NotFoundError) as caught:
        prepare_known("ptp")
    assert "ptb" in caught.value.hint
    with pytest.raises(UsageError):
        prepare_known("ptb", min_count=0)


def test_toy_is_one_stream_with_its_exact_log_probabilities() -> None:
    from seqvae_cli.data.toy import language

    first = prepare_toy(sentences=100, seed=3)
    corpus = first.corpus
    assert [len(corpus.split(split)) for split in ("train", "valid", "test")] == [100, 2000, 2000]
    assert corpus.entropy == language.entropy()
    assert corpus.info["toy"]["version"] == language.VERSION
    assert corpus.info["toy"]["factors"] == {name: list(values) for name, values in language.FACTORS.items()}
    generated = list(language.generate(4100, 3))
    assert sentences(corpus) == [" ".join(sentence.words) for sentence in generated[:100]]
    log_probs = np.fromfile(corpus.path / "train.logprob.bin", "<f8")
    assert log_probs.tolist() == [language.log_prob(sentence.words) for sentence in generated[:100]]
    lines = (corpus.path / "test.factors.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [sentence.factors for sentence in generated[2100:]]
    corpus.verify()
    assert not prepare_toy(sentences=100, seed=3).fresh
    with pytest.raises(UsageError, match="99"):
        prepare_toy(sentences=99)

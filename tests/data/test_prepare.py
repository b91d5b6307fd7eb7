"""Text -> a prepared corpus: splits, settings, damaged text, crashes and concurrency."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from seqvae_cli.data import build, sources
from seqvae_cli.data import prepare as library
from seqvae_cli.data.corpus import Corpus, SplitWriter, find
from seqvae_cli.data.prepare import Prepared, prepare_known, prepare_text, prepare_toy
from seqvae_cli.data.sources import text_source
from seqvae_cli.data.text import MAX_LINE, read_lines
from seqvae_cli.errors import DataError, MachineError, NotFoundError, UsageError
from seqvae_cli.system import files, places

PTB = Path(os.environ.get("SEQVAE_PTB") or Path(__file__).parents[3] / "shared" / "data" / "ptb")
needs_ptb = pytest.mark.skipif(not (PTB / "ptb.train.txt").is_file(), reason="no PTB here; set SEQVAE_PTB")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEQVAE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"sentence number {i // 10} {i % 10}\n" for i in range(100)))
    return path


def prepared(path: Path, **options: object) -> Prepared:
    return prepare_text(text_source(path), "given", **options)  # type: ignore[arg-type]


def whole(path: Path, data: bytes, **options: object) -> Corpus:
    """A corpus of training text alone."""
    path.write_bytes(data)
    return prepared(path, valid_fraction=0.0, test_fraction=0.0, **options).corpus


def sentences(corpus: Corpus, split: str = "train") -> list[str]:
    return [corpus.tokenizer.decode(ids) for ids in corpus.split(split)]


def left_behind() -> list[str]:
    return [path.name for folder in (places.corpora(), places.cache()) for path in folder.glob(".tmp-*")]


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
    counts = Counter(tuple(library._draw_splits({"train": 2, "valid": 1, "test": 1}, seed)) for seed in range(6000))
    assert len(counts) == 12
    assert all(abs(count - 500) < 110 for count in counts.values())  # 5 standard deviations


def test_a_missing_split_is_cut_from_training(tmp_path: Path, text: Path) -> None:
    (tmp_path / "v.txt").write_text("sentence\n")
    corpus = prepare_text(text_source(text, valid=tmp_path / "v.txt"), "given").corpus
    assert [len(corpus.split(split)) for split in ("train", "valid", "test")] == [95, 1, 5]


def test_split_files_in_a_folder_are_recognized(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    for name in ("c.train.txt", "c.dev.txt", "c-test.txt", "notes.md", ".hidden.txt"):
        (one / name).write_text(f"{name}\n")
    assert {split: paths[0].name for split, paths in text_source(one).files.items()} == {  # type: ignore[union-attr]
        **{"train": "c.train.txt", "valid": "c.dev.txt"},
        "test": "c-test.txt",
    }
    (one / "val.txt").touch()
    with pytest.raises(UsageError, match=r"val\.txt"):
        text_source(one)
    two = tmp_path / "two"
    two.mkdir()
    with pytest.raises(DataError, match=r"no \.txt"):
        text_source(two)
    for name in ("b.txt", "a.txt"):
        (two / name).write_text(f"{name[0]}")
    corpus = prepare_text(text_source(two), "two", valid_fraction=0.0, test_fraction=0.0).corpus
    assert sentences(corpus) == ["a", "b"]


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
        *({"min_count": 0}, {"min_count": -1}, {"max_len": 0}, {"max_len": -1}, {"tokenizer": "bpe"}),
        *({"valid_fraction": -0.1}, {"test_fraction": 1.0}, {"valid_fraction": float("nan")}),
        *({"valid_fraction": 0.5, "test_fraction": 0.5}, {"encoding": "no-such"}, {"encoding": "rot13"}),
        {"encoding": "a\0b"},
    ],
)
def test_invalid_settings_are_rejected_before_reading(options: dict[str, object]) -> None:
    source = sources.TextSource({"train": (Path("nowhere.txt"),)}, "nothing")
    with pytest.raises(UsageError):
        prepare_text(source, "given", **options)  # type: ignore[arg-type]


def test_names_are_checked_and_derived_from_paths(text: Path) -> None:
    with pytest.raises(UsageError, match="'Bad Name'"):
        prepare_text(text_source(text), "Bad Name")
    assert sources.name_of("dir/My News.txt") == "my-news"
    assert sources.name_of("-") == "stdin"
    assert sources.name_of("._x.csv") == "x.csv"
    assert sources.name_of("日本.txt") == "text"


# Damaged text

CLEAN = "ein Satz\nnoch einer mit ü\ndrei\n".encode()


@pytest.mark.parametrize(
    "data",
    [
        CLEAN.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + CLEAN,
        b"\xef\xbb\xbf" + CLEAN.replace(b"\n", b"\r\n"),
        CLEAN[:-1],
        CLEAN.replace(b"\n", b"\n\n \t\n"),
        CLEAN.replace(b"ein Satz", b"ein\rSatz\r"),
        CLEAN.replace(b"ein Satz", b" ein\f \vSatz"),
    ],
)
def test_line_ends_and_byte_order_marks_do_not_change_ids(tmp_path: Path, data: bytes) -> None:
    assert whole(tmp_path / "a", data).hash == whole(tmp_path / "b", CLEAN).hash


def test_only_lf_and_crlf_end_a_line(tmp_path: Path) -> None:
    corpus = whole(tmp_path / "t", "a\u2028b c\u0085d\fe\rf\x1cg\n\u2029\n".encode())
    assert sentences(corpus) == ["a\u2028b c\u0085d e f\x1cg"]
    assert corpus.info["splits"]["train"]["empty"] == 1


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "UTF8", "utf-8-sig", "gb18030"]
)
def test_other_encodings_give_the_same_ids(tmp_path: Path, encoding: str) -> None:
    data = CLEAN.decode().encode(encoding)
    assert whole(tmp_path / "a", data, encoding=encoding).hash == whole(tmp_path / "b", CLEAN).hash


PAD = b"x" * 99 + b"\n"


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (b"good\nb\xe9d\n", "line 2: byte 6 (0xe9) is not utf-8", "--encoding"),
        (b"\xef\xbb\xbfgood\nb\xe9d\n", "line 2: byte 9 (0xe9)", "--encoding"),
        (PAD * 5000 + b"\xff", "line 5001: byte 500000 (0xff)", "--encoding"),
        (b"x" * 262_143 + b"\xc3\n", "line 1: byte 262143 (0xc3)", "--encoding"),
        (b"good\ncut \xc3", "line 2: byte 9 (0xc3)", "--encoding"),
        (b"good\n\xed\xa0\x80\n", "line 2: byte 5", "--encoding"),
        (b"good\n\xc3\xbc\0\n", "line 2: byte 7 is NUL", "--encoding"),
        (PAD * 5000 + b"a\0", "line 5001: byte 500001 is NUL", "--encoding"),
        ("text\n".encode("utf-16"), "UTF-16", "--encoding utf-16"),
        (b"\xfe\xff" + "text\n".encode("utf-16-be"), "UTF-16", "--encoding utf-16"),
        ("text\n".encode("utf-32"), "UTF-32", "--encoding utf-32"),
        ("text\n".encode("utf-16-le"), "line 1: byte 1 is NUL", "--encoding"),
        (b"\x1f\x8b\x08\x00", "gzip", "gzip -dc"),
    ],
)
def test_invalid_text_is_reported_with_line_and_byte(tmp_path: Path, data: bytes, message: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        whole(tmp_path / "t.txt", data)
    assert str(tmp_path / "t.txt") in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert left_behind() == []


@pytest.mark.parametrize(("data", "encoding"), [(b"+2AA-", "utf-7"), (b"ab", "utf-16")])
def test_text_invalid_in_its_encoding_is_a_data_error(tmp_path: Path, data: bytes, encoding: str) -> None:
    with pytest.raises(DataError):
        whole(tmp_path / "t.txt", data, encoding=encoding)


@pytest.mark.parametrize("encoding", ["unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined"])
def test_codecs_that_are_not_for_text_are_rejected(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UsageError, match=encoding):
        whole(tmp_path / "t.txt", b"a\nb\nc\n", encoding=encoding)


@pytest.mark.parametrize("data", [b"", b"\n\n", b" \r\n\t\n", b"\xef\xbb\xbf", b"\xc2\xa0\n"])
def test_text_without_sentences_is_a_data_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"no sentences in .*t\.txt: the train split is empty"):
        whole(tmp_path / "t.txt", data)


def test_an_empty_validation_file_is_a_data_error(tmp_path: Path, text: Path) -> None:
    (tmp_path / "v.txt").write_text("\n")
    with pytest.raises(DataError, match=r"v\.txt: the valid split is empty"):
        prepare_text(text_source(text, valid=tmp_path / "v.txt"), "given")


def test_missing_paths_and_folders_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        text_source(tmp_path / "none.txt")
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match="is a folder"):
        text_source(tmp_path, valid=tmp_path)


def test_overlong_lines_are_counted_and_not_kept_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    limit = MAX_LINE
    path.write_bytes(b"a\n" + b"x" * 10_000_000 + b"\nb\n" + "ü".encode() * (limit // 2 + 1) + b"\n" + b"y" * limit)
    code = (
        "import resource, sys; from pathlib import Path; from collections import Counter\n"
        "from seqvae_cli.data.text import read_lines\n"
        "dropped = Counter()\n"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "lines = [line[:9] for line in read_lines(Path(sys.argv[1]), dropped=dropped)]\n"
        "print(lines, dict(dropped), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)"
    )
    found = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout
    assert "['a', 'b', 'yyyyyyyyy'] {'too_long': 2}" in found
    assert int(found.split()[-1]) < 32_000  # kB
    corpus = prepared(path, valid_fraction=0.0, test_fraction=0.0).corpus
    assert corpus.info["splits"]["train"]["too_long"] == 2
    assert corpus.split("train").lengths.tolist() == [1, 1, 1]


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_blocks_may_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("seqvae_cli.data.text._BLOCK", block + 3)  # the first holds the byte order mark
    monkeypatch.setattr("seqvae_cli.data.text.MAX_LINE", 20)
    path = tmp_path / "t"
    path.write_bytes(b"\xef\xbb\xbf" + "ä\r\n\n😀 b\r\r\nlong line of more than twenty\nç".encode())
    dropped: Counter[str] = Counter()
    assert [line.strip() for line in read_lines(path, dropped=dropped)] == ["ä", "😀 b", "ç"]
    assert dropped == {"empty": 1, "too_long": 1}


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
    real = SplitWriter.add

    def add(self: SplitWriter, ids: list[int]) -> None:
        if len(self.lengths) and self.lengths.total() == 50:
            raise KeyboardInterrupt
        real(self, ids)

    monkeypatch.setattr(SplitWriter, "add", add)
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


@pytest.mark.parametrize("stage", ["hash", "count"])
def test_text_that_changes_while_it_is_read_is_a_data_error(text: Path, stage: str) -> None:
    def watch(current: str, _done: int, _total: int | None) -> None:
        if current == stage:
            with text.open("a") as file:
                file.write("one more\n")

    with pytest.raises(DataError, match="changed while it was read"):
        prepared(text, watch=watch)


# Streams


def test_standard_input_is_spooled_and_removed(text: Path) -> None:
    source = text_source(io.BytesIO(text.read_bytes()))
    corpus = prepare_text(source, "given").corpus
    assert corpus.path == prepared(text).corpus.path
    assert left_behind() == []
    with pytest.raises(DataError, match="no sentences in standard input"):
        prepare_text(text_source(io.BytesIO(b"")), "given")
    with pytest.raises(DataError, match="standard input, line 1: byte 0 "):
        prepare_text(text_source(io.BytesIO(b"\xff")), "given")
    assert left_behind() == []


def test_pipes_are_spooled(text: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(text.read_bytes()))
    writer.start()
    corpus = prepared(pipe).corpus
    writer.join()
    assert corpus.hash == prepared(text).corpus.hash


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

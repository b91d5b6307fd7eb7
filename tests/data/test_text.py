"""Text as lines: line ends, encodings, and what is not text."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from seqvae_cli.data.text import MAX_LINE, read_lines
from seqvae_cli.errors import DataError, UsageError
from tests.data.corpora import left_behind, prepared, sentences, whole

CLEAN = "ein Satz\nnoch einer mit ü\ndrei\n".encode()
PAD = b"x" * 99 + b"\n"


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


def test_a_cr_at_the_end_of_the_text_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "cut within CRLF"
    path.write_bytes(b"a\r\nb\r")
    assert list(read_lines(path)) == ["a", "b"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_text_without_lf_ends_its_lines_at_cr(tmp_path: Path, encoding: str) -> None:
    text = CLEAN.decode()
    old = text.replace("\n", "\r").encode(encoding)
    assert whole(tmp_path / "a", old, encoding=encoding).hash == whole(tmp_path / "b", CLEAN).hash
    long = tmp_path / "long"
    lines = [f"{number} Sätze" for number in range(150_000)]  # over the MiB that decides
    long.write_bytes("\r".join(lines).encode(encoding))
    assert list(read_lines(long, encoding)) == lines
    long.write_bytes("\r".join([*lines[:9], "end\nlast"]).encode(encoding))
    assert list(read_lines(long, encoding)) == [" ".join(lines[:9]) + " end", "last"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [(1, "is one line of 1.5 MB, not a sentence a line"), (2, "is 2 lines over 1 MiB in 3.0 MB, not a sentence")],
)
def test_long_lines_alone_are_named_for_what_they_are(tmp_path: Path, lines: int, said: str) -> None:
    with pytest.raises(DataError) as caught:
        whole(tmp_path / "book.txt", (b"A word. " * 187_499 + b"An end.\n") * lines)
    assert f"book.txt {said}" in caught.value.message


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "UTF8", "utf-8-sig", "gb18030"]
)
def test_other_encodings_give_the_same_ids(tmp_path: Path, encoding: str) -> None:
    data = CLEAN.decode().encode(encoding)
    assert whole(tmp_path / "a", data, encoding=encoding).hash == whole(tmp_path / "b", CLEAN).hash


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
        (b"\x1f\x8b\x08\x00", "is damaged or cut short", "copy it again"),
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

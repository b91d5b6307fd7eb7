"""Codes from outside: both formats, rows without a code, and every kind of line that is none."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.latent.codes import read_codes

CODES = np.array([[1.5, -2.25, 0.0], [3.0, 1e-30, 7.0]], dtype=np.float32)


def read(data: bytes, size: int = 3) -> list[list[float] | None]:
    return [None if code is None else code.tolist() for code in read_codes(io.BytesIO(data), size)]


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["{}", '{{"z": {}}}', '{{"text": "a", "mean": {}, "scale": [1, 1, 1]}}'])
def test_a_line_is_a_list_or_an_object_with_one(form: str) -> None:
    lines = "".join(form.format(json.dumps(row)) + "\n" for row in CODES.tolist())
    assert read(lines.encode()) == CODES.tolist()


def test_z_comes_before_the_mean() -> None:
    assert read(b'{"mean": [1, 2, 3], "z": [4, 5, 6]}') == [[4, 5, 6]]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8])
def test_an_array_of_any_numbers(kind: type) -> None:
    assert read(npy(np.arange(6).reshape(2, 3).astype(kind))) == [[0, 1, 2], [3, 4, 5]]


def test_rows_without_a_code_keep_their_place() -> None:
    assert read(b'[1, 2, 3]\n\nnull\n{"mean": null}\n[4, 5, 6]\n') == [[1, 2, 3], None, None, None, [4, 5, 6]]
    assert read(npy(np.array([[1, 2, 3], [np.nan] * 3], np.float32))) == [[1, 2, 3], None]


def test_arrays_that_were_joined_are_read_one_after_another(tmp_path: Path) -> None:
    assert read(npy(CODES) + npy(CODES[:1])) == [*CODES.tolist(), CODES[0].tolist()]
    with pytest.raises(DataError, match="standard input is not a NumPy array"):
        read(npy(CODES) + b"more")
    (tmp_path / "empty.npy").touch()
    with pytest.raises(DataError, match=r"empty\.npy is not a NumPy array"):
        list(read_codes(tmp_path / "empty.npy", 3))


def test_nothing_holds_no_codes() -> None:
    assert read(b"") == []
    assert read(npy(np.empty((0, 3), np.float32))) == []


def test_a_file_and_a_stream_that_comes_in_drops_give_the_same(tmp_path: Path) -> None:
    class Drops(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.data = data

        def read(self, count: int = -1) -> bytes:
            taken = self.data[: 1 if count != -1 else None]
            self.data = self.data[len(taken) :]
            return taken

    for data in (b"[1, 2, 3]\n[4, 5, 6]\n", npy(CODES)):
        (tmp_path / "codes").write_bytes(data)
        expected = read(data)
        found = [code.tolist() for code in read_codes(tmp_path / "codes", 3) if code is not None]
        assert found == expected
        assert [code.tolist() for code in read_codes(Drops(data), 3) if code is not None] == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[1, 2, 3]\nthe cat\n", "line 2 is not JSON"),
        (b"[1, 2]\n", "line 1 has 2 numbers, a code of this model has 3"),
        (b"[1, 2, true]\n", "not a list of numbers"),
        (b'["1", "2", "3"]\n', "not a list of numbers"),
        (b"[[1], [2], [3]]\n", "not a list of numbers"),
        (b"7\n", "not a list of numbers"),
        (b'{"text": "a"}\n', 'neither "z" nor "mean"'),
        (b"[1, 2, NaN]\n", "not finite"),
        (b"[1, 2, Infinity]\n", "not finite"),
        (b"[1, 2, 1e60]\n", "not finite"),
        (b"[1, -3e38, 2]\n", "line 1 has 3e+38, a code's numbers are at most 1e+12"),
        (npy(np.full((2, 3), 3e38, np.float32)), "row 1 has 3e+38"),
        (b"[1, 2, 1" + b"0" * 400 + b"]\n", "line 1"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe\n", "UTF-8"),
        (npy(np.zeros((2, 4), np.float32)), "shape (2, 4)"),
        (npy(np.zeros(3, np.float32)), "shape (3,)"),
        (npy(np.array([["a", "b", "c"]])), "numbers"),
        (npy(np.array([[1, 2, np.nan]], np.float32)), "row 1 has a number that is not finite"),
        (npy(CODES)[:-3], "not a NumPy array"),
        (npy(CODES)[:20], "not a NumPy array"),
        (npy(np.array([[None]], dtype=object)), "not a NumPy array"),
        (npy(CODES).replace(b"(2, 3), }" + b" " * 28, b"(%d, 3), }" % 10**28), "not a NumPy array"),
        (npy(CODES).replace(b"{'descr'", b"((((((((", 1), "not a NumPy array"),
        (b'{"text": "' + b"a" * 1_200_000 + b'", "mean": [1, 2, 3]}\n', "over 1 MiB"),
    ],
)
def test_what_is_no_code_is_named(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match="standard input") as caught:
        read(data)
    assert words in caught.value.message


def test_the_tsv_of_encode_is_named() -> None:
    with pytest.raises(DataError) as caught:
        read(b"text\tmean_1\tmean_2\tmean_3\tscale_1\n")
    assert "TSV of seqvae encode" in caught.value.hint


def test_a_missing_file_is_named_and_a_folder_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file"):
        list(read_codes(tmp_path / "nowhere", 3))
    for path in (tmp_path, tmp_path / ("long" * 100)):
        with pytest.raises(MachineError, match=tmp_path.name):
            list(read_codes(path, 3))


ROWS = st.lists(st.lists(st.floats() | st.integers(), min_size=2, max_size=4) | st.none(), max_size=3)
LINES = ROWS.map(lambda rows: "\n".join(map(json.dumps, rows)).encode())
ARRAYS = st.builds(
    lambda kind, width, value: npy(np.full((2, width), value).astype(kind)),
    st.sampled_from(["f2", "f4", "f8", "i1", "u8", "?", "U1"]),
    st.integers(2, 4),
    st.sampled_from([0, 1]),
)


@given(st.binary(max_size=200) | LINES | ARRAYS)
def test_any_bytes_give_codes_or_a_typed_error(data: bytes) -> None:
    for start in (b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00"):
        with contextlib.suppress(DataError):
            for code in read_codes(io.BytesIO(start + data), 3):
                assert code is None or (code.shape, code.dtype, np.isfinite(code).all()) == ((3,), np.float32, True)

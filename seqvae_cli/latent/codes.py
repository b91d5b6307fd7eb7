"""Reads files of codes, one code for each sentence: JSON Lines or a NumPy array, the formats that `encode` writes.

A JSON line is a list of numbers, or an object with one under "z" or "mean". An empty sentence has no code: null in
JSON, a row of NaN in .npy.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.compression import Stream
from seqvae_cli.data.text import read_lines
from seqvae_cli.errors import DataError, counted
from seqvae_cli.system import files

MAGIC = b"\x93NUMPY"
PARQUET_MAGIC = b"PAR1"

LARGEST = 1e12
"""Largest number in a code: the decoder's float32 overflows on far larger ones, such as 3e38."""

Code = NDArray[np.float32]


def read_codes(source: Path | BinaryIO, size: int) -> Iterator[Code | None]:
    """The codes of a file or stream in order, `size` numbers each; None for a row without a code.

    Raises `DataError` with the line or row of an invalid code or one of another size, `MachineError` for a file that
    the system cannot read.
    """
    if isinstance(source, Path):
        check_file(source)
        with files.machine_errors(source), open(source, "rb") as file:
            yield from _read(file, size, str(source))
    else:
        yield from _read(source, size, "standard input")


def check_file(path: Path) -> None:
    """Raises `DataError` for a file of codes that does not exist, `MachineError` for a name that cannot be one."""
    with files.machine_errors(path):
        if not path.exists():  # raises OSError for a name that is too long
            raise DataError(f"{path}: no such file", "a file of codes, or - for standard input")


def _read(file: BinaryIO, size: int, label: str) -> Iterator[Code | None]:
    start = b""
    while len(start) < len(MAGIC) and (some := file.read(len(MAGIC) - len(start))):
        start += some
    if start == MAGIC:
        yield from _arrays(io.BytesIO(start + file.read()), size, label)
        return
    if label.endswith(".npy"):
        raise DataError(f"{label} is not a NumPy array", "name it .jsonl if it has a code a line")
    if start.startswith(PARQUET_MAGIC):
        raise DataError(f"{label} is a Parquet table, not a file of codes", "name the output of seqvae encode .jsonl")
    text = cast(BinaryIO, Stream(start, getattr(file, "read1", file.read)))
    dropped: Counter[str] = Counter()
    for number, line in enumerate(_lines(text, label, dropped), 1):
        if dropped["too_long"]:
            raise DataError(f"{label} has a line of over 1 MiB, near line {number}")
        yield _code(line, size, f"{label}, line {number}")


def _lines(text: BinaryIO, label: str, dropped: Counter[str]) -> Iterator[str]:
    try:
        yield from read_lines(text, keep_blank=True, label=label, dropped=dropped)
    except DataError as error:
        raise DataError(error.message, "codes are JSON Lines in UTF-8, or one .npy file") from error


def _arrays(file: io.BytesIO, size: int, label: str) -> Iterator[Code | None]:
    """The rows of one array after another, as `cat` joins the files of shards."""
    end, before = len(file.getbuffer()), 0
    while file.tell() < end:
        values = _array(file, size, label)
        for number, row in enumerate(values, before + 1):
            yield None if np.isnan(row).all() else _finite(row, f"{label}, row {number}")
        before += len(values)


def _array(file: BinaryIO, size: int, label: str) -> NDArray[np.float32]:
    """The next array of a file: [N, size]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers of old NumPy versions
            values = np.load(file, allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python and documents no exceptions for a bad one
        raise DataError(f"{label} is not a NumPy array: {error}") from error
    if values.ndim != 2 or values.shape[1] != size or values.dtype.kind not in "fiu":
        raise DataError(f"{label} has shape {values.shape} of {values.dtype}, not (sentences, {size}) numbers")
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float32)


def _code(line: str, size: int, where: str) -> Code | None:
    if not line:
        return None
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        hint = 'a line is a list of numbers, or {"mean": [...]}'
        if line.startswith("text\tmean_1\t"):
            hint = "this is the TSV of seqvae encode: name its output .jsonl or .npy instead"
        raise DataError(f"{where} is not JSON", hint) from error
    if isinstance(value, dict):
        keys = [key for key in ("z", "mean") if key in value]
        if not keys:
            raise DataError(f'{where} has neither "z" nor "mean"')
        value = value[keys[0]]
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise DataError(f"{where} is not a list of numbers")
    if len(value) != size:
        raise DataError(f"{where} has {counted(len(value), 'number')}, a code of this model has {size}")
    try:
        with np.errstate(over="ignore"):
            return _finite(np.array(value, dtype=np.float32), where)
    except OverflowError as error:
        raise DataError(f"{where} has a number that is too large") from error


def _finite(row: Code, where: str) -> Code:
    largest = float(np.abs(row).max(initial=0))
    if not math.isfinite(largest):
        raise DataError(f"{where} has a number that is not finite")
    if largest > LARGEST:
        raise DataError(f"{where} has {largest:g}, a code's numbers are at most {LARGEST:g}")
    return row

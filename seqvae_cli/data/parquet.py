"""Parquet tables, by pyarrow (the extra `parquet`): read in batches of rows, and only the columns that are needed.

Written in row groups, as their rows come.
"""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from seqvae_cli.data import compression
from seqvae_cli.data.records import MAX_COLUMNS, Rows
from seqvae_cli.errors import MOST_LISTED, DataError, MachineError, UsageError
from seqvae_cli.system import files, places
from seqvae_cli.system.files import machine_errors

BATCH = 256
"""Rows in memory at once."""
MOST_UNPACKED = 100
"""How many times its size a compressed file may unpack to, and a MiB more."""
_WHOLE_SECONDS = r"\.0+(Z|[+-]\d{4})?$"
"""The fraction of a time as Arrow writes it, where there is none."""


def parquet_rows(
    source: Path | BinaryIO,
    _encoding: str,
    label: str,
    _dropped: Counter[str],
    advance: Callable[[int], None] | None = None,
    *,
    only: Collection[str] | None = None,
) -> Rows:
    """The rows of a Parquet file with their numbers from 1; dates and times as text.

    only: these columns, else all that are not nested; also all where one of these is missing, so that the caller can
        list them.
    advance: called with the share of the file's bytes of each batch read.

    Raises `UsageError` for a stream and for a column that is nested, `DataError` for a damaged file, `MachineError`
    where pyarrow is missing or the file is unreadable.
    """
    if not isinstance(source, Path) or not source.is_file():
        raise UsageError(f"a Parquet table cannot be read from {label}", "name a file")
    arrow, size = library(), source.stat().st_size
    with machine_errors(source), _opened(source, label) as file, _data_errors(arrow, label):
        from pyarrow import parquet

        table = parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        columns = _columns(table.schema_arrow, label, only)
        total = table.metadata.num_rows
        done = told = 0
        for batch in table.iter_batches(batch_size=BATCH, columns=columns):
            values = [_values(arrow, batch, name, f"{label}, from row {done + 1}") for name in columns]
            yield from enumerate((dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)), done + 1)
            done += len(batch)
            if advance and total:
                advance(size * done // total - told)
                told = size * done // total


def _columns(schema: Any, label: str, only: Collection[str] | None) -> list[str]:
    """The columns to read."""
    from pyarrow import types

    if len(schema) > MAX_COLUMNS:
        raise DataError(f"{label} has {len(schema):,} columns, {MAX_COLUMNS:,} are the most")
    if twice := next((name for name, count in Counter(schema.names).items() if count > 1), None):
        raise DataError(f"{label}: two columns have the name {twice!r}", "give each column a name of its own")
    nested = {field.name: str(field.type) for field in schema if types.is_nested(field.type)}
    for name in only or ():
        if name in nested:
            raise UsageError(f"{label}: the column {name!r} is nested ({nested[name]:.60})", "name one of text")
    flat = [name for name in schema.names if name not in nested]
    if not flat:
        shown = ", ".join(list(nested)[:MOST_LISTED]) or "none"
        raise DataError(f"{label} has no column of text; its columns are nested: {shown}", "write one of text")
    return flat if only is None or not set(only) <= set(flat) else [name for name in flat if name in only]


def _values(arrow: Any, batch: Any, name: str, where: str) -> list[Any]:
    """The values of a column. Python has no times of nanoseconds and no years beyond 9999: Arrow writes them."""
    from pyarrow import compute, types

    column = batch.column(name)
    try:
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if types.is_duration(column.type):
            column = column.cast(arrow.duration("us"), safe=False) if column.type.unit == "ns" else column
        elif types.is_temporal(column.type):
            column = compute.replace_substring_regex(column.cast(arrow.string()), _WHOLE_SECONDS, r"\1")
        found: list[Any] = column.to_pylist()
    except (arrow.ArrowException, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        hint = "name the column of the text: columns that are not named are not read then"
        raise DataError(f"{where}: the column {name!r} cannot be read: {reason}", hint) from error
    return found


@contextmanager
def _opened(path: Path, label: str) -> Iterator[BinaryIO]:
    """The file, or a temporary copy of it that is unpacked: Parquet is read from its end."""
    with open(path, "rb") as file:
        packed = compression.kind_of(file.read(8)) is not None
        file.seek(0)
        if not packed:
            yield file
            return
        most = (1 << 20) + MOST_UNPACKED * path.stat().st_size
        read = compression.unpacked(file.read1, label)
        with machine_errors(places.cache()):
            files.make_folder(places.cache())
            copy = tempfile.TemporaryFile(dir=places.cache())  # noqa: SIM115
        with copy:
            with machine_errors(places.cache()):
                while block := read(1 << 20):
                    copy.write(block)
                    if copy.tell() > most:
                        raise DataError(
                            f"{label} unpacks to over {MOST_UNPACKED} times its size",
                            "unpack it first: Parquet is compressed inside",
                        )
                copy.seek(0)
            yield copy


def library() -> Any:
    """pyarrow. Raises `MachineError` where it is missing."""
    try:
        import pyarrow
    except ImportError as error:
        raise MachineError("Parquet files need the package pyarrow", 'pip install "seqvae[parquet]"') from error
    return pyarrow


class _Sink(io.RawIOBase):
    """A file whose bytes are taken out as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[bytes] = []
        self.written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.blocks.append(bytes(data))
        self.written += len(self.blocks[-1])
        return len(self.blocks[-1])

    def tell(self) -> int:
        return self.written

    def taken(self) -> list[bytes]:
        found, self.blocks = self.blocks, []
        return found


def parquet_blocks(schema: Any, tables: Iterable[Any]) -> Iterator[bytes]:
    """The bytes of a Parquet file of these tables of pyarrow, a row group each, in the memory of one."""
    from pyarrow import parquet

    sink = _Sink()
    with parquet.ParquetWriter(sink, schema) as writer:
        for table in tables:
            writer.write_table(table)
            yield from sink.taken()
    yield from sink.taken()


@contextmanager
def _data_errors(arrow: Any, label: str) -> Iterator[None]:
    """Turns the errors of pyarrow into a `DataError`."""
    try:
        yield
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:  # for a damaged file it raises OSError, too
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{label} is not a Parquet file that can be read: {reason}", "write it again") from error

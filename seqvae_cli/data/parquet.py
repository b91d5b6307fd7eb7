"""Parquet tables, by pyarrow (the extra `parquet`): read in batches of rows, and only the columns that are needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from seqvae_cli.data.records import Rows
from seqvae_cli.errors import DataError, MachineError, UsageError
from seqvae_cli.system.files import machine_errors

BATCH = 256
"""Rows in memory at once."""


def parquet_rows(
    source: Path | BinaryIO,
    _encoding: str,
    label: str,
    _dropped: Counter[str],
    advance: Callable[[int], None] | None = None,
    *,
    only: Collection[str] | None = None,
) -> Rows:
    """The rows of a Parquet file with their numbers from 1; `only`: of these columns, else of all that are not nested.

    advance: called with the share of the file's bytes of each batch read.

    Raises `UsageError` for a stream, `DataError` for a damaged file, `MachineError` where pyarrow is missing or the
    file is unreadable.
    """
    if not isinstance(source, Path) or not source.is_file():
        raise UsageError(f"a Parquet table cannot be read from {label}", "name a file")
    path = source
    with machine_errors(path), open(path, "rb") as file, _data_errors(label):
        from pyarrow import parquet, types

        table = parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        flat = [field.name for field in table.schema_arrow if not types.is_nested(field.type)]
        columns = [name for name in flat if only is None or name in only]
        size, total = path.stat().st_size, table.metadata.num_rows
        done = told = 0
        for batch in table.iter_batches(batch_size=BATCH, columns=columns):
            rows = batch.to_pylist()
            yield from enumerate(rows, done + 1)
            done += len(rows)
            if advance and total:
                advance(size * done // total - told)
                told = size * done // total


@contextmanager
def _data_errors(label: str) -> Iterator[None]:
    """Turns the errors of pyarrow into a `DataError`, and its absence into a `MachineError`."""
    try:
        import pyarrow
    except ImportError as error:
        raise MachineError("Parquet files need the package pyarrow", 'pip install "seqvae[parquet]"') from error
    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # for a damaged file it raises OSError, too
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{label} is not a Parquet file that can be read: {reason}", "write it again") from error

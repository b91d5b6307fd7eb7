"""The columns of several files, checked before the first of them is read in full."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from seqvae_cli.data import folders, readers
from seqvae_cli.data.labels import LENGTH
from seqvae_cli.data.readers import Reading
from seqvae_cli.data.records import Columns
from seqvae_cli.errors import UsageError


def choose_columns(named: Iterable[tuple[Path, str]], reading: Reading) -> Reading:
    """The reading with the column of the text, as `readers.choose_columns` finds it in the first table.

    named: files, and their names in messages. Raises what that raises, for every table, and `UsageError` for labels,
    ids or splits of a file that is text.
    """
    files = list(named)
    reading = readers.choose_columns(files, reading)
    tables = [file for file in files if reading.is_table(file[1])]
    for file in tables[1:]:
        readers.choose_columns([file], reading)
    if reading.columns.beside() and len(tables) < len(files):
        raise readers.no_columns(next(label for _, label in files if not reading.is_table(label)))
    return reading


def refuse_length_label(columns: Columns) -> None:
    """Raises `UsageError` for a label with the name that pictures give to the number of tokens."""
    if LENGTH in columns.labels:
        raise UsageError(f"a label cannot have the name {LENGTH!r}, the colour of the tokens", "rename the column")


def refuse_folder_label(columns: Columns) -> None:
    """Raises `UsageError` for a label with the name of the one that folders are."""
    if folders.FOLDER in columns.labels:
        raise UsageError(f"two labels have the name {folders.FOLDER!r}: the column, and the folders", "leave it out")

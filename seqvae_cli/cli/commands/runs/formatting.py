"""Formatting that the commands of `seqvae runs` share: times, settings, tags and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqvae_cli.cli import display


def when(nanoseconds: int) -> str:
    """Local time to the minute, from nanoseconds since 1970."""
    from datetime import datetime

    return datetime.fromtimestamp(nanoseconds / 1e9).astimezone().strftime("%Y-%m-%d %H:%M")


def setting(value: object) -> object:
    """A setting as a table cell; floats keep their digits, since a learning rate needs more than two."""
    return f"{value:g}" if isinstance(value, float) else value


def tags(path: Path) -> list[str]:
    """The tags of the run in `path`; a warning and an empty list where they are damaged."""
    from seqvae_cli.errors import DataError, MachineError
    from seqvae_cli.runs.run import read_tags

    try:
        return read_tags(path)
    except (DataError, MachineError) as error:
        display.warn(error.message, error.hint)
        return []


def table(columns: list[str], rows: list[list[Any]], *, optional: list[str]) -> None:
    """`display.table`, without the `optional` columns that are empty in every row."""
    kept = [
        i for i, name in enumerate(columns) if name not in optional or any(row[i] not in ("", None) for row in rows)
    ]
    shown = [columns[i] for i in kept]
    display.table("", shown, [[row[i] for i in kept] for row in rows], optional=[n for n in optional if n in shown])

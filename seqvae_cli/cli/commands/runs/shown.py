"""How runs and their parts are shown; shared by the commands of `seqvae runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqvae_cli.cli import display


def when(nanoseconds: int) -> str:
    """A time as tables have it: local, to the minute."""
    from datetime import datetime

    return datetime.fromtimestamp(nanoseconds / 1e9).astimezone().strftime("%Y-%m-%d %H:%M")


def setting(value: object) -> object:
    """A setting as tables have it: a learning rate has more than two digits."""
    return f"{value:g}" if isinstance(value, float) else value


def tags(path: Path) -> list[str]:
    """The tags of the run in `path`; damaged ones are none, with a warning."""
    from seqvae_cli.errors import DataError, MachineError
    from seqvae_cli.runs import registry

    try:
        return registry.read_tags(path)
    except (DataError, MachineError) as error:
        display.warn(error.message, error.hint)
        return []


def table(columns: list[str], rows: list[list[Any]], *, optional: str) -> None:
    """`display.table`, without the column `optional` where it is empty in every row."""
    index = columns.index(optional)
    if not any(row[index] for row in rows):
        columns, *rows = ([*row[:index], *row[index + 1 :]] for row in (columns, *rows))
    display.table("", columns, rows)

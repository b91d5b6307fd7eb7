"""The exception tree, each kind with its exit code.

    SeqvaeError
    ├── UsageError        2  a wrong flag, name or value
    ├── NotFoundError     3  no such run or corpus
    ├── DataError         4  unusable text, corpus, settings file or download
    │   └── CheckpointError  damaged, foreign or too new
    ├── MachineError      5  disk, permission, device, memory, lock
    └── DivergedError     6  the loss is not finite

The library raises these; `cli.boundary` turns them into messages and exit codes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

UPGRADE = "upgrade seqvae"
"""The hint for a file that a newer version wrote."""


class SeqvaeError(Exception):
    """`message`: what went wrong, in one line, with the value at fault. `hint`: what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SeqvaeError):
    exit_code = 2


class NotFoundError(SeqvaeError):
    exit_code = 3


class DataError(SeqvaeError):
    exit_code = 4


class CheckpointError(DataError):
    pass


class MachineError(SeqvaeError):
    exit_code = 5


class DivergedError(SeqvaeError):
    exit_code = 6


def counted(count: int, noun: str) -> str:
    """`1 sentence`, `1,234 sentences`: a count with its noun, given in the singular."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the known name most similar to `name`, else with the first eight."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"known: {', '.join(names[:8])}{more}" if names else ""

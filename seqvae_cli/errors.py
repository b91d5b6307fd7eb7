"""The exception tree, each kind with its exit code.

    SeqvaeError
    ├── UsageError        2  a wrong flag, name or value
    ├── NotFoundError     3  no such run or corpus
    ├── DataError         4  unusable text, corpus, settings file or download
    │   └── CheckpointError  damaged, foreign or too new
    ├── MachineError      5  disk, permission, device, memory, lock
    │   └── LostProcessError  another process of a training ended
    └── DivergedError     6  the loss is not finite

The library raises these; `cli.boundary` turns them into messages and exit codes.
"""

from __future__ import annotations

from collections.abc import Iterable

MOST_LISTED = 20
"""Known names up to which a hint lists them all."""
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


class LostProcessError(MachineError):
    pass


class DivergedError(SeqvaeError):
    exit_code = 6


def counted(count: int, noun: str) -> str:
    """`1 sentence`, `1,234 sentences`: a count with its noun, given in the singular."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the name that was meant, as `meant` finds it, else with the known names: all, or eight of many."""
    names = sorted(known)
    if found := meant(name, names):
        return f"did you mean {found!r}?"
    shown = names if len(names) <= MOST_LISTED else names[:8]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"known: {', '.join(shown)}{more}" if names else ""


def meant(name: str, known: Iterable[str]) -> str:
    """The known name of which `name` is a typing error or the beginning; empty where there is none, or several.

    Errors are letters left out, added, replaced, or exchanged with their neighbour: one in a name of up to 7 letters, a
    quarter of the letters in a longer one, three at most. Case does not count.
    """
    written, names = name.lower(), list(known)
    most = min(3, max(1, len(written) // 4))
    distances = {other: edits(written, other.lower(), most) for other in names}
    best = min(names, key=distances.__getitem__, default="")
    if best and distances[best] <= min(most, len(written) - 1):
        return best
    longer = [other for other in names if other.lower().startswith(written)]
    return longer[0] if len(longer) == 1 and len(written) >= 3 else ""


def edits(first: str, second: str, most: int) -> int:
    """Letters inserted, deleted, replaced or exchanged with their neighbour from `first` to `second`, up to `most` + 1.

    The optimal string alignment distance (Damerau 1964; Boytsov 2011, "Indexing methods", section 2.1).
    """
    if abs(len(first) - len(second)) > most:
        return most + 1
    above: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        two_above, above, row = above, row, [i]
        for j, other in enumerate(second, 1):
            least = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != other))
            if i > 1 and j > 1 and (letter, first[i - 2]) == (second[j - 2], other):
                least = min(least, two_above[j - 2] + 1)
            row.append(least)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)

"""How long computations report their progress: the caller passes a function, and decides what is shown."""

from __future__ import annotations

from collections.abc import Callable

Advance = Callable[[int], None]
"""Called with the number of units just done; may raise to stop the computation."""

Stages = Callable[[str, int], Advance]
"""Called when a stage begins, with its name and its number of units; returns what is called as they are done."""

ProgressReport = Callable[[str, int, int | None], None]
"""Called with the name of a stage, its units done and its units in all, None where their number is unknown."""


def silent(_name: str, _total: int) -> Advance:
    """`Stages` that show nothing."""
    return lambda _: None

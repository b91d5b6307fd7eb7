"""How long computations report their progress: the caller passes a function, and decides what is shown."""

from __future__ import annotations

from collections.abc import Callable

Advance = Callable[[int], None]
"""Called with the number of units just done; may raise to stop the computation."""

Stages = Callable[[str, int], Advance]
"""Called when a stage begins, with its name and its number of units; returns what is called as they are done."""


def silent(_name: str, _total: int) -> Advance:
    """`Stages` that show nothing."""
    return lambda _: None

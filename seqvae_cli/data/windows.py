"""Streams in windows that are answered together: of bounded size, and ended where the source pauses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from seqvae_cli.errors import SeqvaeError

T = TypeVar("T")

WINDOW = 8192
"""Sentences that are read ahead, at most, and batched by length."""

WINDOW_TOKENS = 2**20
"""Tokens of a stream that are read ahead, beside one sentence, at most."""


class Pause:
    """Stands in a stream where its source pauses: what came before is answered before more is read."""


PAUSE = Pause()


def with_errors_last(items: Iterable[T | Pause]) -> Iterator[T | Pause]:
    """The items, and a `PAUSE` before an error in reading them is raised, so that earlier items are answered first."""
    try:
        yield from items
    except SeqvaeError:
        yield PAUSE
        raise


def windows(items: Iterable[T | Pause], most: int, tokens: Callable[[T], int] = lambda _: 0) -> Iterator[list[T]]:
    """The items of a stream in lists of at most `most`; a list ends early at `WINDOW_TOKENS` tokens and at a pause."""
    held: list[T] = []
    total = 0
    for item in items:
        if not isinstance(item, Pause):
            held.append(item)
            total += tokens(item)
            if len(held) < most and total < WINDOW_TOKENS:
                continue
        if held:
            yield held
        held, total = [], 0
    if held:
        yield held

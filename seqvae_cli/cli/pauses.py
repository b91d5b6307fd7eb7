"""Notices where standard input or a pipe pauses, so that what has come is answered at once."""

from __future__ import annotations

import os
import queue
import stat
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

if TYPE_CHECKING:
    from seqvae_cli.latent.streams import Pause

T = TypeVar("T")

SECONDS = 0.05
"""How long what has come waits for more before it is answered."""

AHEAD = 128
"""Items that are read ahead, at most."""


@dataclass(frozen=True)
class _End:
    """The end of the items, and what reading them raised."""

    error: BaseException | None = None


def standard_input() -> BinaryIO:
    """Standard input, unbuffered: a thread that waits in its buffer would abort the interpreter when that ends."""
    try:
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    except (OSError, ValueError):  # without a file descriptor, as in tests
        return sys.stdin.buffer


def may_pause(source: Path | BinaryIO) -> bool:
    """Whether reading `source` may wait for another program: pipes, sockets and terminals, not files."""
    try:
        found = source.stat() if isinstance(source, Path) else os.fstat(source.fileno())
    except (OSError, ValueError):  # absent, which reading it will tell, or without a file descriptor
        return False
    return not stat.S_ISREG(found.st_mode)


def with_pauses(items: Iterator[T]) -> Iterator[T | Pause]:
    """The items, and a `PAUSE` where no more has come `SECONDS` after the first that is not answered yet.

    A thread reads the items. Standard output is flushed before a pause is waited out; what reading raises is raised
    here, in its place.
    """
    from seqvae_cli.latent.streams import PAUSE

    waiting: queue.Queue[T | _End] = queue.Queue(AHEAD)

    def read() -> None:
        try:
            for item in items:
                waiting.put(item)
        except BaseException as error:
            waiting.put(_End(error))
        else:
            waiting.put(_End())

    threading.Thread(target=read, daemon=True).start()
    deadline: float | None = None  # when what has come is to be answered
    while True:
        try:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            item = waiting.get(timeout=left)
        except queue.Empty:
            yield PAUSE
            sys.stdout.flush()
            deadline = None
            continue
        if isinstance(item, _End):
            if item.error is not None:
                raise item.error
            return
        if deadline is None:
            deadline = time.monotonic() + SECONDS
        yield item

"""Notices where standard input or a pipe pauses, so that what has come is answered at once."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from seqvae_cli.errors import MachineError

if TYPE_CHECKING:
    from seqvae_cli.data.windows import Pause

T = TypeVar("T")

SECONDS = 0.05
"""How long what has come waits for more before it is answered."""

AHEAD = 1024
"""Items that are read ahead, at most."""

FULL_SECONDS = 0.005
"""How often reading looks for room after `AHEAD` items."""


@dataclass(frozen=True)
class _End:
    """The end of the items, and what reading them raised."""

    error: BaseException | None = None


def standard_input() -> BinaryIO:
    """Standard input, unbuffered: a thread that waits in its buffer would abort the interpreter when that ends.

    Raises `MachineError` where it was closed.
    """
    if getattr(sys.stdin, "name", "") == os.devnull:  # opened by `boundary` in its place
        raise MachineError("standard input is closed", "send it a file or a pipe")
    try:
        number = sys.stdin.fileno()
        with suppress(OSError, AttributeError):  # not everywhere; a program that shares it may have made reads not wait
            os.set_blocking(number, True)
        return open(number, "rb", buffering=0, closefd=False)
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
    from seqvae_cli.data.windows import PAUSE

    held: deque[T | _End] = deque()
    filled, stopped = threading.Event(), threading.Event()

    def read() -> None:
        end = _End()
        try:
            for item in items:
                held.append(item)
                filled.set()
                while len(held) >= AHEAD and not stopped.is_set():
                    stopped.wait(FULL_SECONDS)
                if stopped.is_set():
                    return
        except BaseException as error:
            end = _End(error)
        held.append(end)
        filled.set()

    threading.Thread(target=read, daemon=True).start()
    deadline: float | None = None  # when what has come is to be answered
    try:
        while True:
            if not held:
                filled.clear()
            if not held and not filled.wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
                yield PAUSE
                sys.stdout.flush()
                deadline = None
                continue
            item = held.popleft()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            given = time.monotonic()
            deadline = deadline or given + SECONDS
            yield item
            taken = time.monotonic()
            if taken - given > SECONDS:  # a full window was answered meanwhile
                deadline = taken + SECONDS
    finally:
        stopped.set()

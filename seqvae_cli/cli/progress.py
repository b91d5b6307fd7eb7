"""Progress of streams of answers, and of what takes seconds before there is anything to show."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

from seqvae_cli.cli import display
from seqvae_cli.cli.sentences import Lines
from seqvae_cli.system.progress import Advance

LATE_SECONDS = 1.0
"""Seconds after which a stream of answers shows its progress."""


@contextmanager
def late_progress(description: str, total: int | None, unit: str, *, to_file: bool = False) -> Iterator[Advance]:
    """Progress of a stream of answers, shown on a terminal alone, and only after `LATE_SECONDS`.

    Where the answer goes to a terminal it is its own progress; where it goes into a pipe, the program behind the pipe
    may write to the terminal. Neither line is to be torn by a bar. `to_file`: the answer does not go to stdout.
    """
    if display.settings.quiet or not display.pretty(sys.stderr) or not (to_file or _stored(sys.stdout)):
        yield lambda _: None
        return
    with ExitStack() as stack:
        done, drawn = 0, None
        lock = threading.Lock()

        def show() -> None:
            nonlocal drawn
            with lock, suppress(OSError):
                drawn = stack.enter_context(display.bar(description, total, unit))
                drawn(done)

        def advance(count: int) -> None:
            nonlocal done
            with lock:
                done += count
                if drawn is not None:
                    drawn(count)

        timer = threading.Timer(LATE_SECONDS, show)  # the first answers of a slow model come later than the bar
        timer.daemon = True
        timer.start()
        try:
            yield advance
        finally:
            timer.cancel()
            timer.join()


@contextmanager
def of_lines(description: str, lines: Lines, *, to_file: bool = False) -> Iterator[Callable[[str], None]]:
    """`late_progress` of the answers to `lines`: bytes of text, or a count of sentences where the size is unknown."""
    known = lines.size is not None
    with late_progress(description, lines.size, "bytes" if known else "sentences", to_file=to_file) as advance:
        yield lambda line: advance(lines.bytes_of(line) if known else 1)


def _stored(stream: IO[str]) -> bool:
    """Whether what is written to `stream` is read later: a file, not a terminal or a pipe."""
    if stream.isatty():
        return False
    try:
        kind = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):  # a stream in memory
        return True
    return not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind))


@contextmanager
def working(text: str) -> Iterator[None]:
    """Shows on a terminal what is being done, in a line that disappears afterwards."""
    shown = not display.settings.quiet and display.pretty(sys.stderr)
    with suppress(OSError):
        if shown:
            sys.stderr.write(f"{display.safe(text)} ...")
            sys.stderr.flush()
    try:
        yield
    finally:
        with suppress(OSError):
            if shown:
                sys.stderr.write("\r\x1b[2K")
                sys.stderr.flush()

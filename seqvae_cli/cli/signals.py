"""Signals that ask a training to end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from seqvae_cli.cli import display


@contextmanager
def stop_on_signals(*, say: bool = True) -> Iterator[list[int]]:
    """The first signal asks training to save and stop (its number is put in the list); a second one ends at once.

    A signal that is ignored stays so: under nohup a training survives the terminal. say: shows that it stops.
    """
    stop: list[int] = []

    def ask(number: int, _: FrameType | None) -> None:
        if stop:
            for signum, handler in before.items():
                signal.signal(signum, handler)
            signal.raise_signal(number)
            return
        stop.append(number)
        with suppress(RuntimeError):  # the signal came in the middle of another line on stderr
            if say:
                display.comment("stopping: saving the checkpoint (again to end at once)")

    numbers: list[int] = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

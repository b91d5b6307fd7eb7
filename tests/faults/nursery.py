"""Many real `seqvae` processes at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.preloaded import Child, Preloaded


class Nursery:
    """Starts some commands at once, and waits for them all. Nothing else reaps a process: its id stays its own.

    What a command says on stderr goes to a file in `folder`.
    """

    def __init__(self, server: Preloaded, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.children: list[Child] = []

    def start(self, home: Path, *commands: list[str]) -> list[int]:
        """Their process ids."""
        self.stop()  # a test that failed has left them
        environment = os.environ | {"SEQVAE_HOME": str(home)}
        for number, arguments in enumerate(commands):
            with ExitStack() as stack:
                null = stack.enter_context(open(os.devnull, "r+b"))
                said = stack.enter_context(open(self.folder / str(number), "wb"))
                streams = [null.fileno(), null.fileno(), said.fileno()]
                self.children.append(self.server.start(*arguments, streams=streams, env=environment))
        return [child.pid for child in self.children]

    def ended(self, seconds: float = 0.0) -> bool:
        """All of them have ended; waits `seconds` at most for the first that has not."""
        running = [child for child in self.children if not child.ended()]
        return not running or (running[0].ended(seconds) and not running[1:])

    def wait(self, seconds: float = 60.0) -> list[int]:
        """Their exit codes, -N where signal N ended one."""
        codes = [child.wait(seconds).code for child in self.children]
        self.children = []
        return codes

    def stderr(self, number: int = 0) -> str:
        """What the command of that number said."""
        path = self.folder / str(number)
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        for child in self.children:
            child.kill()
        self.wait()


@contextmanager
def nursery(server: Preloaded, folder: Path) -> Iterator[Nursery]:
    made = Nursery(server, folder)
    try:
        yield made
    finally:
        made.stop()

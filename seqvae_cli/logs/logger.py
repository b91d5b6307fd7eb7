"""What a logger is told of a training, and what it must offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

Value = bool | int | float | str


@dataclass(frozen=True)
class Log:
    """Where a logger writes, and of what."""

    folder: Path
    """RUN/logs/NAME, which is there."""
    run: str
    """The name of the run."""
    identity: str
    """The same in every resume of the run, and of no other run."""
    step: int
    """Steps already done: 0, unless the run was resumed."""
    settings: Mapping[str, Value]
    """The settings of the run, by dotted name."""


class Logger(Protocol):
    """A log that is open. What its methods raise closes it; the training goes on.

    A class is called with a `Log`. It takes a resumed run up where it was: the next points lie above `Log.step`.
    """

    live: ClassVar[bool]
    """Whether it takes back the points above `Log.step`. It is then told each point at once; any other, once a
    checkpoint makes sure that no resume repeats it."""

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Finite values at a training step, by name, such as `validation/neg_elbo`."""

    def text(self, step: int, name: str, text: str) -> None:
        """Lines of text at a training step."""

    def result(self, step: int, values: Mapping[str, float]) -> None:
        """The figures of the run at its end, or where it was interrupted."""

    def flush(self) -> None:
        """Makes what it was told visible to readers."""

    def close(self) -> None:
        """Ends the log."""

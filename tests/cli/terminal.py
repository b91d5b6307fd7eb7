"""A terminal for tests of what it shows, and events of a training."""

from __future__ import annotations

import io
import sys

import pytest

from seqvae_cli.config.schema import Settings
from seqvae_cli.training.events import EvalEvent, StartEvent, StepEvent

FIXED = Settings.model_validate({"train": {"adapt": False}})
START = StartEvent("toy-1", "toy", 1234567, "cpu", "float32", 2, 40, 3, 6, 100, 0, 3200, 160, False, FIXED)
STEP = StepEvent(1, 10, 4000, "annealing", 0.5, 0.00025, 98.123, 17.25, 106.75, 123456.7)
EVAL = EvalEvent(
    *(1, 100, "", 0.5, 0.00025, 12345.6, 98.1, 17.2, 115.3),
    *(97.5, 16.5, 114.25, 123.456, 5.0, 32, (16.5 / 32,) * 32, True),
)


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Puts a terminal in place of both streams; in the test itself, since pytest sets its own after the fixtures."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    return screen

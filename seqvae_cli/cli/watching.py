"""The live view of a training that another process does, fed by looks at its run folder."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any

from seqvae_cli.cli import display, remarks
from seqvae_cli.cli.live import TrainingView
from seqvae_cli.errors import counted
from seqvae_cli.training.events import EndEvent, EvalEvent, StepEvent

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from seqvae_cli.runs.watching import Look


QUIET_SECONDS = 10
"""Seconds without a step or an epoch after which the bar tells how long it has been."""
MOST_SECONDS = 10**9
"""Seconds of training that the bar can show."""


class WatchView(TrainingView):
    """Shows looks at a run on stdout: the table of `train` on a terminal, else the lines of `train`.

    json: the lines of `metrics.jsonl` instead.
    """

    waiting = "waiting for the first step ..."

    def __init__(self, *, json: bool = False) -> None:
        super().__init__()
        self._json = json
        self._shown: list[dict[str, Any]] = []
        self._step_shown: dict[str, Any] | None = None
        self._introduced = False
        self._changed = time.monotonic()

    @property
    def stream(self) -> IO[str]:
        return sys.stdout

    def say(self, line: str) -> None:
        display.out(line)

    def _open(self) -> None:
        if not self._json:
            super()._open()

    def _bar_columns(self) -> list[ProgressColumn]:
        from rich.progress import TextColumn

        return [*super()._bar_columns(), TextColumn("{task.description}")]

    def look(self, look: Look) -> None:
        """Shows what is new in a look. A training that was resumed may repeat some epochs."""
        self._introduce(look)
        self._show_epochs(look.lines)
        if self._json:
            return
        self._show_step(look.step)
        if self._live is not None and self._bar is not None and self._task is not None:
            quiet = round(time.monotonic() - self._changed)
            description = f"no step for {timedelta(seconds=quiet)}" if quiet >= QUIET_SECONDS else ""
            self._bar.update(self._task, description=description)
            last = self.current or (self.rows[-1] if self.rows else None)
            if look.step is None and last and self._epochs and last.epoch:
                self.steps = last.step * self._epochs // last.epoch
            self._draw(last.step if last else 0)

    def _show_epochs(self, lines: list[dict[str, Any]]) -> None:
        kept = 0
        for old, new in zip(self._shown, lines, strict=False):
            if old != new:
                break
            kept += 1
        if kept < len(self._shown):
            self.rows = self.rows[:kept]
        for line in lines[kept:]:
            self._changed = time.monotonic()
            if self._json:
                display.out_jsonl(line)
            elif self._live is not None:
                self._add(EvalEvent.of_line(line))
            else:
                self.show(EvalEvent.of_line(line))
        self._shown = lines

    def _show_step(self, values: dict[str, Any] | None) -> None:
        """Shows a step, unless its epoch has ended, and lets the clock of the bar run since the training began."""
        if values is None:
            self.current = None
        elif values != self._step_shown:
            self._changed = time.monotonic()
            event = StepEvent.of_values(values)
            if event.epoch > (self.rows[-1].epoch if self.rows else 0):
                self.show(event)
            began = values.get("began")
            elapsed = time.time() - began if isinstance(began, int | float) else 0.0
            if self._bar is not None and self._task is not None and 0 < elapsed < MOST_SECONDS:
                self._bar.tasks[self._task].start_time = self._bar.get_time() - elapsed
        self._step_shown = values

    def _introduce(self, look: Look) -> None:
        """Says once what is watched, when the training has written it."""
        info = look.run.info
        if self._introduced or not (info.get("epochs") or look.end):
            return
        self._introduced, self._epochs = True, info.get("epochs")
        precision = str(info.get("precision") or "")
        setup = ", ".join(filter(None, [precision, _counted(info, "threads", "thread")]))
        parts = [_counted(info, "epochs", "epoch"), f"{info.get('device')} ({setup})" if setup else ""]
        display.say(f"run {look.run.name} on {info['corpus']['name']}: {', '.join(filter(None, parts))}")


def _counted(info: Mapping[str, Any], key: str, noun: str) -> str:
    return counted(int(info[key]), noun) if info.get(key) else ""


def verdict(look: Look) -> str:
    """How a watched training ended, and how to go on, in one line."""
    info, name = look.run.info, look.run.name
    last = EvalEvent.of_line(look.lines[-1]) if look.lines else None
    resume = f"; to go on: seqvae train --resume {name}"
    after = f"after {counted(len(look.lines), 'epoch')}"
    why = f": {failure}" if (failure := info.get("failure")) else ""
    match look.end:
        case "diverged":
            return f"{name}: diverged {after}{why}"
        case "failed":
            return f"{name}: failed {after}{why}{resume}"
        case "killed":
            return f"{name}: ended {after} without a final status: it was killed, or the machine stopped{resume}"
    best, seconds = info.get("best_epoch"), info.get("seconds")
    end = EndEvent(
        look.end,
        len(look.lines),
        last.step if last else 0,
        best if isinstance(best, int) else 0,
        math.nan if info.get("best_neg_elbo") is None else float(info["best_neg_elbo"]),
        seconds if isinstance(seconds, int | float) else 0.0,
    )
    return f"{name}: {remarks.summary(end)}" + (resume if look.end == "interrupted" else "")

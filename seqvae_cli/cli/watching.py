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
from seqvae_cli.training.events import EndEvent, EvalEvent

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from seqvae_cli.runs.watching import Look


class WatchView(TrainingView):
    """Shows looks at a run on stdout: the table of `train` on a terminal, else a line an epoch.

    json: the lines of `metrics.jsonl` instead.
    """

    waiting = "waiting for the first epoch ..."
    period = math.inf  # epochs may be hours apart

    def __init__(self, *, json: bool = False) -> None:
        super().__init__()
        self._json = json
        self._shown: list[dict[str, Any]] = []
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
        from rich import progress as bars

        return [
            bars.TextColumn("epoch"),
            bars.MofNCompleteColumn(),
            bars.BarColumn(bar_width=None),
            bars.TextColumn("{task.description}"),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
        ]

    def look(self, look: Look) -> None:
        """Shows the epochs that are new in a look. A training that was resumed may repeat some."""
        self._introduce(look)
        kept = 0
        for old, new in zip(self._shown, look.lines, strict=False):
            if old != new:
                break
            kept += 1
        if kept < len(self._shown):
            self.rows = self.rows[:kept]
        if look.lines[kept:]:
            self._changed = time.monotonic()
        for line in look.lines[kept:]:
            if self._json:
                display.out_jsonl(line)
            elif self._live is not None:
                self._add(EvalEvent.of_line(line))
            else:
                self.show(EvalEvent.of_line(line))
        self._shown = look.lines
        if self._live is not None and self._bar is not None and self._task is not None:
            done = len(look.lines)
            self.steps = look.run.info.get("epochs")
            since = timedelta(seconds=round(time.monotonic() - self._changed))
            self._bar.update(self._task, description=f"{since} since the last," if done else f"{since} so far,")
            self._draw(done)

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
            return f"{name}: ended {after} without a word: it was killed, or the machine stopped{resume}"
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

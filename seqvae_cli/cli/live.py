"""The live view of a training, fed only by its events.

On a terminal: a table with one row an epoch and a progress bar. Elsewhere: one plain line an epoch, and one for the
current step every ten seconds at most. With `--quiet`: only warnings.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from seqvae_cli.cli import display, epoch_table, remarks, sparklines
from seqvae_cli.cli.epoch_table import Row
from seqvae_cli.errors import counted
from seqvae_cli.training.events import (
    CollapseEvent,
    EndEvent,
    EvalEvent,
    Event,
    PlateauEvent,
    ScheduleEvent,
    StartEvent,
    StepEvent,
    WarningEvent,
)

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.progress import Progress, ProgressColumn, TaskID
    from rich.table import Table

REDRAW_SECONDS = 0.25
"""Seconds between two drawings of the current step, to avoid flicker."""

SPEED_SECONDS = 300.0
"""Seconds over which the speed of the bar is averaged: several events of a slow model, its validations among them."""

LEAST_ROWS = 8
"""Rows of the table that sparklines leave room for; else they are left out."""


class TrainingView:
    """Shows the events of one training: `with TrainingView() as view: view.show(event)`."""

    waiting = "reading the corpus, building the model ..."
    """What a terminal shows before there is anything else."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.current: Row | None = None
        self.best_epoch: int | None = None
        self.collapses = 0
        self.steps: int | None = None
        self._start_event: StartEvent | None = None
        self._best: EvalEvent | None = None
        self._last: EvalEvent | None = None
        self._epochs: int | None = None
        self._live: Live | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._pace = display.Pace(display.PLAIN_SECONDS)
        self._draw_pace = display.Pace(REDRAW_SECONDS)
        self._widths: list[int] = []

    def __enter__(self) -> Self:
        if not display.settings.quiet and display.pretty(self.stream):
            self._open()
        return self

    @property
    def stream(self) -> IO[str]:
        """Where the table is drawn."""
        return sys.stderr

    def say(self, line: str) -> None:
        """Shows a plain line in place of the table."""
        display.say(line)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            with suppress(OSError):  # the terminal may be gone
                self._live.update(self.picture(None) if self.rows or self.current else "")
                self._live.stop()
            self._live = None

    def show(self, event: Event) -> None:
        """Draws or prints one event."""
        match event:
            case StartEvent():
                self._start(event)
            case StepEvent():
                self._step(event)
            case EvalEvent():
                self._evaluated(event)
            case PlateauEvent():
                display.say(
                    f"epoch {event.epoch}: no progress; learning rate {event.learning_rate:.2g}, "
                    f"weights of epoch {event.best_epoch}"
                )
            case CollapseEvent():
                self.collapses += 1
                display.warn(
                    f"epoch {event.epoch}: the posterior is collapsing: KL is {event.rate:z.3f} nats a sentence, "
                    f"mutual information {event.mutual_information:z.3f}",
                    remarks.collapse_hint(self._start_event, event)
                    if self.collapses == 1 and self._start_event
                    else "",
                )
            case WarningEvent():
                display.warn(event.message)
            case ScheduleEvent():
                _say_schedule(event)
            case EndEvent():
                self.current = None

    def lessons(self) -> list[str]:
        """What the epochs shown say of a finished training; nothing where the best one was before."""
        if self._start_event is None or self._best is None or self._last is None:
            return []
        return remarks.lessons(self._start_event, self._best, self._last)

    def _start(self, event: StartEvent) -> None:
        self._start_event = event
        self.steps, self._epochs = event.epochs * event.steps_per_epoch, event.epochs
        epochs, steps = counted(event.epochs, "epoch"), counted(event.steps_per_epoch, "step")
        display.say(
            f"run {event.run}: {event.parameters:,} parameters on {event.corpus}, {event.device} ({event.precision}, "
            f"{counted(event.threads, 'thread')}), {epochs} of {steps}"
            + remarks.phases(event)
            + (f", from step {event.step}" if event.step else "")
        )
        if event.settings.train.adapt and not event.step:
            display.say(remarks.sizes(event))
        if event.no_graphs and event.device.startswith("cuda"):
            display.say(f"steps are slower than as CUDA graphs: {event.no_graphs}")
        if self._bar is not None and self._task is not None:
            self._bar.reset(self._task, total=self.steps, completed=event.step)
            self._draw(event.step)

    def _step(self, event: StepEvent) -> None:
        self.steps = event.steps
        self.current = Row.of(event)
        if self._live is not None:
            if self._draw_pace.due():
                self._draw(event.step)
        elif self._pace.due():
            self.say(
                f"epoch {self._of(event)}  step {event.step}/{event.steps}  "
                f"-ELBO {event.neg_elbo:.2f} = {event.distortion:.2f} + KL {event.rate:z.2f}  "
                f"KL weight {event.kl_weight:.2f}  {epoch_table.speed(event.tokens_per_second)} tokens/s"
            )

    def _add(self, event: EvalEvent) -> None:
        self.current, self._last = None, event
        # A run resumed from its last checkpoint repeats some epochs.
        self.rows = [row for row in self.rows if row.epoch < event.epoch] + [Row.of(event)]
        if event.best:
            self.best_epoch, self._best = event.epoch, event

    def _evaluated(self, event: EvalEvent) -> None:
        self._add(event)
        if self._live is not None:
            self._draw(event.step)
        else:
            self._pace.due()
            self.say(
                f"epoch {self._of(event)}  step {event.step}  train -ELBO {event.train_neg_elbo:.2f}  "
                f"validation -ELBO {event.neg_elbo:.2f} = {event.distortion:.2f} + KL {event.rate:z.2f}  "
                f"perplexity {_short(event.elbo_ppl)}  MI {event.mutual_information:z.2f}  "
                f"active units {event.active_units}" + ("  best" if event.best else "")
            )

    def _of(self, event: StepEvent | EvalEvent) -> str:
        number = f"{event.epoch}/{self._epochs}" if self._epochs else str(event.epoch)
        return f"{number} ({event.phase})" if event.phase else number

    def _open(self) -> None:
        from rich import progress as bars
        from rich.live import Live

        console = display.console(self.stream)
        columns = self._bar_columns()
        self._bar = bars.Progress(*columns, console=console, expand=True, speed_estimate_period=SPEED_SECONDS)
        self._task = self._bar.add_task("", total=None)
        # Events redraw it, not a thread. stdout is not redirected, so that answers stay there.
        self._live = Live(self.waiting, console=console, auto_refresh=False, redirect_stdout=False)
        self._live.start(refresh=True)

    def _bar_columns(self) -> list[ProgressColumn]:
        from rich import progress as bars

        return [
            bars.TextColumn("step"),
            bars.MofNCompleteColumn(),
            bars.BarColumn(bar_width=None),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
        ]

    def _draw(self, step: int) -> None:
        from rich.console import Group
        from rich.segment import Segment

        if self._live is None or self._bar is None or self._task is None:
            return
        self._bar.update(self._task, completed=step, total=self.steps)
        frame = Group(self.picture(self._live.console.height - 7), self._bar)
        with suppress(OSError):
            self._erase_wrapped()
            self._widths = [Segment.get_line_length(line) for line in self._live.console.render_lines(frame, pad=False)]
            self._live.update(frame, refresh=True)

    def _erase_wrapped(self) -> None:
        """Erases the lines that a terminal made of the last frame when it became too narrow for it: Rich knows none."""
        from rich.control import Control
        from rich.segment import ControlType

        assert self._live is not None
        width = max(1, self._live.console.width)
        if extra := sum(max(0, length - 1) // width for length in self._widths):
            erase, up = (ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)
            self._live.console.control(Control(erase, *(up, erase) * extra))

    def picture(self, height: int | None) -> Group:
        """The table with sparklines below it where there is room: about `height` lines and the heading."""
        from rich.console import Group

        below = sparklines.of_rows(self.rows, self._live.console) if self._live is not None else []
        if height is not None and below and height - len(below) - 1 < LEAST_ROWS:
            below = []
        rows = None if height is None else max(2, height - len(below) - bool(below))
        return Group(self.table(rows), *below, *([""] if below else []))

    def table(self, height: int | None) -> Table:
        """The epochs so far, at most `height` rows: the last ones, with the best epoch kept on top."""
        rows = [*self.rows, *([self.current] if self.current else [])]
        if height is not None and len(rows) > height:
            best = [row for row in rows[:-height] if row.epoch == self.best_epoch]
            rows = best + rows[len(rows) - height + len(best) :]
        best_rows = [row.epoch == self.best_epoch and row is not self.current for row in rows]
        return epoch_table.table(rows, best_rows, self._live.console.width if self._live is not None else 80)


def _say_schedule(event: ScheduleEvent) -> None:
    changes = ", ".join(f"{name} {before:.2g} -> {now:.2g}" for name, before, now in event.changes)
    if event.now != event.epochs:
        display.say(f"the schedules keep their {counted(event.now, 'epoch')}; now {changes}")
        return
    display.warn(
        f"the schedules now take {counted(event.now, 'epoch')}, not {event.before}: {changes}",
        "--keep-schedule leaves them as they were",
    )


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.3g}"

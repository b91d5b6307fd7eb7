"""A training is followed by logs: they hear its events on the way to whoever asked for these.

Logs neither change a training nor end it: they read its events and its checkpoints, draw no random numbers, and one
that fails is left out with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial

from seqvae_cli.logs import loggers
from seqvae_cli.logs.logger import Log, Logger
from seqvae_cli.logs.points import flat, points, result
from seqvae_cli.logs.texts import Texts
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files
from seqvae_cli.training.events import EndEvent, EvalEvent, Event, SavedEvent, StartEvent, StepEvent, WarningEvent

Call = Callable[[Logger], None]


def logged(events: Iterator[Event], run: Run, names: Iterable[str]) -> Iterator[Event]:
    """The events of the training of `run`, told to its logs; a `WarningEvent` more for each log that fails.

    names: those of loggers that `loggers.check` has found to be there.
    """
    with closing(Logs(run, names)) as logs:
        for event in events:
            yield from logs.hear(event)
            yield event


class Logs:
    """The open logs of a training, and what they have not been told yet."""

    def __init__(self, run: Run, names: Iterable[str]) -> None:
        self.run, self.names = run, list(names)
        self.open: dict[str, Logger] = {}
        self.waiting: list[Call] = []
        """Told to the logs that are not live, once a checkpoint is saved."""
        self.texts: Texts | None = None
        self.epoch_ended = False

    def hear(self, event: Event) -> Iterator[WarningEvent]:
        """Tells the logs what an event says."""
        match event:
            case StartEvent():
                for name in self.names:
                    yield from self._begin(name, event)
                self.texts = Texts(self.run, event.step) if self.open else None
            case StepEvent() | EvalEvent():
                self.epoch_ended = isinstance(event, EvalEvent)
                yield from self._tell(lambda log: log.figures(event.step, points(event)))
            case SavedEvent():
                if self.epoch_ended:
                    yield from self._say(event.step)
                yield from self._release()
            case EndEvent():
                yield from self._tell(lambda log: log.result(event.step, result(event)))
                yield from self._release()

    def _begin(self, name: str, event: StartEvent) -> Iterator[WarningEvent]:
        path = loggers.folder(self.run.path, name)
        identity = f"{self.run.info['created']:x}"
        try:
            earlier = [] if path.is_dir() else self.run.metrics()
            files.make_folder(path)
            log = Log(path, self.run.name, identity, event.step, flat(event.settings))
            self.open[name] = loggers.LOGGERS[name].open(log)
            for epoch in map(EvalEvent.of_line, earlier):  # of a run that had no such log until now
                self.open[name].figures(epoch.step, points(epoch))
        except Exception as error:
            yield self._drop(name, error)

    def _say(self, step: int) -> Iterator[WarningEvent]:
        """Tells the texts of new best weights. They need not fail for one logger alone: then all go on without."""
        if not self.open or self.texts is None:
            return
        try:
            found = self.texts.new()
        except Exception as error:
            self.texts = None
            yield WarningEvent(f"samples cannot be logged: {_reason(error)}; the logs go on without them")
            return
        for name, text in found.items():
            yield from self._tell(partial(_text, step=step, name=name, text=text))

    def _tell(self, call: Call) -> Iterator[WarningEvent]:
        if any(not log.live for log in self.open.values()):
            self.waiting.append(call)
        for name in [name for name, log in self.open.items() if log.live]:
            yield from self._attempt(name, call)

    def _release(self) -> Iterator[WarningEvent]:
        calls, self.waiting = self.waiting, []
        for name, log in list(self.open.items()):
            yield from self._attempt(name, *([] if log.live else calls), lambda log: log.flush())

    def _attempt(self, name: str, *calls: Call) -> Iterator[WarningEvent]:
        try:
            for call in calls:
                call(self.open[name])
        except Exception as error:
            yield self._drop(name, error)

    def _drop(self, name: str, error: Exception) -> WarningEvent:
        if (log := self.open.pop(name, None)) is not None:
            _close(log)
        return WarningEvent(f"the {name} log failed: {_reason(error)}; the training goes on without it")

    def close(self) -> None:
        """Ends the logs that are open."""
        for log in self.open.values():
            _close(log)
        self.open.clear()


def _text(log: Logger, *, step: int, name: str, text: str) -> None:
    log.text(step, name, text)


def _close(log: Logger) -> None:
    with suppress(Exception):  # what it had to say, it has said
        log.close()


def _reason(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300].rstrip(": ")

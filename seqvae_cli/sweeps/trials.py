"""The trials of a sweep: each is a run; Optuna chooses their settings and ends those that fall behind.

The study is a journal in HOME/sweeps, which several processes share, on one machine or on several with one home. A
trial whose process was killed or stopped is resumed by the next process that looks for one.

Akiba et al. 2019, "Optuna: A Next-generation Hyperparameter Optimization Framework".
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from seqvae_cli.data import corpus as corpora
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError, DivergedError, MachineError, NotFoundError, UsageError
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import Run, is_held
from seqvae_cli.sweeps.plan import Axis, Choices, Plan
from seqvae_cli.system import files, places
from seqvae_cli.training import session
from seqvae_cli.training.events import EndEvent, EvalEvent, Event

if TYPE_CHECKING:
    import optuna

RUN, REASON = "run", "reason"
"""What a trial remembers beside its settings: its run, and why it failed."""

DIGEST, CORPUS = "digest", "corpus"
"""What a study remembers: the digest of its plan, and the folder of its corpus."""


@dataclass(frozen=True)
class Trial:
    """A trial as it is now."""

    number: int
    run: str | None
    state: str
    """running, waiting, finished, pruned or failed."""
    neg_elbo: float | None
    """The best validation -ELBO, nats a sentence; of a pruned trial the last one that was compared."""
    settings: dict[str, Any]
    """Those that were drawn, by dotted key."""
    reason: str
    """Why it failed."""


@dataclass(frozen=True)
class TrialEvent:
    """A trial begins, or goes on."""

    trial: Trial
    trials: int
    """In all."""
    resumed: bool


@dataclass(frozen=True)
class TrialEndEvent:
    """A trial ended; `best` is the best of all that have."""

    trial: Trial
    best: Trial | None


class Sweep:
    """A plan and its study. Raises `MachineError` without Optuna, `UsageError` for a study of another plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.folder = plan, places.home() / "sweeps"
        try:
            import optuna
        except ImportError as error:
            raise MachineError("a sweep needs Optuna", 'pip install "seqvae[sweep]"') from error
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna = optuna
        journal = self.folder / f"{plan.name}.journal"
        with files.machine_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                storage = JournalStorage(JournalFileBackend(str(journal)))
                self.study = optuna.create_study(
                    study_name=plan.name,
                    storage=storage,
                    load_if_exists=True,
                    pruner=optuna.pruners.MedianPruner() if plan.prune else optuna.pruners.NopPruner(),
                )
                known = self.study.user_attrs
                if DIGEST not in known:
                    corpus = corpora.find(plan.data) if plan.data else corpora.latest()
                    self.study.set_user_attr(CORPUS, corpus.path.name)
                    self.study.set_user_attr(DIGEST, plan.digest)
                elif known[DIGEST] != plan.digest:
                    hint = f"rename the file for a new sweep, or remove {journal} (its runs stay)"
                    raise UsageError(f"sweep {plan.name} has begun with other settings", hint)
        self.corpus: Corpus = corpora.find(self.study.user_attrs[CORPUS])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Within, no other process chooses a trial."""
        with FileLock(self.folder / f"{self.plan.name}.lock"):
            yield

    def _held(self, number: int) -> Path:
        """The lock of a trial, held by the process that trains it."""
        return self.folder / f"{self.plan.name}-{number}.lock"

    def trials(self) -> list[Trial]:
        """All trials but those that another one goes on with, in their order."""
        found = self.study.get_trials(deepcopy=False)
        last = {one.user_attrs[RUN]: one.number for one in found if RUN in one.user_attrs}
        return [
            _trial(one)
            for one in found
            if one.state.name != "FAIL"
            or REASON in one.user_attrs
            or last.get(one.user_attrs.get(RUN), -1) == one.number
        ]

    def best(self) -> Trial | None:
        """The finished trial with the lowest validation -ELBO."""
        finished = [one for one in self.trials() if one.state == "finished" and one.neg_elbo is not None]
        return min(finished, key=lambda one: float(one.neg_elbo or 0), default=None)

    def train(self, stop: Callable[[], bool] = bool) -> Generator[TrialEvent | Event | TrialEndEvent]:
        """Trains the trials that are left, one after the other, until `stop()` is true; yields what happens.

        Each of several processes trains trials of its own. Raises what `session.fit` raises, but for settings that
        contradict each other, a run that is gone or damaged, and losses that are not finite: such a trial has failed.
        """
        while not stop():
            with self._alone():
                claimed = self._next()
            if claimed is None:
                return
            trial, lock = claimed
            try:
                yield from self._train(trial, stop)
            finally:
                lock.release()
                Path(lock.lock_file).unlink(missing_ok=True)

    def _next(self) -> tuple[optuna.Trial, FileLock] | None:
        """The next trial to train and its lock, held; None where none is left."""
        state = self.optuna.trial.TrialState
        for one in self.study.get_trials(deepcopy=False, states=(state.RUNNING,)):
            if not is_held(self._held(one.number)):  # its process is gone: another trial goes on with its run
                if RUN in one.user_attrs:
                    self.study.enqueue_trial(one.params, user_attrs={RUN: one.user_attrs[RUN]})
                self.study.tell(one.number, state=state.FAIL)
        trials = self.trials()
        if len(trials) >= self.plan.trials and not any(one.state == "waiting" for one in trials):
            return None
        # Of the trial, so that two processes do not draw the same.
        number = len(self.study.get_trials(deepcopy=False))
        self.study.sampler = self.optuna.samplers.TPESampler(seed=(1_000_003 * self.plan.seed + number) % 2**32)
        trial = self.study.ask()
        lock = FileLock(self._held(trial.number))
        lock.acquire()
        return trial, lock

    def _train(self, trial: optuna.Trial, stop: Callable[[], bool]) -> Iterator[TrialEvent | Event | TrialEndEvent]:
        state = self.optuna.trial.TrialState
        drawn = {key: _draw(trial, key, axis) for key, axis in self.plan.space.items()}
        name = trial.user_attrs.get(RUN)
        try:
            if name and name not in registry.names():  # the beginning of another run's name is not that run
                raise NotFoundError(f"its run {name} is gone")
            run = registry.find(name) if name else self._new_run(trial, drawn)
        except (UsageError, DataError, NotFoundError) as error:
            trial.set_user_attr(REASON, error.message)
            self.study.tell(trial, state=state.FAIL)
            yield TrialEndEvent(self._now(trial), self.best())
            return
        yield TrialEvent(self._now(trial), self.plan.trials, resumed=bool(name))
        pruned, end = threading.Event(), None
        for line in run.metrics() if name else []:
            _report(trial, line["phase"], line["neg_elbo"], line["epoch"])
        try:
            resume = run.has_checkpoint()
            for event in session.fit(run, self.corpus, resume=resume, stop=lambda: pruned.is_set() or stop()):
                yield event
                if isinstance(event, EvalEvent):
                    _report(trial, event.phase, event.neg_elbo, event.epoch)
                    if trial.should_prune():
                        pruned.set()
                if isinstance(event, EndEvent):
                    end = event
        except DivergedError as error:
            trial.set_user_attr(REASON, error.message)
            self.study.tell(trial, state=state.FAIL)
        else:
            assert end is not None
            if end.reason == "interrupted" and not pruned.is_set():
                return  # left as it is: the next process goes on with it
            if end.reason == "interrupted":
                run.tag(["pruned"])
                with run.lock():
                    run.update(status="finished")
                self.study.tell(trial, state=state.PRUNED)
            elif math.isfinite(end.best_neg_elbo):
                self.study.tell(trial, end.best_neg_elbo)
            else:
                trial.set_user_attr(REASON, "no epoch after pretraining")
                self.study.tell(trial, state=state.FAIL)
        yield TrialEndEvent(self._now(trial), self.best())

    def _new_run(self, trial: optuna.Trial, drawn: dict[str, Any]) -> Run:
        plan = self.plan
        settings, _ = session.settle(plan.preset, None, {**plan.settings, **drawn}, corpus=self.corpus)
        taken = set(registry.names())
        names = (f"{plan.name}-{number}" for number in itertools.count(trial.number))
        run = session.start(settings, self.corpus, preset=plan.preset, name=next(n for n in names if n not in taken))
        run.tag([plan.name])
        trial.set_user_attr(RUN, run.name)
        return run

    def _now(self, trial: optuna.Trial) -> Trial:
        return _trial(self.study.get_trials(deepcopy=False)[trial.number])


def _trial(found: optuna.trial.FrozenTrial) -> Trial:
    names = {"RUNNING": "running", "WAITING": "waiting", "COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}
    known = found.user_attrs
    return Trial(
        found.number, known.get(RUN), names[found.state.name], found.value, dict(found.params), known.get(REASON, "")
    )


def _draw(trial: optuna.Trial, key: str, axis: Axis) -> Any:
    if isinstance(axis, Choices):
        return trial.suggest_categorical(key, axis.values)
    if axis.whole:
        return trial.suggest_int(key, int(axis.low), int(axis.high), step=int(axis.step or 1), log=axis.log)
    return trial.suggest_float(key, axis.low, axis.high, step=axis.step, log=axis.log)


def _report(trial: optuna.Trial, phase: str, neg_elbo: float, epoch: int) -> None:
    """Tells the pruner the -ELBO of an epoch; not while the model is an autoencoder or the KL weight still rises."""
    if not phase:
        trial.report(neg_elbo, epoch)

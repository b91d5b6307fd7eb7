"""`start` makes a new run; `fit` trains a run, new or resumed, and yields events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seqvae_cli.config import layers
from seqvae_cli.config.adapt import adapted
from seqvae_cli.config.schema import Settings
from seqvae_cli.data import corpus as corpora
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DivergedError, LostProcessError, MachineError, UsageError, counted
from seqvae_cli.runs import checkpoint, registry
from seqvae_cli.runs.current_step import StepFile
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files, places
from seqvae_cli.system.processes import ALONE, Processes
from seqvae_cli.training import resume as resuming
from seqvae_cli.training import setup
from seqvae_cli.training.distributed import FollowedRun
from seqvae_cli.training.events import Event, StepEvent, WarningEvent
from seqvae_cli.training.facts import facts
from seqvae_cli.training.initial import Initial
from seqvae_cli.training.loop import Trainer


def settle(
    preset: str = "default",
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    corpus: Corpus | None = None,
    initial: Initial | None = None,
) -> tuple[Settings, Corpus]:
    """The settings of a new run, adapted to its corpus, and the corpus.

    The corpus is the one given, that of the settings, that of the run with the `initial` weights, or the last one
    prepared. Raises what `layers.resolve` raises, and `NotFoundError` where no such corpus is prepared.
    """
    settings = layers.resolve(preset, file, overrides, initial.layer({}) if initial else None)
    if corpus is None:
        folder = settings.data or (initial.run.info["corpus"]["folder"] if initial else "")
        corpus = corpora.find(folder) if folder else corpora.latest()
    layer: dict[str, Any] = {}
    if settings.train.adapt:
        # Of the preset, not of its epochs as given: a training that gets more later is the one that had them at once.
        of_preset = {"train.adapt": True, "train.lr_schedule": settings.train.lr_schedule}
        layer = adapted(layers.resolve(preset, overrides=of_preset), facts(corpus))
        if {"objective.free_bits", "objective.free_bits_total"} & layers.given(file, overrides):
            layer.pop("objective.free_bits_fade", None)
    return layers.resolve(preset, file, overrides, initial.layer(layer) if initial else layer), corpus


def start(
    settings: Settings,
    corpus: Corpus,
    *,
    preset: str = "default",
    name: str | None = None,
    initial: Initial | None = None,
    processes: Processes = ALONE,
) -> Run:
    """Makes a run folder for `settings` on `corpus`, named `name` or CORPUS-PRESET-N.

    initial: the weights that it begins with; None: random ones. processes: those that will train it.

    Raises `MachineError` where the device or the precision is not available, `UsageError` for a corpus without training
    or validation sentences, a taken name, or `initial` weights that do not fit, `DataError` for a damaged corpus:
    before the folder is made.
    """
    setup.resolve_runtime(settings.runtime, processes)
    _check_splits(corpus)
    corpus.verify()
    if initial:
        initial.check(settings, corpus)
    settings = settings.model_copy(update={"data": corpus.path.name})
    return registry.create(
        f"{corpus.name}-{preset}",
        name=name,
        config=layers.dump(settings),
        tokenizer=(corpus.path / "tokenizer.json").read_bytes(),
        preset=preset,
        corpus={
            "name": corpus.name,
            "folder": corpus.path.name,
            "hash": corpus.hash,
            "sentences": {split: corpus.sentences(split) for split in corpus.splits},
        },
        **({"fill": initial.fill} if initial else {}),
    )


def _check_splits(corpus: Corpus) -> None:
    for split in ("train", "valid"):
        if split not in corpus.splits or not len(corpus.split(split)):
            raise UsageError(f"corpus {corpus.name} has no {split} sentences", "prepare it with --valid or a fraction")


def fit(
    run: Run,
    corpus: Corpus,
    *,
    resume: bool = False,
    epochs: int | None = None,
    keep_schedule: bool = False,
    precision: str | None = None,
    stop: Callable[[], bool] = bool,
    processes: Processes = ALONE,
) -> Iterator[Event]:
    """Trains `run` on `corpus` until its last epoch, an early stop, or until `stop()` is true.

    Seeds torch's global random streams and draws from them. `resume` goes on from the newest checkpoint that verifies.
    For a resumed run, and its later resumes, `epochs` replaces the number of epochs in all, `keep_schedule` keeps the
    length of the schedules that would else stretch over them, and `precision` replaces that of the settings. When
    `stop()` turns true, it saves and ends. Where nothing is left to train, it only yields an `EndEvent`.

    Raises `DivergedError` when the loss is not finite (the last finite checkpoint stays), `MachineError`,
    `CheckpointError`, `DataError`, and `UsageError` for fewer `epochs` than the run has, no schedule to keep, or a
    run that was packed without its training state. A run whose resume is refused stays as it was.

    With several `processes`, the first of them calls this and the others `follow`.
    """
    with run.lock():
        options = {"resume": resume, "epochs": epochs, "keep_schedule": keep_schedule, "precision": precision}
        if processes.first:
            processes.from_first((run.name, run.info, options))
        if run.info.get("weights_only"):
            problem = f"run {run.name} has its weights alone: it cannot be resumed"
            raise UsageError(problem, f"begin a new run with them: seqvae train --init {run.name}")
        run.check_corpus(corpus.path.name, corpus.hash)
        if not processes.local_rank:
            corpus.verify()
        _check_splits(corpus)
        resolved = setup.resolve(run, epochs, keep_schedule=keep_schedule, precision=precision, processes=processes)
        started = not resume  # a new run that does not begin has failed; a resumed one is what it was
        try:
            trainer = Trainer(run, corpus, resolved, stop)
            restored = resuming.Restored(trainer) if resume else None
            if restored is None or restored.last is None:
                trainer.begin()
            _check_same(trainer)
            if not trainer.complete:
                run.start()
                started = True
            if processes.first:
                files.sweep(run.path)
                for folder in ("best", "last"):
                    checkpoint.sweep(run.path / folder)
            if restored is not None:
                yield from restored.notices
                restored.settle()
            if trainer.complete:
                # Killed just before it could say so, or resumed with no more epochs than it has.
                found = {"status": "finished", "failure": None, "epochs": trainer.epochs, **resolved.record}
                if any(run.info.get(key) != value for key, value in found.items()):
                    run.update(**found)
                if resolved.previous_epochs > trainer.epochs:
                    planned = counted(resolved.previous_epochs, "epoch")
                    yield WarningEvent(f"{planned} were planned; the run now ends after {trainer.epochs}")
                yield trainer.end("complete")
            else:
                yield from _written(trainer.train(), run) if processes.first else trainer.train()
        except DivergedError as error:
            _record_failure(run, "diverged", error.message)
            raise
        except BaseException as error:
            if not started:
                raise
            # A consumer that closes the generator (GeneratorExit), or a second Ctrl-C, interrupts too.
            interrupted = isinstance(error, GeneratorExit | KeyboardInterrupt | LostProcessError)
            status, failure = ("interrupted", None) if interrupted else ("failed", repr(error))
            _record_failure(run, status, failure)
            raise


def follow(processes: Processes, stop: Callable[[], bool] = bool) -> None:
    """Trains what the first of the processes trains by `fit`, in one of the others. Raises what `fit` does.

    The corpus and the run folder have to be in the home of each machine; only the first process writes there.
    """
    nothing: tuple[str, dict[str, Any], dict[str, Any]] = "", {}, {}
    name, info, options = processes.from_first(nothing)
    path = places.runs() / name
    if not path.is_dir():
        raise MachineError(f"process {processes.rank} finds no {path}", "all machines need the same SEQVAE_HOME")
    corpus = corpora.find(info["corpus"]["folder"])
    for _ in fit(FollowedRun(path, info), corpus, stop=stop, processes=processes, **options):
        pass


def _check_same(trainer: Trainer) -> None:
    """Waits for all processes to be where the training goes on. Raises `MachineError` where one read something else."""
    steps = trainer.processes.gathered(trainer.state.step)
    for rank, step in enumerate(steps):
        if step != steps[0]:
            found = f"process {rank} goes on from step {step}, the first from step {steps[0]}"
            raise MachineError(found, "all machines need the same run folder")


def _written(events: Iterator[Event], run: Run) -> Iterator[Event]:
    """The events, the latest step written for who watches from outside."""
    with closing(StepFile(run.path)) as step_file:
        for event in events:
            if isinstance(event, StepEvent):
                step_file.write(asdict(event))
            yield event


def _record_failure(run: Run, status: str, failure: str | None) -> None:
    """Writes how training ended, if the disk allows: the error that ended it is the one to report."""
    try:
        run.update(status=status, failure=failure)
    except MachineError:
        return

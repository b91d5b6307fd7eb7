"""A training followed from its run folder: its epochs, its current step, and how it ends. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqvae_cli.errors import DataError, MachineError, NotFoundError
from seqvae_cli.runs import current_step, registry
from seqvae_cli.runs.run import Run, read_metrics
from seqvae_cli.system import files

SECONDS = 1.0
"""Between two looks at the folder."""
UNMARKED_LOOKS = 3
"""Looks in a row that find no process before a run counts as killed: a new run has its folder before its lock."""


@dataclass(frozen=True)
class Look:
    """A run at one moment."""

    run: Run
    lines: list[dict[str, Any]]
    """The epochs in `metrics.jsonl`. A training that goes on from an older checkpoint repeats some: they go first."""
    end: str = ""
    """finished (all epochs), stopped (early), interrupted, diverged, failed, killed (no process trains it any more, and
    it could not say so); empty: it is in training, or about to be."""
    step: dict[str, Any] | None = None
    """The values of the last step, with `began`: when its training did, in seconds since 1970. None where unknown."""


def follow(path: Path, wait: Callable[[float], object] = time.sleep) -> Iterator[Look]:
    """A look at the run folder `path` every second, until its training has ended, which the last one says.

    `wait` is called with the seconds between two looks. Raises `DataError` where a file of the run is damaged; a last
    line of `metrics.jsonl` that is still being written is waited for. Raises `NotFoundError` where the run was removed.
    """
    unmarked = 0
    lines: list[dict[str, Any]] = []
    version: object = None
    metrics = path / "metrics.jsonl"
    while True:
        run, end = _state(path)  # before the metrics: the last epoch is written before the end is
        step = None if end else current_step.read(path)  # before them too: a step is shown until its epoch is
        unmarked = unmarked + 1 if end == "killed" else 0
        if end == "killed" and unmarked < UNMARKED_LOOKS:
            end = ""
        if end or version != (version := _version(metrics)):
            lines = read_metrics(metrics, growing=not end)
        yield Look(run, lines, end, step)
        if end:
            return
        wait(SECONDS)


def _state(path: Path) -> tuple[Run, str]:
    """The run, and how its training has ended, as in `Look.end`."""
    try:
        held = Run(path).locked()  # before the status is read: a training says how it ended, then frees the lock
        run = Run(path)
    except (DataError, MachineError) as error:
        if path.is_dir() and (path / "run.json").exists():
            raise
        hint = "seqvae runs list --trash"
        raise NotFoundError(f"run {path.name} was removed while it was watched", hint) from error
    status, epoch, epochs = (run.info.get(key) for key in ("status", "epoch", "epochs"))
    if held:
        return run, ""
    if status in ("created", "running"):
        return run, "killed"
    if status == "finished" and epoch is not None and epochs is not None and epoch < epochs:
        return run, "stopped"
    return run, str(status)


def _version(path: Path) -> tuple[int, int, int] | None:
    """What changes whenever the file does; None where it is absent."""
    with files.machine_errors(path):
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def default() -> Run:
    """The latest run in training, else the latest run. Raises `NotFoundError`."""
    training = [run for run in registry.runs()[0] if run.locked()]
    return training[-1] if training else registry.find("latest")

"""What a training runs with: settings, epochs, device, precision and threads, resolved once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from seqvae_cli.config.schema import RuntimeSettings, Settings
from seqvae_cli.errors import UsageError
from seqvae_cli.runs import loading
from seqvae_cli.runs.run import Run
from seqvae_cli.system.processes import ALONE, Processes
from seqvae_cli.system.runtime import resolve_device, resolve_precision, set_threads
from seqvae_cli.training.schedule import shortened_phases


@dataclass(frozen=True)
class Setup:
    """The resolved settings of one training. Nothing below `fit` resolves them again."""

    settings: Settings
    """`train.epochs` counts all epochs; the phases are shortened for the number that was first asked for."""
    vocabulary_size: int
    device: torch.device
    precision: torch.dtype
    threads: int
    processes: Processes
    previous_precision: str | None
    """The name of the precision in which the run was last trained; None for a new run."""
    extended: bool
    """More epochs are asked for than before."""
    schedule_epochs: int
    """Epochs of the schedules that count in shares of the training: all of them, unless the run keeps its schedule."""
    previous_epochs: int
    """All epochs before this resume."""
    previous_schedule_epochs: int
    """Epochs of the schedules before this resume."""
    record: dict[str, Any]
    """What `run.json` keeps of this for later resumes."""


def resolve(
    run: Run,
    epochs: int | None = None,
    *,
    keep_schedule: bool = False,
    precision: str | None = None,
    processes: Processes = ALONE,
) -> Setup:
    """The setup of `run`, for `epochs` in all (None: as before). Also sets the number of CPU threads of the process.

    keep_schedule: the schedules keep the length that they had before the number of epochs was last changed.
    precision: float32 in place of that of the settings; None: as before.
    processes: those that train together; without a number of threads, those of a machine share its cores.

    Raises `CheckpointError` for damaged files of the run, `MachineError` for an absent device or a precision that it
    lacks, `UsageError` for fewer epochs than the run has, another precision, or where no schedule is to be kept.
    """
    if precision not in (None, "float32"):
        raise UsageError(f"precision {precision!r} for a resumed run", "float32, or that of its settings")
    settings, tokenizer = loading.load_settings_and_tokenizer(run)
    asked = precision or run.info.get("asked_precision")
    runtime = settings.runtime.model_copy(update={"precision": asked} if asked else {})
    device, kind = resolve_runtime(runtime, processes)
    trained = int(run.info.get("epoch") or 0)
    if epochs is not None and epochs < trained:
        raise UsageError(f"run {run.name} has {trained} epochs already", "give more --epochs")
    # Shortened for the epochs first asked for: more epochs later must not bring the phases back.
    settings = shortened_phases(settings)
    planned = int(run.info.get("epochs") or settings.train.epochs)
    total = epochs or planned
    train = settings.train.model_copy(update={"epochs": total})
    kept = kept_before = run.info.get("schedule_epochs")
    stretched_from = planned if total != planned else run.info.get("stretched_from")
    if keep_schedule and not kept:
        if stretched_from is None:
            raise UsageError(f"run {run.name} has one schedule, of {planned} epochs", "give other --epochs, too")
        kept = stretched_from
    record = {"asked_precision": asked, "schedule_epochs": kept, "stretched_from": stretched_from}
    before = run.info.get("processes") or 1
    if before > 1 or processes.several:
        record["processes"] = processes.size
    # Sums depend on how many threads share them: a resumed run takes as many as it began with.
    threads = (run.info.get("threads") if before == processes.size else None) or settings.runtime.threads
    return Setup(
        settings=settings.model_copy(update={"train": train, "runtime": runtime}),
        vocabulary_size=len(tokenizer),
        device=device,
        precision=kind,
        threads=set_threads(threads, processes.local_size),
        processes=processes,
        previous_precision=run.info.get("precision"),
        extended=total > planned,
        schedule_epochs=kept or total,
        previous_epochs=planned,
        previous_schedule_epochs=kept_before or planned,
        record={key: value for key, value in record.items() if value is not None},
    )


def resolve_runtime(runtime: RuntimeSettings, processes: Processes = ALONE) -> tuple[torch.device, torch.dtype]:
    """Device and precision of this machine. Raises `MachineError` where it lacks either."""
    device = resolve_device(runtime.device, processes)
    return device, resolve_precision(runtime.precision, device)

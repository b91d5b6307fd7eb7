"""What a training runs with: settings, epochs, device, precision and threads, resolved once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from seqvae_cli.config.schema import RuntimeSettings, Settings
from seqvae_cli.errors import UsageError
from seqvae_cli.runs import loading
from seqvae_cli.runs.run import Run
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
    previous_precision: str | None
    """The name of the precision in which the run was last trained; None for a new run."""
    extended: bool
    """More epochs are asked for than before."""


def resolve(run: Run, epochs: int | None = None) -> Setup:
    """The setup of `run`, for `epochs` in all (None: as before). Also sets the number of CPU threads of the process.

    Raises `CheckpointError` for damaged files of the run, `MachineError` for an absent device or a precision that it
    lacks, `UsageError` for fewer epochs than the run has.
    """
    settings, tokenizer = loading.load_settings_and_tokenizer(run)
    device, precision = resolve_runtime(settings.runtime)
    trained = int(run.info.get("epoch") or 0)
    if epochs is not None and epochs < trained:
        raise UsageError(f"run {run.name} has {trained} epochs already", "give more --epochs")
    # Shortened for the epochs first asked for: more epochs later must not bring the phases back.
    settings = shortened_phases(settings)
    planned = int(run.info.get("epochs") or 0)
    train = settings.train.model_copy(update={"epochs": epochs or planned or settings.train.epochs})
    return Setup(
        settings=settings.model_copy(update={"train": train}),
        vocabulary_size=len(tokenizer),
        device=device,
        precision=precision,
        # Sums depend on how many threads share them: a resumed run takes as many as it began with.
        threads=set_threads(run.info.get("threads") or settings.runtime.threads),
        previous_precision=run.info.get("precision"),
        extended=(epochs or 0) > planned,
    )


def resolve_runtime(runtime: RuntimeSettings) -> tuple[torch.device, torch.dtype]:
    """Device and precision of this machine. Raises `MachineError` where it lacks either."""
    device = resolve_device(runtime.device)
    return device, resolve_precision(runtime.precision, device)

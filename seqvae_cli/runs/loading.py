"""A run folder -> settings, tokenizer and trained weights, all verified before use."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from seqvae_cli.config import layers
from seqvae_cli.config.schema import Settings
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.errors import CheckpointError, DataError, NotFoundError, UsageError
from seqvae_cli.model import SentenceVAE
from seqvae_cli.runs import registry
from seqvae_cli.runs.checkpoint import generations, newest, read_weights, step_of
from seqvae_cli.runs.registry import Run
from seqvae_cli.system import files
from seqvae_cli.system.runtime import resolve_precision


@dataclass(frozen=True)
class Bundle:
    """All that belongs to a trained model."""

    settings: Settings
    tokenizer: Tokenizer
    model: SentenceVAE
    run: Run
    step: int
    """The step of the weights."""

    def need_latent(self) -> None:
        """Raises `UsageError` where the model has no latent code."""
        if not self.settings.model.latent_size:
            message = f"run {self.run.name} is a language model: it has no latent code"
            raise UsageError(message, "name a run with one: seqvae runs list")

    @property
    def precision(self) -> torch.dtype:
        """That of the training; float32 where this device is slow in it."""
        fast = resolve_precision("auto", self.model.device)
        return torch.float32 if self.run.info.get("precision") == "float32" else fast


def load_parts(run: Run) -> tuple[Settings, Tokenizer]:
    """Settings and tokenizer of a run, verified. Raises `CheckpointError`."""
    digests = run.info.get("files")
    if not isinstance(digests, dict) or not digests.keys() >= {"config.yaml", "tokenizer.json"}:
        raise CheckpointError(f"{run.path / 'run.json'} names no digests of config.yaml and tokenizer.json")
    try:
        files.verify(run.path, {name: digests[name] for name in ("config.yaml", "tokenizer.json")})
        return layers.load(run.path / "config.yaml"), Tokenizer.load(run.path / "tokenizer.json")
    except DataError as error:
        raise CheckpointError(error.message, error.hint) from error


def load(name: str | Run = "latest", device: torch.device | str = "cpu") -> Bundle:
    """The best weights of a run (the last ones where none were validated yet), ready to use, in eval mode.

    Raises `NotFoundError`, `CheckpointError`.
    """
    run = name if isinstance(name, Run) else registry.find(name, trained=True)
    settings, tokenizer = load_parts(run)
    folder = next((run.path / name for name in ("best", "last") if generations(run.path / name)), None)
    if folder is None:
        raise NotFoundError(f"run {run.name} has no checkpoint yet", f"its status is {run.status}: seqvae runs list")
    with torch.device("meta"):  # a stranger's settings must not take memory before the weights bear them out
        shapes = SentenceVAE(settings.model, len(tokenizer))
    while True:
        there = generations(folder)
        try:
            path = newest(folder)
            weights = read_weights(shapes, path)
            step = step_of(path)
            break
        except DataError:
            if generations(folder) == there:  # else its training has just saved a newer one
                raise
    model = SentenceVAE(settings.model, len(tokenizer))
    model.load_state_dict(weights)
    model.requires_grad_(False)
    return Bundle(settings, tokenizer, model.to(device).eval(), run, step)

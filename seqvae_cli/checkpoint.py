"""Checkpoints: saved atomically, verified before use, never executed.

What is on disk after a crash is the old checkpoint or the new one. Checkpoints are numbered folders, and saving
never touches an older one until the new one is complete:

    last/000007/
        model.safetensors      weights
        training.safetensors   optimizer and random streams (in `last` alone)
        training.json          where training stood (in `last` alone)
        manifest.json          SHA-256 of each of them, written last: without it the folder does not count

Weights are safetensors and the rest is JSON: nothing is unpickled. Every file is checked against its SHA-256 before
it is read. A resumed run on CPU, with the same threads and versions, ends with the very bits of one that never
stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from seqvae_cli import config, files, registry
from seqvae_cli.config import Settings
from seqvae_cli.errors import CheckpointError, DataError, NotFoundError
from seqvae_cli.model import SentenceVAE
from seqvae_cli.registry import Run
from seqvae_cli.tokenizer import Tokenizer

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Bundle:
    """All that belongs to a trained model."""

    settings: Settings
    tokenizer: Tokenizer
    model: SentenceVAE
    run: Run
    step: int
    """The step of the weights."""


def write(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Any = None, *, keep: int = 1
) -> Path:
    """Saves `tensors` (a file each) and `state` as the checkpoint of `step`; older ones than the newest `keep` go.

    Raises `MachineError` where the machine refuses; the checkpoints that were there then still are.
    """
    serial = 1 + max((int(path.name) for path in folder.glob("*") if path.name.isdigit()), default=0)
    target = folder / f"{serial:06d}"
    digests: dict[str, str] = {}
    for name, group in tensors.items():
        # Tied weights share memory, which safetensors refuses, and a view may hold more than it shows.
        owned = {key: value.detach().cpu().clone().contiguous() for key, value in group.items()}
        digests[f"{name}.safetensors"] = files.write(target / f"{name}.safetensors", save(owned))
    if state is not None:
        digests["training.json"] = files.write_json(target / "training.json", state)
    files.write_json(target / MANIFEST, {"format": FORMAT, "step": step, "files": digests})
    files.sync_directory(folder)
    kept = generations(folder)[:keep]
    for old in folder.iterdir():
        if old not in kept:
            # The manifest goes first: a folder that is half deleted must not look like a checkpoint.
            (old / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(old, ignore_errors=True)
    return target


def generations(folder: Path) -> list[Path]:
    """The complete checkpoints in `folder`, newest first."""
    found = [path.parent for path in folder.glob(f"*/{MANIFEST}") if path.parent.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def verify(path: Path) -> int:
    """Checks every file of a checkpoint; returns its step. Raises `CheckpointError`."""
    try:
        manifest = files.read_json(path / MANIFEST)
        if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
            raise DataError(f"{path / MANIFEST} describes no checkpoint")
        if manifest["format"] > FORMAT:
            raise DataError(f"{path} was written by a newer seqvae (format {manifest['format']})", "upgrade seqvae")
        digests, step = manifest.get("files"), manifest.get("step")
        if not isinstance(digests, dict) or "model.safetensors" not in digests or not isinstance(step, int):
            raise DataError(f"{path / MANIFEST} describes no checkpoint")
        if any("/" in name or "\\" in name for name in digests):
            raise DataError(f"{path / MANIFEST} names files outside of the checkpoint")
        files.verify(path, digests)
    except DataError as error:
        raise CheckpointError(error.message, error.hint) from error
    return step


def step_of(path: Path) -> int:
    """The training step of a verified checkpoint."""
    return int(files.read_json(path / MANIFEST)["step"])


def newest(folder: Path, damaged: list[str] | None = None) -> Path:
    """The newest checkpoint that verifies; what is wrong with newer ones is added to `damaged`.

    Raises `NotFoundError` where there is none, `CheckpointError` where none verifies, or, without a list for
    `damaged`, where the newest does not.
    """
    found = generations(folder)
    if not found:
        raise NotFoundError(f"no checkpoint in {folder}")
    errors: list[CheckpointError] = []
    for path in found:
        try:
            verify(path)
        except CheckpointError as error:
            errors.append(error)
            if damaged is None:
                break
            damaged.append(error.message)
        else:
            return path
    raise errors[0]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a verified safetensors file. Raises `CheckpointError`."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is no readable safetensors file: {error}") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Loads `path/model.safetensors` into `module`. Raises `CheckpointError` where names or shapes differ."""
    tensors = read_tensors(path / "model.safetensors")
    expected = module.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors or name not in expected:
            raise CheckpointError(f"{path}: the settings and the weights differ in {name!r}")
        if tensors[name].shape != expected[name].shape or tensors[name].dtype != expected[name].dtype:
            raise CheckpointError(
                f"{path}: {name!r} has shape {list(tensors[name].shape)}, expected {list(expected[name].shape)}"
            )
    module.load_state_dict(tensors)


def load_parts(run: Run) -> tuple[Settings, Tokenizer]:
    """Settings and tokenizer of a run, verified. Raises `CheckpointError`."""
    digests = run.info.get("files")
    if not isinstance(digests, dict) or not digests.keys() >= {"config.yaml", "tokenizer.json"}:
        raise CheckpointError(f"{run.path / 'run.json'} names no digests of config.yaml and tokenizer.json")
    try:
        files.verify(run.path, {name: digests[name] for name in ("config.yaml", "tokenizer.json")})
        return config.load(run.path / "config.yaml"), Tokenizer.load(run.path / "tokenizer.json")
    except DataError as error:
        raise CheckpointError(error.message, error.hint) from error


def load(name: str | Run = "latest", device: torch.device | str = "cpu") -> Bundle:
    """The best weights of a run (the last ones where none were validated yet), ready to use, in eval mode.

    Raises `NotFoundError`, `CheckpointError`.
    """
    run = name if isinstance(name, Run) else registry.find(name, trained=True)
    settings, tokenizer = load_parts(run)
    for folder in (run.path / "best", run.path / "last"):
        if generations(folder):
            path = newest(folder)
            break
    else:
        raise NotFoundError(f"run {run.name} has no checkpoint yet", f"its status is {run.status}: seqvae runs list")
    model = SentenceVAE(settings.model, len(tokenizer))
    load_weights(model, path)
    model.requires_grad_(False)
    return Bundle(settings, tokenizer, model.to(device).eval(), run, step_of(path))


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by parameter name: `lstm.weight/exp_avg`."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undoes `optimizer_tensors`. Raises `CheckpointError` for a shape that is not the parameter's."""
    for name, parameter in model.named_parameters():
        state: dict[str, Tensor] = {}
        for full, value in tensors.items():
            owner, _, key = full.rpartition("/")
            if owner != name:
                continue
            if value.dim() and value.shape != parameter.shape:
                raise CheckpointError(f"the optimizer's {full!r} has shape {list(value.shape)}")
            # Adam counts its steps on the CPU unless it is fused or capturable on another device.
            state[key] = value.to(parameter.device) if value.dim() or optimizer.defaults.get("fused") else value
        if state:
            optimizer.state[parameter] = state

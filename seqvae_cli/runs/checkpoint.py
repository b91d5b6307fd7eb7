"""Checkpoints: saved atomically, verified before use, never executed.

What is on disk after a crash is the old checkpoint or the new one. Checkpoints are numbered folders, and saving
never touches an older one until the new one is complete:

    last/000007/
        model.safetensors      weights
        training.safetensors   optimizer and random streams (in `last` alone)
        training.json          where training stood (in `last` alone)
        manifest.json          SHA-256 of each of them, written last: without it the folder does not count

The promise:

- What is on disk after a crash is the old checkpoint or the new one, whatever of the unsynced writes the disk has kept,
  lost or garbled. Where even a synced file is damaged, `newest` falls back to the one before and says so.
- Every file is checked against its SHA-256 before it is read; the manifest carries one of itself.
- Loading executes nothing: weights are safetensors, the rest is JSON; names, shapes and types are checked.
- On a CPU a resumed run ends with the very bits of one that never stopped, given the same threads, versions and
  instruction set.
- On CUDA the same state is saved and restored, the device's random stream included, but kernels that sum in changing
  order (cuDNN's LSTM, scatter-adds) give other last bits each time. They repeat with CUBLAS_WORKSPACE_CONFIG=:4096:8 in
  the environment and `torch.use_deterministic_algorithms(True)` before training (PyTorch's notes on reproducibility),
  as far as PyTorch has deterministic kernels; the program does not set them, since they cost speed.

docs/reliability.md says how this was tried.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from seqvae_cli.config import layers
from seqvae_cli.config.schema import Settings
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.errors import UPGRADE, CheckpointError, DataError, MachineError, NotFoundError, SeqvaeError, UsageError
from seqvae_cli.model import SentenceVAE
from seqvae_cli.runs import registry
from seqvae_cli.runs.registry import Run
from seqvae_cli.system import files
from seqvae_cli.system.runtime import resolve_precision

FORMAT = 1
MANIFEST = "manifest.json"
MAX_HEADER = 1 << 20
"""Bytes of the header of a safetensors file: reading a longer one would cost seconds and gigabytes."""
DAMAGED = "damaged-"
"""Prefix of checkpoints that a resume has set aside."""


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


def write(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Any = None, *, keep: int = 1
) -> Path:
    """Saves `tensors` (a file each) and `state` as the checkpoint of `step`; older ones than the newest `keep` go.

    Raises `MachineError` where the machine refuses; the checkpoints that were there then still are.
    """
    serial = 1 + max((int(path.name) for path in _numbered(folder)), default=0)
    target = folder / f"{serial:06d}"
    digests: dict[str, str] = {}
    for name, group in tensors.items():
        # Tied weights share memory, which safetensors refuses, and a view may hold more than it shows.
        owned = {key: value.detach().cpu().clone().contiguous() for key, value in group.items()}
        digests[f"{name}.safetensors"] = files.write(target / f"{name}.safetensors", save(owned))
    if state is not None:
        digests["training.json"] = files.write_json(target / "training.json", state)
    files.write_json(target / MANIFEST, {"format": FORMAT, "step": step, "files": digests}, sealed=True)
    kept = generations(folder)[:keep]
    for old in _numbered(folder):
        if old not in kept and not old.is_symlink():
            _discard(old)
    return target


def generations(folder: Path) -> list[Path]:
    """The complete checkpoints in `folder`, newest first."""
    found = [path for path in _numbered(folder) if (path / MANIFEST).exists()]
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def _numbered(folder: Path) -> list[Path]:
    return [path for path in files.entries(folder) if re.fullmatch("[0-9]+", path.name) and path.is_dir()]


def verify(path: Path) -> int:
    """Checks every file of a checkpoint; returns its step. Raises `CheckpointError`."""
    try:
        manifest = files.read_json(path / MANIFEST)
        if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
            raise DataError(f"{path / MANIFEST} describes no checkpoint")
        if manifest["format"] > FORMAT:
            raise DataError(f"{path} was written by a newer seqvae (format {manifest['format']})", UPGRADE)
        body = files.unseal(manifest, path / MANIFEST)
        digests, step = body.get("files"), body.get("step")
        if not isinstance(digests, dict) or "model.safetensors" not in digests or not isinstance(step, int):
            raise DataError(f"{path / MANIFEST} describes no checkpoint")
        if not all(re.fullmatch(r"[\w-][\w.-]{0,99}", name) for name in digests):
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

    Raises `NotFoundError` where there is none, `CheckpointError` where none verifies, where a newer version wrote one,
    or, without a list for `damaged`, where the newest does not verify.
    """
    found = generations(folder)
    if not found:
        raise NotFoundError(f"no checkpoint in {folder}")
    errors: list[SeqvaeError] = []
    for path in found:
        try:
            verify(path)
        except (CheckpointError, MachineError) as error:
            errors.append(error)
            if damaged is None or error.hint == UPGRADE:
                break
            damaged.append(error.message)
        else:
            return path
    raise errors[-1] if errors[-1].hint == UPGRADE else errors[0]


def of_step(folder: Path, step: int) -> Path | None:
    """The checkpoint of `step` in `folder`, verified; None where there is none, or a damaged one."""
    for path in generations(folder):
        with suppress(CheckpointError, MachineError):
            if verify(path) == step:
                return path
    return None


def set_aside(folder: Path, good: Path) -> None:
    """Renames what is newer than `good` and damaged: it no longer counts when the next save keeps the newest."""
    for path in _newer(folder, good):
        try:
            verify(path)
        except CheckpointError:
            with files.machine_errors(path):
                path.rename(path.with_name(f"{DAMAGED}{path.name}-{secrets.token_hex(2)}"))
        except MachineError:  # nobody can say what it is
            continue


def sweep(folder: Path) -> None:
    """Deletes what interrupted saves have left in `folder`."""
    for path in _numbered(folder):
        if not (path / MANIFEST).exists() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def drop_newer(folder: Path, good: Path) -> None:
    """Deletes what is newer than `good`."""
    for path in _newer(folder, good):
        _discard(path)


def _newer(folder: Path, good: Path) -> list[Path]:
    return [path for path in generations(folder) if int(path.name) > int(good.name)]


def _discard(path: Path) -> None:
    """Deletes a checkpoint, the manifest first: a folder that is half deleted must not look like one."""
    with suppress(OSError):
        (path / MANIFEST).unlink(missing_ok=True)
        files.sync_directory(path)
        shutil.rmtree(path, ignore_errors=True)


def read_tensors(path: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """The tensors of a verified safetensors file. Raises `CheckpointError`, also where `names` are others."""
    try:
        with open(path, "rb") as start:
            if (size := int.from_bytes(start.read(8), "little")) > MAX_HEADER:
                raise CheckpointError(f"{path} is no checkpoint: its header has {size} bytes")
        with safe_open(path, "pt") as file:
            found = set(file.keys())
        if names is not None and (odd := found.symmetric_difference(names)):
            raise CheckpointError(f"{path}: the settings and the weights differ in {min(odd)[:100]!r}")
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is no readable safetensors file: {reason}") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Loads `path/model.safetensors` into `module`. Raises `CheckpointError` where names or shapes differ."""
    module.load_state_dict(_weights(module, path))


def _weights(module: nn.Module, path: Path) -> dict[str, Tensor]:
    """The weights in `path`, checked against the names, shapes and types of `module`."""
    expected = module.state_dict()
    tensors = read_tensors(path / "model.safetensors", expected)
    for name, value in tensors.items():
        if value.shape != expected[name].shape or value.dtype != expected[name].dtype:
            raise CheckpointError(f"{path}: {name!r} is {_kind(value)}, expected {_kind(expected[name])}")
        if not value.isfinite().all():
            raise CheckpointError(f"{path}: {name!r} has numbers that are not finite")
    return tensors


def _kind(value: Tensor) -> str:
    return f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')}"


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
            weights = _weights(shapes, path)
            step = step_of(path)
            break
        except DataError:
            if generations(folder) == there:  # else its training has just saved a newer one
                raise
    model = SentenceVAE(settings.model, len(tokenizer))
    model.load_state_dict(weights)
    model.requires_grad_(False)
    return Bundle(settings, tokenizer, model.to(device).eval(), run, step)


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

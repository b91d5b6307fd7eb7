"""Checkpoints: saved atomically, verified before use, never executed.

Checkpoints are numbered folders. Saving deletes older ones only after the new one is complete:

    last/000007/
        model.safetensors      weights
        training.safetensors   optimizer and random state (only in `last`)
        training.json          position of training (only in `last`)
        manifest.json          SHA-256 of each file; written last: a folder without it is not a checkpoint

Guarantees:

- After a crash the disk holds the old checkpoint or the new one, even if unsynced writes were lost or garbled. Where a
  synced file is damaged, `newest` falls back to the previous checkpoint and reports the damage.
- Every file is checked against its SHA-256 before it is read; the manifest contains its own digest.
- Loading executes nothing: weights are safetensors, the rest is JSON; names, shapes and types are checked.
- On a CPU a resumed run equals an uninterrupted one bit for bit, given the same threads, versions and instruction set.
- On CUDA the same state is saved and restored, including the device's random stream, but kernels without a fixed order
  of summation (cuDNN's LSTM, scatter-adds) differ in the last bits. Where PyTorch has deterministic kernels, results
  repeat with CUBLAS_WORKSPACE_CONFIG=:4096:8 in the environment and `torch.use_deterministic_algorithms(True)` before
  training (PyTorch's notes on reproducibility). The program sets neither, since they cost speed.

docs/reliability.md describes the tests.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from seqvae_cli.errors import UPGRADE, CheckpointError, DataError, MachineError, NotFoundError, SeqvaeError
from seqvae_cli.system import files, json_files

CHECKPOINT_FORMAT = 1
INITIAL = "init"
"""Folder of a run with the weights that it begins with, where those are of another run."""
MANIFEST = "manifest.json"
MAX_HEADER = 1 << 20
"""Bytes of a safetensors header, at most; parsing a longer one would cost seconds and gigabytes."""
DAMAGED = "damaged-"
"""Prefix of damaged checkpoints that `set_aside` has renamed."""


def write(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Any = None, *, keep: int = 1
) -> Path:
    """Saves `tensors` (a file a group) and `state` as the checkpoint of `step`; keeps only the newest `keep`.

    Raises `MachineError` where writing fails; older checkpoints are then kept.
    """
    serial = 1 + max((int(path.name) for path in _numbered(folder)), default=0)
    target = folder / f"{serial:06d}"
    digests: dict[str, str] = {}
    for name, group in tensors.items():
        # safetensors refuses shared memory (tied weights), and a view can keep a larger tensor alive.
        owned = {key: value.detach().cpu().clone().contiguous() for key, value in group.items()}
        digests[f"{name}.safetensors"] = files.write(target / f"{name}.safetensors", save(owned))
    if state is not None:
        digests["training.json"] = json_files.write(target / "training.json", state)
    json_files.write(target / MANIFEST, {"format": CHECKPOINT_FORMAT, "step": step, "files": digests}, sealed=True)
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
        manifest = json_files.read(path / MANIFEST)
        if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
            raise DataError(f"{path / MANIFEST} is not a checkpoint manifest")
        if manifest["format"] > CHECKPOINT_FORMAT:
            raise DataError(f"{path} was written by a newer seqvae (format {manifest['format']})", UPGRADE)
        body = json_files.unseal(manifest, path / MANIFEST)
        digests, step = body.get("files"), body.get("step")
        if not isinstance(digests, dict) or "model.safetensors" not in digests or not isinstance(step, int):
            raise DataError(f"{path / MANIFEST} is not a checkpoint manifest")
        if not all(re.fullmatch(r"[\w-][\w.-]{0,99}", name) for name in digests):
            raise DataError(f"{path / MANIFEST} names files outside the checkpoint")
        files.verify(path, digests)
    except DataError as error:
        raise CheckpointError(error.message, error.hint) from error
    return step


def step_of(path: Path) -> int:
    """The training step of a verified checkpoint."""
    return int(json_files.read(path / MANIFEST)["step"])


def newest(folder: Path, damaged: list[str] | None = None) -> Path:
    """The newest checkpoint that verifies; the errors of newer ones are appended to `damaged`.

    Raises `NotFoundError` where there is none; `CheckpointError` where none verifies, where a newer seqvae wrote one,
    or where the newest does not verify and `damaged` is None.
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
    """The checkpoint of `step` in `folder`, verified; None where it is absent or damaged."""
    for path in generations(folder):
        with suppress(CheckpointError, MachineError):
            if verify(path) == step:
                return path
    return None


def set_aside(folder: Path, good: Path) -> None:
    """Renames damaged checkpoints newer than `good`, so that the next save does not keep them as the newest."""
    for path in _newer(folder, good):
        try:
            verify(path)
        except CheckpointError:
            with files.machine_errors(path):
                path.rename(path.with_name(f"{DAMAGED}{path.name}-{secrets.token_hex(2)}"))
        except MachineError:  # unreadable, perhaps not damaged
            continue


def sweep(folder: Path) -> None:
    """Deletes incomplete checkpoints, left in `folder` by interrupted saves."""
    for path in _numbered(folder):
        if not (path / MANIFEST).exists() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def drop_newer(folder: Path, good: Path) -> None:
    """Deletes checkpoints newer than `good`."""
    for path in _newer(folder, good):
        _discard(path)


def _newer(folder: Path, good: Path) -> list[Path]:
    return [path for path in generations(folder) if int(path.name) > int(good.name)]


def _discard(path: Path) -> None:
    """Deletes a checkpoint, manifest first: a half-deleted folder must not look complete."""
    with suppress(OSError):
        (path / MANIFEST).unlink(missing_ok=True)
        files.sync_directory(path)
        shutil.rmtree(path, ignore_errors=True)


def read_tensors(path: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """The tensors of a verified safetensors file. Raises `CheckpointError`, also for names other than `names`."""
    try:
        with open(path, "rb") as start:
            if (size := int.from_bytes(start.read(8), "little")) > MAX_HEADER:
                raise CheckpointError(f"{path} is not a safetensors file: its header has {size} bytes")
        with safe_open(path, "pt") as file:
            found = set(file.keys())
        if names is not None and (odd := found.symmetric_difference(names)):
            raise CheckpointError(f"{path}: settings and weights disagree on {min(odd)[:100]!r}")
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} cannot be read as safetensors: {reason}") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Loads `path/model.safetensors` into `module`. Raises `CheckpointError` where names or shapes differ."""
    module.load_state_dict(read_weights(module, path))


def read_weights(module: nn.Module, path: Path) -> dict[str, Tensor]:
    """The weights in `path`, finite and with the names, shapes and types of `module`. Raises `CheckpointError`."""
    expected = module.state_dict()
    tensors = read_tensors(path / "model.safetensors", expected)
    for name, value in tensors.items():
        if value.shape != expected[name].shape or value.dtype != expected[name].dtype:
            raise CheckpointError(
                f"{path}: {name!r} is {_shape_and_type(value)}, expected {_shape_and_type(expected[name])}"
            )
        if not value.isfinite().all():
            raise CheckpointError(f"{path}: {name!r} has values that are not finite")
    return tensors


def _shape_and_type(value: Tensor) -> str:
    return f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')}"

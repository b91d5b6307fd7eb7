"""Device, precision, threads and random streams."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from seqvae_cli.errors import CheckpointError, MachineError, UsageError, counted
from seqvae_cli.system.cores import usable_cores
from seqvae_cli.system.processes import ALONE, Processes


def resolve_device(name: str, processes: Processes = ALONE) -> torch.device:
    """`auto` is the first CUDA device, else MPS, else the CPU. Each of several processes has a CUDA device of its own.

    Raises `MachineError` for an absent device, `UsageError` for an unknown name, or one that processes cannot share.
    """
    if processes.several:
        return _own_device(name, processes)
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}", f"devices: {', '.join(devices())}") from error
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
    if str(device) not in devices():
        raise MachineError(f"this machine has no device {name!r}", f"devices: {', '.join(devices())}")
    return device


def _own_device(name: str, processes: Processes) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"{processes.size} processes cannot train on {name!r}", "--device cpu or cuda")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    found = torch.cuda.device_count()
    if found < processes.local_size:
        raise MachineError(
            f"this machine has {counted(found, 'CUDA device')} for {processes.local_size} processes",
            "start one for each device, or train with --device cpu",
        )
    device = torch.device("cuda", processes.local_rank)
    torch.cuda.set_device(device)  # NCCL takes the present one
    return device


def devices() -> list[str]:
    """The devices of this machine: cpu, cuda:0, cuda:1, …, mps."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 only where the hardware computes it: emulation is many times slower.

    Raises `MachineError` where the CPU cannot even emulate it.
    """
    if name == "auto":
        return torch.bfloat16 if _has_bfloat16_hardware(device) else torch.float32
    if name == "bfloat16" and device.type == "cpu" and not _supports_bfloat16():
        raise MachineError("this CPU cannot compute an LSTM in bfloat16", "--precision float32")
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def _has_bfloat16_hardware(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return False


def _supports_bfloat16() -> bool:
    """Whether the CPU can run an LSTM in bfloat16, in hardware or emulated."""
    return bool(torch.backends.mkldnn.enabled and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def set_threads(count: int, processes: int = 1) -> int:
    """Uses `count` CPU threads, 0 for one a core that `processes` share; returns their number."""
    count = count or max(1, usable_cores() // processes)
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
    return count


@contextmanager
def autocast(device: torch.device, precision: torch.dtype) -> Iterator[None]:
    """Matrix products in `precision`; weights and sums stay float32."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        yield


def exact_device(device: torch.device) -> torch.device:
    """Where float64 is computed for values on `device`: there, or on the CPU if it has no float64."""
    return torch.device("cpu") if device.type == "mps" else device


def sum_type(device: torch.device) -> torch.dtype:
    """The type for sums over many values: float64 where the device has it, else float32."""
    return torch.float32 if device.type == "mps" else torch.float64


def precision_name(precision: torch.dtype) -> str:
    return "bfloat16" if precision == torch.bfloat16 else "float32"


def stream(seed: int, index: int) -> np.random.Generator:
    """The random stream of draw `index`: it depends on `seed` and `index` alone, not on batch or device."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, index], dtype=np.uint64)))


def sentence_stream(seed: int, ids: NDArray[np.int64]) -> np.random.Generator:
    """The random stream of a sentence: it depends on `seed` and the token ids alone.

    The same sentence draws the same noise wherever it stands.
    """
    salt = np.array([seed], dtype="<u8").tobytes()
    digest = hashlib.blake2b(ids.astype("<i8").tobytes(), digest_size=16, key=salt).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype="<u8").astype(np.uint64)))


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of torch's global random streams (dropout draws from them), as byte tensors."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restores what `random_state` returned; the stream of an absent device is ignored.

    Raises `CheckpointError` for an invalid state.
    """
    try:
        torch.set_rng_state(state["cpu"])
        if device.type == "cuda" and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], device)
        if device.type == "mps" and "mps" in state:
            torch.mps.set_rng_state(state["mps"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"the random state is damaged: {error}") from error

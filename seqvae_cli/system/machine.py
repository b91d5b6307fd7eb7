"""The machine and the versions that a figure or a report of a fault belongs to, and what is wrong with them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from seqvae_cli.errors import MachineError
from seqvae_cli.system import cores, files, places
from seqvae_cli.version import __version__

LEAST_FREE = 10**9
"""Bytes at the home below which its disk is called full: a checkpoint of a large model."""
SLOWER = 0.8
"""Speed of bfloat16 over that of float32 below which the default is a bad one."""
UNITS = ("avx512_bf16", "amx_bf16", "avx512_f", "avx2", "sve", "neon")
"""Instruction sets that decide how fast a training is, as torch names them."""
DRIVER = Path("/proc/driver/nvidia/version")
"""What Linux shows where NVIDIA's driver is loaded."""
VARIABLES = re.compile(
    "(SEQVAE|TORCH|PYTORCH|OMP|GOMP|KMP|MKL|DNNL|ONEDNN|OPENBLAS|CUDA|CUBLAS|NCCL|NVIDIA|XDG_DATA|LC)_.*"
    "|LANG|TERM|COLORTERM|COLUMNS|LINES|NO_COLOR|FORCE_COLOR|PYTHONPATH|PYTHONUTF8|PYTHONIOENCODING|LD_PRELOAD"
)
"""Environment variables that change what the program does."""
SECRET = re.compile("TOKEN|KEY|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a machine, and what to do about it."""

    problem: str
    advice: str


def identity() -> dict[str, Any]:
    """The processor, the first GPU and the versions, in a line of JSON."""
    import numpy
    import torch

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "seqvae": __version__,
    }


def processor() -> str:
    """The model of the processor, else its architecture."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def units() -> list[str]:
    """Those of `UNITS` that the processor has."""
    import torch

    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return [name for name in UNITS if capabilities.get(name)]


def memory() -> int | None:
    """Bytes of memory that a process may use: those of the machine, or of its container or job; None where unknown."""
    found = []
    with suppress(AttributeError, ValueError, OSError):  # not everywhere
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    found += [int(limit) for limit in cores.group_limits("memory.max") if limit.isdecimal()]
    return min(found, default=None)


def extras() -> dict[str, dict[str, str | None]]:
    """Extra -> package -> its version, or None where it is missing; those of development are left out."""
    try:
        required = metadata.requires("seqvae") or []
    except metadata.PackageNotFoundError:  # run from a folder, not installed
        return {}
    found: dict[str, dict[str, str | None]] = {}
    for line in required:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        package = re.match(r"[\w.-]+", line)
        below = re.search(r"python_version < ['\"](\d+)\.(\d+)['\"]", line)
        if not extra or not package or extra[1] in ("test", "docs", "dev"):
            continue
        if below and sys.version_info >= (int(below[1]), int(below[2])):
            continue
        found.setdefault(extra[1], {})[package[0]] = version(package[0])
    return found


def version(package: str) -> str | None:
    """The version of an installed package; None where it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def devices() -> list[dict[str, Any]]:
    """Name, model, bytes of memory and default precision of each device, the CPU first."""
    import torch

    from seqvae_cli.system import runtime

    found = []
    for name in runtime.devices():
        device = torch.device(name)
        model, size = processor(), memory()
        if device.type == "cuda":
            properties = torch.cuda.get_device_properties(device)
            model, size = properties.name, properties.total_memory
        elif device.type == "mps":
            size = torch.mps.recommended_max_memory()
        precision = runtime.precision_name(runtime.resolve_precision("auto", device))
        found.append({"name": name, "model": model, "memory": size, "precision": precision})
    return found


def home() -> tuple[dict[str, Any], list[Problem]]:
    """The home: path, whether it exists, bytes free, whether files can be written, renamed and locked there.

    Makes a temporary folder in the home and removes it; a home that does not exist yet is not made.
    """
    try:
        path = places.home()
    except MachineError as error:
        return {"path": os.environ.get("SEQVAE_HOME", "")}, [Problem(error.message, error.hint)]
    exists = _is_folder(path)
    nearest = next((folder for folder in (path, *path.parents) if _is_folder(folder)), path)
    failure: str | None = None
    if not exists and not os.access(nearest, os.W_OK | os.X_OK):
        failure = f"{nearest} cannot be written to"
    elif exists:
        try:
            with files.claimed(path, "doctor") as probe:
                for data in (b"old", b"new"):  # the second write renames over the first file
                    files.write(probe / "file", data)
        except MachineError as error:
            failure = error.message
        except (OSError, NotImplementedError) as error:  # filelock raises the second where a disk has no locks
            failure = str(error)
    found: dict[str, Any] = {"path": str(path), "exists": exists, "usable": failure is None}
    problems = []
    if failure is not None:
        problems.append(Problem(f"the home cannot be used: {failure}", "move it with SEQVAE_HOME, or mend that"))
    with suppress(OSError):
        usage = shutil.disk_usage(nearest)
        found |= {"free": usage.free, "size": usage.total}
        if usage.free < LEAST_FREE:
            lacking = f"the disk of the home has {usage.free / 1e6:,.0f} MB left"
            problems.append(Problem(lacking, "free some space, or move the home with SEQVAE_HOME"))
    return found, problems


def _is_folder(path: Path) -> bool:
    """Whether this is a folder that can be seen from here."""
    try:
        return path.is_dir()
    except OSError:  # a folder above it is closed to this user
        return False


def environment(defaults: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that change what the program does, without secrets and those as in `defaults`."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if VARIABLES.fullmatch(name) and not SECRET.search(name) and defaults.get(name) != value
    }


def gpu_problems() -> list[Problem]:
    """An NVIDIA driver without a GPU that torch can use."""
    import torch

    if torch.cuda.is_available() or not DRIVER.exists():
        return []
    if torch.version.cuda is None:
        lacking = f"this machine has an NVIDIA driver, but torch {torch.__version__} is built without CUDA"
        return [Problem(lacking, "install a build of torch for CUDA")]
    advice = f"nvidia-smi shows the GPUs and the driver, which may be too old for CUDA {torch.version.cuda}"
    return [Problem("this machine has an NVIDIA driver, but torch finds no GPU", advice)]


def speed_problems(found: list[dict[str, Any]]) -> list[Problem]:
    """Devices that compute in bfloat16 by default and are faster without it; `found` as `devices`, with speeds."""
    return [
        Problem(
            f"bfloat16, the default on {device['name']}, is slower here than float32", "train with --precision float32"
        )
        for device in found
        if device["precision"] == "bfloat16"
        and device["bfloat16"] is not None
        and device["float32"] is not None
        and device["bfloat16"] < SLOWER * device["float32"]
    ]

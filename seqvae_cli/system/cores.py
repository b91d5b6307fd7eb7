"""The cores that this process may compute on."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """The cores that this process may run on, and no more than the CPU time that its container may take."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, _quota() or allowed)


def _quota() -> int | None:
    """The CPUs whose time the control groups of this process allow (version 2, Linux), at least 1; None: no limit."""
    found = []
    with suppress(OSError, ValueError):
        lines = OWN_CGROUP.read_text(encoding="utf-8", errors="replace").splitlines()
        own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
        group = CGROUPS / own.lstrip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # no limit is the word max
                time, period = map(int, (folder / "cpu.max").read_text(encoding="ascii").split())
                found.append(math.ceil(time / period))
            if folder == CGROUPS:
                break
    return max(1, min(found)) if found else None

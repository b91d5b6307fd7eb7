"""The cores that this process may compute on."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
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
    limits = (re.fullmatch(r"(\d+) ([1-9]\d*)", line) for line in group_limits("cpu.max"))  # no limit: the word max
    found = [math.ceil(int(limit[1]) / int(limit[2])) for limit in limits if limit]
    return max(1, min(found)) if found else None


def group_limits(name: str) -> Iterator[str]:
    """The file of a limit in each of the control groups that hold this process (version 2, Linux), where it is."""
    with suppress(OSError):
        lines = OWN_CGROUP.read_text(encoding="utf-8", errors="replace").splitlines()
        own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
        group = CGROUPS / own.lstrip("/")
        for folder in (group, *group.parents):
            with suppress(OSError):
                yield (folder / name).read_text(encoding="ascii", errors="replace").strip()
            if folder == CGROUPS:
                break

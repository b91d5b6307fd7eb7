"""What a command costs, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from tests.faults.matrix import command

# The peak of a process begins with that of its parent, which here has torch in it: a small one stands between.
BETWEEN = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, used.ru_maxrss, used.ru_utime + used.ru_stime, file=sys.stderr)
"""


@dataclass(frozen=True)
class Cost:
    code: int
    out: str
    err: str
    bytes: int
    """The most memory that was resident."""
    seconds: float
    """Of CPU time."""


def measured(*arguments: str, stdin: bytes = b"") -> Cost:
    """Runs `seqvae` to its end."""
    words = [sys.executable, "-c", BETWEEN, *command(*arguments)]
    done = subprocess.run(words, input=stdin, capture_output=True, timeout=300, check=True)
    *said, last = done.stderr.decode().splitlines()
    code, peak, seconds = last.split()
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(int(code), done.stdout.decode(), "\n".join(said), int(peak) * unit, float(seconds))

"""The fault matrix: its rows, how often each is tried, and the means to meet real faults.

`make faults` tries each row in full; the default suite tries the first few of the same seeds.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from seqvae_cli import api
from seqvae_cli.runs.run import Run

T = TypeVar("T")

FULL = os.environ.get("SEQVAE_FAULTS") == "full"

ROWS: dict[int | str, tuple[str, int]] = {
    1: ("kill -9 at a random moment of training, then resume", 100),
    2: ("crash before and after each step of a save", 30),
    3: ("unsynced writes lost, kept or garbled", 200),
    4: ("checkpoint truncated, or one bit flipped", 250),
    5: ("disk full, stdout on a full device", 13),
    6: ("8 trainings at once in one home", 20),
    7: ("two resumes of one run at once", 20),
    8: ("run folder damaged, half-copied, from a newer version", 10),
    9: ("download: wrong, short, missing, HTML, stalled", 20),
    10: ("hostile archive", 12),
    11: ("hostile run names", 15),
    12: ("pickle for weights or vocabulary, YAML with Python tags", 6),
    13: ("lying safetensors header", 8),
    14: ("text that is not UTF-8", 4),
    15: ("no text: empty, blank lines, one line", 3),
    16: ("a line of 10 MB", 2),
    17: ("NUL, CRLF, BOM, U+2028, lone CR", 8),
    18: ("unknown words", 5),
    19: ("empty sentence, emoji, right-to-left, combining marks", 6),
    20: ("0, -1, 1e9, NaN for every numeric flag", 100),
    21: ("a device that is not there", 3),
    22: ("loss not finite at step k", 5),
    23: ("out of memory", 3),
    24: ("SIGINT, SIGTERM, SIGHUP, twice", 80),
    25: ("a reader that leaves: `sample`, then `head -1`", 20),
    26: ("home or output not writable, or no folder", 4),
    27: ("links in place of runs and temporary files", 4),
    28: ("corpus changed since the training", 3),
    29: ("random settings, vocabularies, corpora, checkpoints", 40_000),
    30: ("one line of 40,000 words among short ones", 6),
    31: ("input that pauses", 8),
    32: ("torch's defaults, random streams or threads changed around calls", 30),
    33: ("wrong usage of resume, and runs read too early", 35),
    34: ("YAML and JSON bombs", 30),
    35: ("other disks, the clock set back, names that are not UTF-8", 18),
    36: ("a locale that is not UTF-8", 20),
    37: ("names of files that are none, several files, text that is not one sentence a line", 40),
    38: ("a file that is not text: archives, pictures, documents, tables, weights", 100),
    "soak": ("30 minutes of training on toy, killed every few seconds", 200),
}
"""Row -> the fault, and how often it must be survived in full."""


def tries(full: int, quick: int) -> range:
    """The seeds of a row's tries: all of them in full, else the first few."""
    return range(full if FULL else quick)


def some(cases: list[T], quick: int) -> list[T]:
    """The cases of a row that each take a process: all of them in full, else the first few."""
    return cases if FULL else cases[:quick]


def command(*arguments: str) -> list[str]:
    """`seqvae` as a process of its own."""
    return [sys.executable, "-m", "seqvae_cli", *arguments]


def seqvae_process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `seqvae` to its end and captures what it says."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300, check=False, **options)


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def as_ordinary_user() -> None:
    """Gives up what lets root, on Linux, pass every permission: in this process, and in what it executes."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        drop_from_bounding_set, version_3 = 24, 0x20080522
        for capability in range(64):
            libc.prctl(drop_from_bounding_set, capability, 0, 0, 0)
        libc.capset((ctypes.c_uint32 * 2)(version_3, 0), (ctypes.c_uint32 * 6)())


@contextmanager
def files_limited(size: int) -> Iterator[None]:
    """Within, no file of this very process may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before, writing = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # Python itself keeps the first `size` bytes of a module's code, for every later run
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
        sys.dont_write_bytecode = writing


def memory_limit(size: int) -> Callable[[], None]:
    """For `preexec_fn`: the process gets no more than `size` bytes of address space."""
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, but locks, which come and go."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("lock")
    }


def assert_one_line(stderr: str, *words: str) -> None:
    """What a user is told: an error in one line, perhaps a hint, no traceback; `words` are in it."""
    assert "Traceback" not in stderr, stderr
    errors = [line for line in stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, stderr
    for word in words:
        assert word in stderr, stderr


def still_loads(run: Run) -> None:
    """The last good checkpoint of a run loads."""

    assert api.load(run).step > 0

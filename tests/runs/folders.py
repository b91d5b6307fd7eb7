"""Run folders for tests: created, listed, and locked by another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from seqvae_cli.runs import registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files, json_files, places

CORPUS = {"name": "c", "folder": "c-0123456789ab", "hash": "0" * 64}

INVALID_NAMES = [
    "../x",
    "/x",
    "x/y",
    ".",
    "..",
    ".x",
    "x\0",
    "x\n",
    "\nx",
    "-x",
    "_x",
    "x" * 101,
    "x" * 300,
    "\x1b[31mx",
    "X",
    "ä",
    "x y",
    "x\u202e",
    "~",
    "*",
    "latest",
    "best",
]

KILLED = """
import os, signal
from seqvae_cli.runs import registry
from seqvae_cli.system import files, json_files
write = files.write
def dying(path, data):
    if path.name == "run.json":
        os.kill(os.getpid(), signal.SIGKILL)
    return write(path, data)
files.write = dying
registry.create("c", config="", tokenizer=b"{}", corpus={"name": "c", "folder": "c-0", "hash": "0"})
"""
"""A process that dies while it creates a run."""

HOLD = """
import sys
from pathlib import Path
from seqvae_cli.runs.run import Run
run = Run(Path(sys.argv[1]))
with run.lock():
    run.start()
    print("held", flush=True)
    sys.stdin.read()
    run.update(status="finished")
"""


def create(name: str | None = None, *, prefix: str = "c-default", corpus: dict[str, Any] = CORPUS) -> Run:
    return registry.create(prefix, config="seed: 0\n", tokenizer=b"{}", corpus=corpus, name=name)


def listed() -> list[str]:
    return [run.name for run in registry.runs()[0]]


def checkpointed(run: Run) -> Run:
    json_files.write(run.path / "last" / "000001" / "manifest.json", {})
    return run


def leftovers() -> list[str]:
    return [path.name for path in places.runs().iterdir() if path.name.startswith(files.TEMPORARY)]


@contextmanager
def holder(run: Run) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of `run` as a training does; it finishes when its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdin
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait(timeout=60)
        process.stdout.close()
        process.stdin.close()

"""What the subjects share: options, the corpus and the model at hand, clocks, and one line of JSON a measurement."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PROGRAM = [sys.executable, "-m", "seqvae_cli"]

Result = dict[str, Any]

Way = Callable[[argparse.Namespace], Result]
"""Measures one way of doing the subject's work."""


def main(description: str | None, ways: dict[str, Way], options: Callable[[argparse.ArgumentParser], None]) -> None:
    """The command line of a subject: measures one way, prints one line of JSON."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--way", choices=list(ways), default=next(iter(ways)))
    parser.add_argument("--corpus", default="ptb", help="a prepared corpus")
    parser.add_argument("--run", default="", help="a trained run")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: one a core")
    options(parser)
    arguments = parser.parse_args()
    if arguments.way in ("ours", "ceiling"):
        # As the program does; the references run with torch's defaults. A subject may have imported torch, which reads
        # some of these at once: it begins anew with them.
        from seqvae_cli.cli.boundary import ENVIRONMENT

        if not ENVIRONMENT.keys() <= os.environ.keys():
            os.execve(sys.executable, sys.orig_argv, ENVIRONMENT | os.environ)
    print(json.dumps({"way": arguments.way} | ways[arguments.way](arguments)))


def overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings given as KEY=VALUE."""
    import yaml

    return {key: yaml.safe_load(value) for key, value in (pair.split("=", 1) for pair in pairs)}


def use_threads(count: int) -> int:
    from seqvae_cli.system.runtime import set_threads

    return set_threads(count)


def run(module: str, *arguments: object) -> Result:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def paired(rounds: int, measurements: Sequence[tuple[str, Callable[[], Result]]]) -> dict[str, list[Result]]:
    """Each measurement once a round, in turn: what slows the machine slows them all."""
    results: dict[str, list[Result]] = {name: [] for name, _ in measurements}
    for _ in range(rounds):
        for name, measure in measurements:
            results[name].append(measure())
    return results


def median(results: Sequence[Result], key: str) -> float:
    values = sorted(float(result[key]) for result in results)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def command(arguments: Sequence[str], home: Path | None = None) -> Result:
    """A whole command: its seconds, and the most resident memory it had (MB)."""
    environment = os.environ | ({"SEQVAE_HOME": str(home)} if home else {})
    start = time.perf_counter()
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return {"seconds": took, "megabytes": _megabytes(usage.ru_maxrss)}


def peak_megabytes() -> float:
    return _megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _megabytes(maximum: int) -> float:
    return maximum / (1e6 if sys.platform == "darwin" else 1e3)


def kind() -> str:
    """The kind of machine that a speed belongs to: the GPU, else the widest instructions of the CPU and the cores."""
    import torch

    found = machine()
    units = torch.cpu.get_capabilities()
    widest = next((unit for unit in ("amx_bf16", "avx512_bf16") if units.get(unit)), found["instructions"].lower())
    return found["gpu"] or f"{widest}, {found['cores']} cores"


def machine() -> Result:
    """The machine and the versions that a figure belongs to."""
    from seqvae_cli.system.machine import identity

    return identity()

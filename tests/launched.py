"""Processes of one training, as `torchrun` starts them, for the price of one import: a server forks them.

`python -m tests.launched` is the server. A process calls a function of a module, `tests.training.together:steps`, or
runs a command line of `seqvae`.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Launcher:
    """Starts the processes of one training at a time; the server is its child, and they are the server's."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder

    def start(self, size: int, *call: str, home: Path) -> list[int]:
        """The ids of `size` processes of a training, with that home. call: a function with its arguments, or a command
        line."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {name: str(value) for name, value in (shared | {"SEQVAE_HOME": home}).items()}
        found: list[int] = self._ask({"size": size, "call": call, "environment": environment})
        return found

    def codes(self) -> list[int]:
        """Waits for all of them; exit codes, negative for a signal."""
        found: list[int] = self._ask(None)
        return found

    def said(self, rank: int) -> str:
        """What the process has written to stdout and stderr."""
        return (self.folder / str(rank)).read_text(encoding="utf-8")

    def _ask(self, request: object) -> list[int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer: list[int] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def launcher(folder: Path) -> Iterator[Launcher]:
    """A server whose processes write what they say into files of `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.launched", str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # one thread: what may fork
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Launcher(process, folder)
    finally:
        process.communicate()


def _serve(folder: Path) -> None:
    import gc

    import torch._dynamo  # which torch loads with the first optimizer
    import torch.distributed

    import tests.training.together  # noqa: F401

    torch.set_num_threads(1)
    gc.freeze()  # what is never collected stays shared
    pids: list[int] = []
    for line in sys.stdin:
        request = json.loads(line)
        if request is None:
            answer = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        else:
            pids = answer = [_fork(folder, rank, **request) for rank in range(request["size"])]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _fork(folder: Path, rank: int, size: int, call: Sequence[str], environment: dict[str, str]) -> int:  # noqa: ARG001
    if pid := os.fork():
        return pid
    os.environ.update(environment, RANK=str(rank), LOCAL_RANK=str(rank))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(folder / str(rank), os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 1)
    os.dup2(1, 2)
    code = 70
    try:
        code = _call(call)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _call(call: Sequence[str]) -> int:
    from seqvae_cli.__main__ import main

    module, colon, function = call[0].partition(":")
    if colon:
        getattr(importlib.import_module(module), function)(*call[1:])
        return 0
    sys.argv = ["seqvae", *call]
    return main()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))

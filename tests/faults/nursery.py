"""Many real `seqvae` processes at once for the price of one import: a process that forks, once all is loaded.

A child is like one that was started anew but for the interpreter's own start and end, which take a second each.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAM = """
import gc, json, os, sys
import seqvae_cli.cli.commands.train, seqvae_cli.config.layers, seqvae_cli.cli.live, seqvae_cli.training.session
import torch._dynamo  # which torch loads with the first optimizer
from seqvae_cli.__main__ import main

gc.freeze()  # what is never collected stays shared
pids = []
for line in sys.stdin:
    request = json.loads(line)
    if request is None:
        answer = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        pids = []
    else:
        pids = answer = []
        for number, arguments in enumerate(request["commands"]):
            if (pid := os.fork()) == 0:
                os.environ["SEQVAE_HOME"] = request["home"]
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(os.open(request["errors"] + str(number), os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 2)
                sys.argv = ["seqvae", *arguments]
                code = main()
                sys.stderr.flush()
                os._exit(code)
            pids.append(pid)
    print(json.dumps(answer), flush=True)
"""


def usual_signals() -> None:
    """For `preexec_fn`: nothing is ignored, as a shell has it, however the tests were started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Nursery:
    """Starts some commands at once, and waits for them all. Nothing else reaps a process: its id stays its own."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder
        self.pids: list[int] = []

    def start(self, home: Path, *commands: list[str]) -> list[int]:
        """Their process ids."""
        if self.pids:  # a test that failed has left them
            self._kill()
            self.wait()
        self._ask({"home": str(home), "errors": f"{self.folder}/", "commands": commands})
        self.pids = self._answer(60)
        return self.pids

    def ask_codes(self) -> None:
        self._ask(None)

    def ended(self, seconds: float = 0.0) -> bool:
        """After `ask_codes`: all of them have ended, at the latest in `seconds`."""
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def codes(self, seconds: float = 60.0) -> list[int]:
        """After `ask_codes`: their exit codes, -N where signal N ended one."""
        codes, self.pids = self._answer(seconds), []
        return codes

    def wait(self, seconds: float = 60.0) -> list[int]:
        self.ask_codes()
        return self.codes(seconds)

    def stderr(self, number: int = 0) -> str:
        """What the command of that number said."""
        path = self.folder / str(number)
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        self._kill()
        self.process.communicate(timeout=60)

    def _kill(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _ask(self, request: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def _answer(self, seconds: float) -> list[int]:
        assert self.process.stdout is not None
        assert self.ended(seconds), f"no end after {seconds} seconds: {self.stderr()}"
        numbers: list[int] = json.loads(self.process.stdout.readline())
        return numbers


@contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    """What the commands say on stderr goes to files in `folder`."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # one thread: what may fork
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=usual_signals,
    )
    made = Nursery(process, folder)
    try:
        yield made
    finally:
        made.stop()

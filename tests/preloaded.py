"""`seqvae` as a process of its own at the price of a fork: a server that has all modules loaded forks for each call.

A child is like a process that was started anew but for the interpreter's own start, which takes seconds of imports. It
has the arguments, folder, environment and standard streams of who asks: a test, by `Preloaded.start`, or a shell, by
the program `seqvae` in a folder for its PATH.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

CLIENT = """#!{python} -IS
import json, os, socket, sys

connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
call = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ), "ordinary": False}}
socket.send_fds(connection, [json.dumps(call).encode()], [0, 1, 2])
os.dup2(os.open(os.devnull, os.O_RDWR), 0)  # only the child holds the streams now
os.dup2(0, 1)
answers = connection.makefile("rw")
answers.readline(), answers.readline()
print("end", file=answers, flush=True)
code = json.loads(answers.readline())[0]
sys.exit(code if code >= 0 else 128 - code)
"""


@dataclass(frozen=True)
class Ended:
    """A process that has come to its end."""

    code: int
    """-N where signal N ended it."""
    bytes: int
    """The most memory that was resident, what it shares with the server among it."""
    seconds: float
    """Of CPU time."""
    out: str = ""
    err: str = ""


class Child:
    """A running process. Its id stays its own until `wait`."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.answers = connection, connection.makefile("rw")
        self.pid = int(self.answers.readline())

    def ended(self, seconds: float = 0.0) -> bool:
        """It has ended, at the latest in `seconds`."""
        return bool(select.select([self.connection], [], [], seconds)[0])

    def wait(self, seconds: float = 60.0) -> Ended:
        assert self.ended(seconds), f"no end after {seconds} seconds"
        self.answers.readline()
        print("end", file=self.answers, flush=True)
        ended = Ended(*json.loads(self.answers.readline()))
        self.answers.close()
        self.connection.close()
        return ended

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


@dataclass
class Preloaded:
    """The far end of a server."""

    address: str
    programs: Path
    """A folder for PATH with a program `seqvae`."""
    pid: int
    """The process that has loaded everything."""
    children: list[Child] = field(default_factory=list)

    def start(
        self,
        *arguments: str,
        streams: Sequence[int],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        ordinary: bool = False,
    ) -> Child:
        """Starts `seqvae` with the file descriptors of its three standard streams; `ordinary`: without the rights of
        root."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.address)
        call = {
            "arguments": arguments,
            "folder": str(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
            "ordinary": ordinary,
        }
        socket.send_fds(connection, [json.dumps(call).encode()], streams)
        self.children = [child for child in self.children if not child.answers.closed]
        self.children.append(Child(connection))
        return self.children[-1]

    def run(self, *arguments: str, stdin: bytes = b"", stdout: int | None = None, **options: Any) -> Ended:
        """Runs `seqvae` to its end and captures what it says; not its stdout, where that is given."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin)
            given.seek(0)
            streams = [given.fileno(), out.fileno() if stdout is None else stdout, err.fileno()]
            ended = self.start(*arguments, streams=streams, **options).wait(300)
            said = []
            for stream in (out, err):
                stream.seek(0)
                said.append(stream.read().decode())
        return Ended(ended.code, ended.bytes, ended.seconds, *said)


def usual_signals() -> None:
    """For `preexec_fn`: nothing is ignored, as a shell has it, however the tests were started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def preloaded(folder: Path) -> Iterator[Preloaded]:
    address = str(folder / "s")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.preloaded", address],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # one thread: what may fork
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=usual_signals,
    )
    program = folder / "bin" / "seqvae"
    program.parent.mkdir()
    program.write_text(CLIENT.format(python=sys.executable, address=address))
    program.chmod(0o755)
    made = Preloaded(address, program.parent, process.pid)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield made
    finally:
        for child in made.children:
            if not child.answers.closed:
                child.kill()
                child.wait()
        process.kill()
        process.communicate()


def serve(address: str) -> NoReturn:
    """Forks for each call, until it is told to end."""
    for name in ("torch._dynamo", "sacrebleu", "seqvae_cli.api"):  # torch loads the first with the first optimizer
        importlib.import_module(name)
    commands = importlib.import_module("seqvae_cli.cli.commands")
    for module in pkgutil.walk_packages(commands.__path__, f"{commands.__name__}."):
        importlib.import_module(module.name)
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(64)
    gc.collect()
    gc.freeze()  # what is never collected stays shared
    os.write(1, b"ready\n")
    keepers = set()
    while True:
        connection, _ = server.accept()
        if (pid := os.fork()) == 0:
            server.close()
            keep(connection)
        connection.close()
        keepers.add(pid)
        keepers -= {pid for pid in keepers if os.waitpid(pid, os.WNOHANG)[0]}


def keep(connection: socket.socket) -> NoReturn:
    """Starts one child, and reaps it when it is asked for or nobody can ask any more."""
    message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    if (pid := os.fork()) == 0:
        connection.close()
        run(json.loads(message), streams)
    for stream in streams:
        os.close(stream)
    with suppress(OSError):
        connection.sendall(b"%d\n" % pid)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        connection.sendall(b"ended\n")
        connection.recv(16)
    _, status, used = os.wait4(pid, 0)
    unit = 1 if sys.platform == "darwin" else 1024
    found = [os.waitstatus_to_exitcode(status), used.ru_maxrss * unit, used.ru_utime + used.ru_stime]
    with suppress(OSError):
        connection.sendall(json.dumps(found).encode() + b"\n")
    os._exit(0)


def run(call: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """The program, as its console script does it."""
    from seqvae_cli.__main__ import main

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    if call["ordinary"]:
        from tests.faults.matrix import as_ordinary_user

        as_ordinary_user()
    sys.argv = ["seqvae", *call["arguments"]]
    code = main()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])

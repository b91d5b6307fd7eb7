"""`seqvae` for shell pipelines at the price of one import: a server that has all modules loaded forks for each call.

The program that the shell starts hands its arguments, folder, environment and standard streams to the server, and ends
with the exit code of the child. A child is like a process that was started anew but for the interpreter's own start.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = """
import gc, json, os, signal, socket, sys
import seqvae_cli.api, seqvae_cli.cli.models, seqvae_cli.latent.codes, sacrebleu
from seqvae_cli.__main__ import main

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(64)
gc.freeze()
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    if os.fork() == 0:
        message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        call = json.loads(message)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.chdir(call["folder"])
        os.environ.clear()
        os.environ.update(call["environment"])
        sys.argv = ["seqvae", *call["arguments"]]
        code = main()
        sys.stderr.flush()
        connection.send(bytes([code]))
        os._exit(code)
    connection.close()
"""

CLIENT = """#!{python} -IS
import json, os, socket, sys

connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
call = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(connection, [json.dumps(call).encode()], [0, 1, 2])
os.dup2(os.open(os.devnull, os.O_RDWR), 0)  # only the child holds the streams now
os.dup2(0, 1)
code = connection.recv(1)
sys.exit(code[0] if code else 70)
"""


@contextmanager
def preloaded(folder: Path) -> Iterator[Path]:
    """A folder for PATH with a program `seqvae`."""
    address = str(folder / "s")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, address],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # one thread: what may fork
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        program = folder / "bin" / "seqvae"
        program.parent.mkdir()
        program.write_text(CLIENT.format(python=sys.executable, address=address))
        program.chmod(0o755)
        yield program.parent
    finally:
        process.kill()
        process.communicate()

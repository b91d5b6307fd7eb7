"""The playground: milliseconds of its page, its first map, a path and a slider, from the browser's side of the socket.

python -m benchmarks.play --run latest --requests 200

Prints JSON: p50 and p95 of a path of 11 steps and of a slider's decode, and their CPU time, client and server together.
The page is all its files, in turn; the first map has every sentence of the split encoded. The sentences are those of
the validation split, each pair once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks import measure


def ours(arguments: argparse.Namespace) -> measure.Result:
    from seqvae_cli import api
    from seqvae_cli.play import pages
    from seqvae_cli.play.application import application
    from seqvae_cli.play.guard import Guard
    from seqvae_cli.play.playground import Playground
    from seqvae_cli.web import server

    measure.use_threads(arguments.threads)
    listener = server.bind(None)
    guard = Guard(listener.getsockname()[1], "benchmark")
    running = server.uvicorn_server(application(Playground(api.load(arguments.run)), guard))
    threading.Thread(target=running.run, args=([listener],), daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", guard.port, timeout=600)
    headers = {"Content-Type": "application/json", "Cookie": f"{guard.cookie}={guard.token}"}

    def get(path: str) -> bytes:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().read()

    def ask(name: str, **values: Any) -> Any:
        connection.request("POST", f"/api/{name}", json.dumps(values), headers)
        return json.loads(connection.getresponse().read())

    get("/")  # the server has begun
    paint = measure.seconds(lambda: [get(path) for path in pages.files()])
    first = measure.seconds(lambda: [ask(name, split="valid") for name in ("points", "map")])
    texts = ask("points", split="valid")["texts"]
    pairs = [(texts[i % len(texts)], texts[(i * 7 + 3) % len(texts)]) for i in range(arguments.requests)]
    codes = np.array([ask("encode", sentences=[first])["codes"][0] for first, _ in pairs])
    codes[:, 0] += np.linspace(-2, 2, len(codes))
    paths = [partial(ask, "interpolate", first=a, last=b, map="pca") for a, b in pairs]
    slides = [partial(ask, "decode", codes=[code.tolist()], map="pca") for code in codes]
    found = {"page_ms": 1000 * paint, "map_ms": 1000 * first} | _times("path", paths) | _times("slider", slides)
    running.should_exit = True
    return found


def _times(kind: str, requests: Sequence[Callable[[], object]]) -> measure.Result:
    begun = time.process_time()
    seconds = [measure.seconds(request) for request in requests]
    cpu = (time.process_time() - begun) / len(seconds)
    low, high = np.quantile(seconds, (0.5, 0.95)).tolist()
    return {f"{kind}_p50_ms": 1000 * low, f"{kind}_p95_ms": 1000 * high, f"{kind}_cpu_ms": 1000 * cpu}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=int, default=200, help="requests of each kind")


if __name__ == "__main__":
    measure.main(__doc__, {"ours": ours}, options)

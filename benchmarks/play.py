"""The playground: milliseconds of a path of 11 steps, and of a slider's decode, from the browser's side of the socket.

python -m benchmarks.play --run latest --requests 200

Prints p50 and p95 of each as JSON. The sentences are those of the validation split, each pair once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from typing import Any

import numpy as np

from benchmarks import measure


def served(arguments: argparse.Namespace) -> measure.Result:
    from seqvae_cli import api
    from seqvae_cli.play import server
    from seqvae_cli.play.application import application
    from seqvae_cli.play.guard import Guard
    from seqvae_cli.play.playground import Playground

    measure.use_threads(arguments.threads)
    listener = server.bind(None)
    guard = Guard(listener.getsockname()[1], "benchmark")
    running = server.uvicorn_server(application(Playground(api.load(arguments.run)), guard))
    threading.Thread(target=running.run, args=([listener],), daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", guard.port, timeout=600)

    def ask(name: str, **values: Any) -> Any:
        headers = {"Content-Type": "application/json", "Cookie": f"{guard.cookie}={guard.token}"}
        connection.request("POST", f"/api/{name}", json.dumps(values), headers)
        return json.loads(connection.getresponse().read())

    texts = ask("points", split="valid")["texts"]
    pairs = [(texts[i % len(texts)], texts[(i * 7 + 3) % len(texts)]) for i in range(arguments.requests)]
    codes = np.array([ask("encode", sentences=[first])["codes"][0] for first, _ in pairs])
    codes[:, 0] += np.linspace(-2, 2, len(codes))
    paths = [_milliseconds(lambda: ask("interpolate", first=a, last=b, map="pca")) for a, b in pairs]  # noqa: B023
    slides = [_milliseconds(lambda: ask("decode", codes=[code.tolist()], map="pca")) for code in codes]  # noqa: B023
    running.should_exit = True
    return {
        name: float(np.quantile(values, share))
        for kind, values in (("path", paths), ("slider", slides))
        for name, share in ((f"{kind}_p50_ms", 0.5), (f"{kind}_p95_ms", 0.95))
    }


def _milliseconds(action: Any) -> float:
    begun = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - begun)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=int, default=200, help="requests of each kind")


if __name__ == "__main__":
    measure.main(__doc__, {"served": served}, options)

"""Memory and start-up of training: what the first steps of a run take, on a corpus of any size.

python -m benchmarks.memory --corpus ptb --steps 100
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks import measure


def ours(arguments: argparse.Namespace) -> measure.Result:
    from seqvae_cli.config import layers
    from seqvae_cli.data import corpus
    from seqvae_cli.training import session
    from seqvae_cli.training.events import StepEvent

    settings = layers.resolve(
        arguments.preset,
        overrides={
            "data": arguments.corpus,
            "runtime.threads": arguments.threads,
            "train.max_len": 60,
            "runtime.device": "cpu",
        },
    )
    begin = time.perf_counter()
    data = corpus.find(arguments.corpus)
    run = session.start(settings, data)
    events = session.fit(run, data)
    started = 0.0
    for event in events:
        started = started or time.perf_counter() - begin
        if isinstance(event, StepEvent) and event.step >= arguments.steps:
            break
    result = {
        "tokens": sum(int(data.info["splits"][split]["words"]) for split in data.splits),
        "types": len(data.tokenizer),
        "start_seconds": started,
        "megabytes": measure.peak_megabytes(),
    }
    status = Path("/proc/self/status")
    if status.exists():
        # Mapped pages of the corpus are the system's cache: they are counted in the peak, but given back on demand.
        anonymous = [line for line in status.read_text().splitlines() if line.startswith("RssAnon")]
        result["anonymous_megabytes"] = int(anonymous[0].split()[1]) / 1e3
    events.close()  # type: ignore[attr-defined]
    return result


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="seed")
    parser.add_argument("--steps", type=int, default=100)


if __name__ == "__main__":
    measure.main(__doc__, {"ours": ours}, options)

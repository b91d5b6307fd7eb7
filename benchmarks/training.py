"""Training: tokens a second of whole steps with data loading, ours against the reference's two ways.

python -m benchmarks.training --way ours --batch-size 128 --steps 100
python -m benchmarks.training --way ours --preset default --set model.shortlist=0
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

from benchmarks import measure, reference


def ours(arguments: argparse.Namespace) -> measure.Result:
    import torch

    from seqvae_cli.config import layers
    from seqvae_cli.data import corpus
    from seqvae_cli.data.batching import collate, epoch_order
    from seqvae_cli.system.runtime import precision_name, resolve_device, resolve_precision
    from seqvae_cli.training.learner import Learner
    from seqvae_cli.training.schedule import Clock

    measure.use_threads(arguments.threads)
    data = corpus.find(arguments.corpus)
    split = data.split("train")
    overrides = measure.overrides(arguments.set) | {"train.batch_size": arguments.batch_size}
    settings = layers.resolve(arguments.preset, overrides=overrides)
    device = resolve_device(arguments.device)
    precision = resolve_precision(arguments.precision, device)

    def steps() -> Iterator[int]:
        learner = Learner(settings, len(data.tokenizer), device, precision)
        learner.model.train()
        number = 0
        for epoch in range(1, 1000):
            for rows in epoch_order(split.lengths, settings.train.batch_size, seed=0, epoch=epoch):
                batch = collate([split[int(i)] for i in rows], settings.train.max_len)
                number += 1
                learner.step(batch, Clock(epoch - 1, settings.train.epochs), number)
                yield int(batch.lengths.sum())

    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    return _timed(steps(), arguments, wait) | {"precision": precision_name(precision), "device": str(device)}


def _reference(arguments: argparse.Namespace) -> measure.Result:
    from seqvae_cli.data import corpus

    measure.use_threads(arguments.threads)
    data = corpus.find(arguments.corpus)
    steps = reference.train(data.split("train"), len(data.tokenizer), arguments.way, arguments.batch_size)
    return _timed(steps, arguments)


def _timed(
    steps: Iterator[int], arguments: argparse.Namespace, wait: Callable[[], object] = lambda: None
) -> measure.Result:
    for _ in range(arguments.warm_up):
        next(steps)
    wait()
    start, tokens = time.perf_counter(), 0
    for _ in range(arguments.steps):
        tokens += next(steps)
    wait()
    return {
        "batch_size": arguments.batch_size,
        "steps": arguments.steps,
        "tokens": tokens,
        "tokens_per_second": tokens / (time.perf_counter() - start),
        "megabytes": measure.peak_megabytes(),
    }


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="seed", help="ours: the settings")
    parser.add_argument("--set", action="append", default=[], help="ours: a setting over the preset's, KEY=VALUE")
    parser.add_argument("--device", default="cpu", help="ours: where; the others run on the CPU")
    parser.add_argument("--precision", default="auto", help="ours: float32, bfloat16 or auto")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--warm-up", type=int, default=5)


if __name__ == "__main__":
    measure.main(__doc__, {"ours": ours, "naive": _reference, "plain": _reference}, options)

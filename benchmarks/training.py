"""Training: tokens a second of whole steps with data loading, ours against the reference's two ways and the ceiling.

python -m benchmarks.training --way ours --batch-size 128 --steps 100
python -m benchmarks.training --way ceiling --preset default       the products and LSTM layers of the same steps alone
python -m benchmarks.training --way ours --preset default --set model.shortlist=0
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from benchmarks import measure, reference


class Training:
    """The steps of a training, as the options describe it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from seqvae_cli.config import layers
        from seqvae_cli.data import corpus
        from seqvae_cli.system.runtime import precision_name, resolve_device, resolve_precision
        from seqvae_cli.training.learner import Learner

        measure.use_threads(arguments.threads)
        data = corpus.find(arguments.corpus)
        self.split = data.split("train")
        overrides = measure.overrides(arguments.set) | {"train.batch_size": arguments.batch_size}
        self.settings = layers.resolve(arguments.preset, overrides=overrides)
        self.device = resolve_device(arguments.device)
        precision = resolve_precision(arguments.precision, self.device)
        self.learner = Learner(self.settings, len(data.tokenizer), self.device, precision)
        self.learner.model.train()
        self.told = {"precision": precision_name(precision), "device": str(self.device)}

    def steps(self) -> Iterator[tuple[int, Callable[[], object]]]:
        """Tokens of each step, and what does it."""
        from seqvae_cli.data.batching import collate, epoch_order
        from seqvae_cli.training.schedule import Clock

        train, number = self.settings.train, 0
        for epoch in range(1, 1000):
            for rows in epoch_order(self.split.lengths, train.batch_size, seed=0, epoch=epoch):
                batch = collate([self.split[int(i)] for i in rows], train.max_len)
                number += 1
                clock = Clock(epoch - 1, train.epochs)
                yield int(batch.lengths.sum()), partial(self.learner.step, batch, clock, number)


def ours(arguments: argparse.Namespace) -> measure.Result:
    import torch

    training = Training(arguments)

    def steps() -> Iterator[int]:
        for tokens, step in training.steps():
            step()
            yield tokens

    wait = torch.cuda.synchronize if training.device.type == "cuda" else lambda: None
    return _timed(steps(), arguments, wait) | training.told


def ceiling(arguments: argparse.Namespace) -> measure.Result:
    """The arithmetic alone of as many steps as are given, spread over the epoch as those of `ours`."""
    from benchmarks.ceiling import Arithmetic

    training = Training(arguments)
    tokens, flop, products, layers = 0, 0, 0.0, 0.0
    for count, step in islice(training.steps(), arguments.warm_up, arguments.warm_up + arguments.steps):
        with Arithmetic() as found:
            step()
        seconds = found.seconds()
        tokens, flop, products, layers = tokens + count, flop + found.flop, products + seconds[0], layers + seconds[1]
    return training.told | {
        "batch_size": arguments.batch_size,
        "steps": arguments.steps,
        "tokens": tokens,
        "tokens_per_second": tokens / (products + layers),
        "products_gflop_per_second": flop / products / 1e9,
        "products_share": products / (products + layers),
    }


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
    parser.add_argument("--preset", default="seed", help="ours, ceiling: the settings")
    parser.add_argument(
        "--set", action="append", default=[], help="ours, ceiling: a setting over the preset's, KEY=VALUE"
    )
    parser.add_argument("--device", default="cpu", help="ours: where; the others run on the CPU")
    parser.add_argument("--precision", default="auto", help="ours, ceiling: float32, bfloat16 or auto")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--warm-up", type=int, default=5)


if __name__ == "__main__":
    measure.main(__doc__, {"ours": ours, "ceiling": ceiling, "naive": _reference, "plain": _reference}, options)

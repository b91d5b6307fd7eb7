"""Training steps on a device: their time, the operations that take most of it, and the share in which the device idles.

python -m benchmarks.steps --corpus ptb --device cuda
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import measure

BLOCKS = 5
"""Parts of the measured steps; the median of their times counts."""

TOP = 12
"""Operations that are named."""


def ours(arguments: argparse.Namespace) -> measure.Result:
    import torch

    from seqvae_cli.config import layers
    from seqvae_cli.data import corpus
    from seqvae_cli.data.batching import Batch, collate, epoch_order
    from seqvae_cli.system.runtime import precision_name, resolve_device, resolve_precision
    from seqvae_cli.training.learner import Learner
    from seqvae_cli.training.schedule import Clock

    measure.use_threads(arguments.threads)
    device = resolve_device(arguments.device)
    precision = resolve_precision(arguments.precision, device)
    data = corpus.find(arguments.corpus)
    split = data.split("train")
    settings = layers.resolve(arguments.preset, overrides=measure.overrides(arguments.set))
    learner = Learner(settings, len(data.tokenizer), device, precision)
    learner.model.train()
    clock = Clock.at(settings.train, settings.train.epochs / 2)

    def batches() -> Iterator[Batch]:
        for epoch in itertools.count():
            for rows in epoch_order(split.lengths, settings.train.batch_size, seed=0, epoch=epoch):
                yield collate([split[int(i)] for i in rows], settings.train.max_len)

    stream, number = batches(), itertools.count(1)

    def steps(count: int) -> tuple[float, int]:
        """Seconds of so many steps to their end on the device, and their tokens."""
        tokens, start = 0, time.perf_counter()
        for batch in itertools.islice(stream, count):
            learner.step(batch, clock, next(number))
            tokens += int(batch.lengths.sum())
        learner.check_finite()  # waits for the device
        return time.perf_counter() - start, tokens

    each = max(1, arguments.steps // BLOCKS)
    steps(2 * each)  # most shapes of a batch come up twice, and are recorded as graphs
    timed = [steps(each) for _ in range(BLOCKS)]
    blocks = [{"milliseconds": 1e3 * seconds / each, "speed": tokens / seconds} for seconds, tokens in timed]
    milliseconds = measure.median(blocks, "milliseconds")
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        steps(each)
    result = {
        "device": str(device),
        "precision": precision_name(precision),
        "preset": arguments.preset,
        "batch_size": settings.train.batch_size,
        "graphs": learner.no_graphs or "recorded",
        "steps": BLOCKS * each,
        "milliseconds_per_step": milliseconds,
        "tokens_per_second": measure.median(blocks, "speed"),
        "operations": operations(profile, each, on_device=device.type == "cuda"),
    }
    if device.type == "cuda":
        busy = busy_milliseconds(profile) / each
        # Beside the time of a step that was not profiled: profiling slows the CPU, and the device would seem idler.
        result |= {"busy_milliseconds_per_step": busy, "idle_share": max(0.0, 1 - busy / milliseconds)}
    return result


def operations(profile: Any, steps: int, *, on_device: bool) -> list[measure.Result]:
    """The operations that take most time themselves, on the device or on the CPU: milliseconds and calls a step."""
    key = "self_device_time_total" if on_device else "self_cpu_time_total"
    found = [event for event in profile.key_averages() if not getattr(event, "is_user_annotation", False)]
    found.sort(key=lambda event: getattr(event, key), reverse=True)
    return [
        {"name": event.key[:100], "milliseconds": getattr(event, key) / 1e3 / steps, "calls": event.count / steps}
        for event in found[:TOP]
    ]


def busy_milliseconds(profile: Any) -> float:
    """Time in which the device ran at least one kernel or copy."""
    from torch.profiler import DeviceType

    ranges = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profile.events()
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    )
    return covered(ranges) / 1e3


def covered(ranges: list[tuple[float, float]]) -> float:
    """The length of the union of sorted intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in ranges:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--set", action="append", default=[], help="a setting: KEY=VALUE")
    parser.add_argument("--steps", type=int, default=200)


if __name__ == "__main__":
    measure.main(__doc__, {"ours": ours}, options)

"""One training step in several processes: each computes its rows of a batch, and all take the same step.

The loss is that of the whole batch. DistributedDataParallel would lower the mean of the losses of its parts, which
differs: free bits, target rates and the Lagrange multiplier depend on the mean KL of all rows. So the means over the
rows are summed over processes before the loss is taken of them, and the gradients after the backward pass, by one
all-reduce of all of them. That the decoder is reset, or the encoder trained alone, then needs no further care.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqvae_cli.data.batching import Batch
from seqvae_cli.model import Terms
from seqvae_cli.runs.run import Run
from seqvae_cli.system.processes import Processes
from seqvae_cli.training.objective import Means


@dataclass(frozen=True)
class Part(Batch):
    """The rows of a batch that a process computes: every n-th of n processes, since a batch is sorted by length."""

    weight: float = 1.0
    """Their share of the sentences of the batch. 0 where it has fewer sentences than there are processes: then the
    only row is another process's, computed so that there is a gradient at all."""
    whole: tuple[int, int] = (0, 0)
    """Sentences and tokens of the batch."""

    @property
    def counts(self) -> tuple[int, int]:
        return self.whole


class _Sum(torch.autograd.Function):
    """The sum over processes. Each keeps the gradient of its own term: those of weights are summed later."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, processes: Processes) -> Tensor:  # noqa: ARG004
        return processes.sum(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return gradient, None


def means(terms: Terms, part: Part, processes: Processes) -> Means:
    """The means over the whole batch, from the terms of a part of it."""
    own = Means.of(terms)
    flat = torch.cat([own.distortion[None], own.groups]) * part.weight
    total: Tensor = _Sum.apply(flat, processes)  # type: ignore[no-untyped-call]
    return Means(total[0], total[1:])


def sum_gradients(parameters: Iterable[nn.Parameter], processes: Processes) -> None:
    """Replaces the gradients by their sums over processes. A parameter has a gradient in all of them, or in none."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    total = processes.sum(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = torch.split(total, [gradient.numel() for gradient in gradients])
    views = [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]
    torch._foreach_copy_(gradients, views)


def seed_noise(seed: int, step: int, processes: Processes) -> None:
    """Gives another process than the first random numbers of its own in a step, the same in a resumed training.

    The first draws from the stream whose state a checkpoint holds.
    """
    state = np.random.SeedSequence((seed, step, processes.rank)).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))


class FollowedRun(Run):
    """A run that the first process trains and writes, as another process knows it: changes stay in memory."""

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.path, self.name, self.info = path, path.name, info

    @contextmanager
    def lock(self) -> Iterator[None]:
        yield

    def update(self, **values: Any) -> None:
        self.info = self.info | values

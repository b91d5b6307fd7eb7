"""-log p of words given the states that predict them: a linear layer over the vocabulary and its cross entropy, fused.

The layer is most of a training step on a CPU. The fused function keeps one N x V matrix, exp(logits) less their sum at
the targets; separate operations write and read four. `reference` is its specification.

Shapes: N tokens, H the width of a state, V words.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

CACHED_ROWS = 256
"""Tokens whose logits fit into a CPU's cache."""

MOST_LOGITS = 2**29
"""Logits kept for the backward pass, at most; beyond that, as for a very long sentence, they are computed twice."""

IN_RANGE = 1e-20, 1e30
"""Sums of exp(logits) within which the highest logit of a token need not be subtracted first."""


def reference(states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(W h + b) of each target [N], for states [N, H], weight [V, H], bias [V]: [N] nats."""
    return F.cross_entropy(F.linear(states, weight, bias).float(), targets, reduction="none")


def cross_entropy(states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """-log p of each target, as `reference` computes it but faster on a CPU: [N] nats.

    Differentiable once, in states, weight and bias.
    """
    rows, differentiable = max(1, MOST_LOGITS // len(weight)), torch.is_grad_enabled()
    if differentiable and len(states) > rows:
        return torch.cat([_computed_again(h, weight, bias, words) for h, words in _parts(states, targets, rows)])
    if states.device.type != "cpu":
        # No gradient needs the logits later: a quarter of the memory will do.
        parts = [(states, targets)] if differentiable else _parts(states, targets, max(1, rows // 4))
        return torch.cat([reference(h, weight, bias, words) for h, words in parts])
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        states, weight, bias = states.to(dtype), weight.to(dtype), bias.to(dtype)
    if differentiable:
        losses: Tensor = _CrossEntropy.apply(states, weight, bias, targets)  # type: ignore[no-untyped-call]
        return losses
    # No gradient needs the logits later, so that they can stay in the cache.
    parts = _parts(states, targets, CACHED_ROWS)
    return torch.cat([_exponentials(h, weight, bias, words)[2] for h, words in parts])


def _parts(states: Tensor, targets: Tensor, rows: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(torch.split(states, rows), torch.split(targets, rows), strict=True))


def _computed_again(states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """`cross_entropy` whose backward pass begins with its forward pass, so that no logits wait for it."""
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    losses: Tensor = checkpoint(cross_entropy, states, weight, bias, targets, **options)
    return losses


class _CrossEntropy(torch.autograd.Function):
    """E = exp(logits) - s onehot, s = Σ exp(logits), and r = g / s with the gradient g of each loss, give the gradients
    dh = r E W, dW = Eᵀ (r h), db = Eᵀ r."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        ctx.lease = _Lease(len(states) * len(weight), states.dtype)
        errors, sums, losses = _exponentials(states, weight, bias, targets, ctx.lease.memory)
        dim = _dim_of_words(states)
        errors.scatter_add_(dim, targets.unsqueeze(dim), -sums.to(errors.dtype).unsqueeze(dim))
        ctx.save_for_backward(states, weight, errors if dim else errors.t(), sums)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        states, weight, errors, sums = ctx.saved_tensors
        gradient = (gradient / sums).to(errors.dtype)
        grad_states = torch.mm(errors, weight).mul_(gradient[:, None])
        grad_weight = torch.mm(errors.t(), states * gradient[:, None])
        return grad_states, grad_weight, torch.mv(errors.t(), gradient), None


def _exponentials(
    states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, out: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """exp(logits) as `_logits` lays them out, their sums [N], and -log p of the targets [N]. `out`: memory to write to.

    Where the sums leave the range of numbers, exp(logits - the highest of each token), and their sums.
    """
    logits, dim = _logits(states, weight, bias, out), _dim_of_words(states)
    picked = logits.gather(dim, targets.unsqueeze(dim)).squeeze(dim).to(_sum_type(logits))
    exponentials = logits.exp_()
    sums = exponentials.sum(dim, dtype=picked.dtype)
    least, most = IN_RANGE
    if not bool(((sums > least) & (sums < most)).all()):
        logits = _logits(states, weight, bias, out)
        top = logits.amax(dim, keepdim=True)
        picked = picked - top.squeeze(dim)
        exponentials = logits.sub_(top).exp_()
        sums = exponentials.sum(dim, dtype=picked.dtype)
    return exponentials, sums, sums.log() - picked


def _dim_of_words(states: Tensor) -> int:
    """The dimension of words in the logits: 0 in float32, 1 in bfloat16.

    In float32 the product with words as rows takes two thirds of the time (docs/performance.md).
    """
    return int(states.dtype == torch.bfloat16)


def _logits(states: Tensor, weight: Tensor, bias: Tensor, out: Tensor | None = None) -> Tensor:
    """Logits, with the words in dimension `_dim_of_words`. `out`: memory to write to."""
    if _dim_of_words(states):
        out = None if out is None else out.view(len(states), len(weight))
        return torch.mm(states, weight.t(), out=out).add_(bias)
    out = None if out is None else out.view(len(weight), len(states))
    return torch.mm(weight, states.t(), out=out).add_(bias[:, None])


def _sum_type(values: Tensor) -> torch.dtype:
    return torch.float32 if values.dtype == torch.bfloat16 else values.dtype


class _Lease:
    """Memory for `count` numbers, reused by a later lease once the autograd graph that holds this one is freed.

    The system clears every page of fresh memory, which would slow every step.
    """

    # No `__del__` gives it back: Python drops what a signal raises in one.
    lent: ClassVar[list[tuple[weakref.ref[_Lease], Tensor]]] = []

    def __init__(self, count: int, dtype: torch.dtype) -> None:
        found: list[tuple[weakref.ref[_Lease], Tensor]] = []
        with suppress(IndexError):  # until none is left; one at a time, since other threads lend, too
            while True:
                found.append(self.lent.pop())
        free = [memory for lease, memory in found if lease() is None]
        fitting = [memory for memory in free if memory.dtype == dtype and len(memory) >= count]
        # Where none fits, the new memory takes the place of the largest.
        taken = min(fitting, key=len) if fitting else max(free, key=len, default=None)
        whole = taken if fitting and taken is not None else torch.empty(count, dtype=dtype, device="cpu")
        self.lent.extend(one for one in found if one[1] is not taken)
        self.lent.append((weakref.ref(self), whole))
        self.memory = whole[:count]

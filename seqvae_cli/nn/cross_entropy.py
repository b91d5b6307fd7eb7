"""-log p of words given the states that predict them: a linear layer over the vocabulary and its cross entropy, fused.

The layer is most of a training step on a CPU. The fused function keeps one N x V matrix, softmax(logits) - onehot;
separate operations write and read four. `reference` is its specification.

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
"""Logits that are kept for the gradient, at most; those of a very long sentence are computed a second time instead."""

SMALL = 1e-30
"""Smallest probability that is read from the softmax; log p of a smaller one is computed from its logits."""


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
    return torch.cat([_neg_log_prob(*_logits(h, weight, bias), words) for h, words in parts])


def _parts(states: Tensor, targets: Tensor, rows: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(torch.split(states, rows), torch.split(targets, rows), strict=True))


def _computed_again(states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """`cross_entropy` whose backward pass begins with its forward pass, so that no logits wait for it."""
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    losses: Tensor = checkpoint(cross_entropy, states, weight, bias, targets, **options)
    return losses


class _CrossEntropy(torch.autograd.Function):
    """E = softmax(logits) - onehot and the gradient g of each loss give dh = g E W, dW = Eᵀ (g h), db = Eᵀ g."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        ctx.lease = _Lease(len(states) * len(weight), states.dtype)
        logits, dim = _logits(states, weight, bias, ctx.lease.memory)
        errors = torch.softmax(logits, dim, out=logits)
        index = targets.unsqueeze(dim)
        picked = errors.gather(dim, index)
        losses = -picked.squeeze(dim).to(_sum_type(picked)).log()
        small = (picked.squeeze(dim) < SMALL).nonzero()[:, 0]
        if len(small):
            losses[small] = _neg_log_prob(*_logits(states[small], weight, bias), targets[small])
        errors.scatter_(dim, index, picked - 1)
        ctx.save_for_backward(states, weight, errors if dim else errors.t())
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        states, weight, errors = ctx.saved_tensors
        gradient = gradient.to(errors.dtype)
        grad_states = torch.mm(errors, weight).mul_(gradient[:, None])
        grad_weight = torch.mm(errors.t(), states * gradient[:, None])
        return grad_states, grad_weight, torch.mv(errors.t(), gradient), None


def _logits(states: Tensor, weight: Tensor, bias: Tensor, out: Tensor | None = None) -> tuple[Tensor, int]:
    """Logits and their dimension of words: ([V, N], 0) in float32, ([N, V], 1) in bfloat16. `out`: memory to write to.

    In float32 the product with words as rows takes two thirds of the time (docs/performance.md). The bfloat16 softmax
    works on words as columns.
    """
    if states.dtype == torch.bfloat16:
        out = None if out is None else out.view(len(states), len(weight))
        return torch.mm(states, weight.t(), out=out).add_(bias), 1
    out = None if out is None else out.view(len(weight), len(states))
    return torch.mm(weight, states.t(), out=out).add_(bias[:, None]), 0


def _neg_log_prob(logits: Tensor, dim: int, targets: Tensor) -> Tensor:
    """log Σ exp(logits) - logit of each target, finite also where the probability itself rounds to 0.

    Overwrites the logits.
    """
    logits = logits.to(_sum_type(logits))
    picked = logits.gather(dim, targets.unsqueeze(dim)).squeeze(dim)
    top = logits.amax(dim, keepdim=True)
    return logits.sub_(top).exp_().sum(dim).log_() + top.squeeze(dim) - picked


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

"""The likeliest word after each of many states, without the logits of most words: what greedy decoding asks for.

Words are read in blocks, the commonest first. A block is computed only for states in which one of its words may exceed
the best word so far. In the two-stage softmax, log p of a word is at most that of its group. And with an orthonormal
basis Q [H, R], the logit of a word with vector w after a state h is, by Cauchy and Schwarz,

    w·h <= (Qᵀw)·(Qᵀh) + |w - QQᵀw| |h - QQᵀh|

which is a product with R + 1 columns instead of H. The states of a decoder lie close to a subspace of few dimensions:
the second term is small where Q spans the principal directions of the first `ENOUGH` states. Within a group vectors are
taken from their mean, since by Jensen the logsumexp of n logits is at least log n plus their mean. Where the bounds of
few words exceed the best so far, the logits of these words decide.

Shapes: N states, H the width of a state, V words, G groups.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seqvae_cli.nn.softmax import OutputSoftmax, block_sizes

RANK = 32
"""Directions of the subspace in which the logits are bounded."""

ENOUGH = 2048
"""States from which the subspace is learned. Fewer do not repay the effort."""

FIRST_WORDS = 500
"""Words of the first block of a single softmax."""

FEW = 64
"""Words of a state whose logits are computed alone. Their vectors lie scattered in memory."""

ROUNDING = 1e-3
"""Nats by which a word may exceed its bound: far more than the rounding of a product in float32. In bfloat16 a logit is
rounded by up to the precision times its size, which is added."""


@dataclass(frozen=True)
class Block:
    """Words of successive ids."""

    start: int
    """Id of the first word."""
    weight: Tensor
    """Their vectors, in the precision of the products: [size, H]."""
    bias: Tensor
    """[size]."""


class Bounds:
    """Upper bounds of the logits of a block's words; of log p within the block where it is a group."""

    def __init__(self, block: Block, basis: Tensor, grouped: bool) -> None:
        self.weight, bias = block.weight, block.bias.float()
        weight = self.weight.float()
        self.length, self.shift = (float(part.max()) for part in (torch.linalg.vector_norm(weight, dim=1), bias.abs()))
        self.mean = weight.mean(0) * grouped
        self.bias = bias - bias.mean() - math.log(len(bias)) if grouped else bias
        weight = weight - self.mean
        inside = weight @ basis
        outside = torch.linalg.vector_norm(weight - inside @ basis.T, dim=1, keepdim=True)
        self.narrow = torch.cat([inside, outside], 1)

    def of(self, narrow: Tensor) -> Tensor:
        """The bounds [N, size] from Qᵀh and |h - QQᵀh| of states, [N, R + 1]."""
        return F.linear(narrow, self.narrow, self.bias)

    def exceeding(self, floor: Tensor, states: Tensor, narrow: Tensor) -> Tensor:
        """The states [M], of N, in which a word may exceed `floor` [N]."""
        bounds = self.of(narrow)
        rows = (bounds.amax(1) > floor).nonzero()[:, 0]
        above = bounds[rows] > floor[rows, None]
        few = above.sum(1) <= FEW
        places, words = above[few].nonzero().unbind(1)
        places = rows[few][places]
        logits = ((self.weight[words].float() - self.mean) * states[places]).sum(1) + self.bias[words]
        found = torch.zeros(len(states), dtype=torch.bool, device=states.device)
        found[rows[~few]] = True
        found[places[logits > floor[places]]] = True
        return found.nonzero()[:, 0]


class Likeliest:
    """The likeliest words by a softmax whose weights do not change meanwhile, in products of type `dtype`."""

    def __init__(self, softmax: OutputSoftmax, dtype: torch.dtype) -> None:
        self.grouped = softmax.groups is not None
        self.first, *stages = softmax.stages(dtype)
        sizes = softmax.sizes if self.grouped else block_sizes(softmax.out_features, FIRST_WORDS)
        if not self.grouped:
            weights, biases = (torch.split(parameter, sizes) for parameter in self.first)
            self.first, *stages = zip(weights, biases, strict=True)
        starts = itertools.accumulate(sizes)
        self.words = sizes[0]
        self.blocks = [Block(start, *stage) for start, stage in zip(starts, stages, strict=False)]
        self.precision = torch.finfo(dtype).eps
        self.seen: list[Tensor] = []
        self.basis: Tensor | None = None
        self.bounds: list[Bounds] = []

    @torch.no_grad()
    def __call__(self, states: Tensor, banned: Sequence[int]) -> Tensor:
        """The word of highest logit that is not `banned`, the first of equals, for states [N, H]: [N]."""
        logits = F.linear(states, *self.first).float()
        groups = logits[:, self.words :]
        best, found = _without(logits[:, : self.words], banned, 0).max(-1)
        narrow = self._narrow(states)
        for index, block in enumerate(self.blocks):
            rows = torch.arange(len(states), device=states.device)
            if self.grouped:
                rows = rows[groups[:, index] > best]
            if narrow is not None and len(rows):
                floor = best[rows] - groups[rows, index] if self.grouped else best[rows]
                rows = rows[self._exceeding(index, floor, states[rows], narrow[rows])]
            if len(rows):
                within = F.linear(states[rows], block.weight, block.bias).float()
                if self.grouped:
                    within = groups[rows, index, None] + F.log_softmax(within, dim=-1)
                inside, place = _without(within, banned, block.start).max(-1)
                better = inside > best[rows]
                best[rows[better]], found[rows[better]] = inside[better], place[better] + block.start
        return found

    def _exceeding(self, index: int, floor: Tensor, states: Tensor, narrow: Tensor) -> Tensor:
        with torch.autocast(states.device.type, enabled=False):
            states = states.float()
            bounds = self.bounds[index]
            largest = bounds.length * torch.linalg.vector_norm(states, dim=1) + bounds.shift
            return bounds.exceeding(floor - ROUNDING - self.precision * largest, states, narrow)

    def _narrow(self, states: Tensor) -> Tensor | None:
        """Qᵀh and |h - QQᵀh| of states, [N, R + 1]. None before `ENOUGH` states, and where products are cheap."""
        if states.device.type != "cpu" or not self.blocks:
            return None
        states = states.float()
        with torch.autocast(states.device.type, enabled=False):
            if self.basis is None:
                self.seen.append(states)
                if sum(map(len, self.seen)) < ENOUGH:
                    return None
                seen = torch.cat(self.seen)
                self.basis = torch.linalg.eigh(seen.T @ seen).eigenvectors[:, -RANK:]
                self.bounds = [Bounds(block, self.basis, self.grouped) for block in self.blocks]
                self.seen = []
            inside = states @ self.basis
            outside = states - inside @ self.basis.T
            return torch.cat([inside, torch.linalg.vector_norm(outside, dim=1, keepdim=True)], 1)


def _without(logits: Tensor, banned: Sequence[int], start: int) -> Tensor:
    """Logits [N, S] of the words from `start` on, -inf for those that are banned."""
    inside = [word - start for word in banned if start <= word < start + logits.size(-1)]
    return logits.index_fill(-1, torch.tensor(inside, device=logits.device), -torch.inf) if inside else logits

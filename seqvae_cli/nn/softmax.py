"""The decoder's last layer: states -> log p of words, by one softmax over all words or by two stages.

In two stages, the first softmax chooses among the `shortlist` of the commonest words and the groups of rarer words. The
second chooses a word of its group; training computes it only for the few targets in that group. The two stages are an
exact distribution over all words, not an approximation of the single softmax. Goodman 2001, "Classes for Fast Maximum
Entropy Training", has the two stages; Grave et al. 2017, "Efficient softmax approximation for GPUs", groups words by
frequency. `torch.nn.AdaptiveLogSoftmaxWithLoss` narrows the vectors of rare words; here all words keep the full width,
so that their vectors can be the word embeddings.

Shapes: N tokens, H the width of a state, V words, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from seqvae_cli.nn.cross_entropy import cross_entropy

Stages = list[tuple[Tensor, Tensor]]
"""Weight and bias of each product of a softmax."""

GROWTH = 4
"""Each group of rarer words ends at GROWTH times the id at which it begins."""


class OutputSoftmax(nn.Linear):
    """log p(w | state), with a vector and a bias for each word. Token ids rank words by frequency, the commonest first.

    shortlist: words of the first stage; 0 or at least `words`: a single softmax.
    """

    def __init__(self, width: int, words: int, shortlist: int = 0, device: torch.device | str = "cpu") -> None:
        super().__init__(width, words, device=device, dtype=torch.float32)
        ends = [shortlist or words]
        while ends[-1] < words:
            ends.append(ends[-1] * GROWTH)
        self.sizes = [min(end, words) - start for start, end in zip([0, *ends], ends, strict=False)]
        count = len(ends) - 1
        self.groups = nn.Linear(width, count, device=device, dtype=torch.float32) if count else None

    def forward(self, states: Tensor, stages: Stages | None = None) -> Tensor:
        """Logits [..., V]: unnormalized from a single softmax, log-probabilities from two stages.

        stages: those of `stages`, made once for many calls.
        """
        first, *tails = stages or self.stages()
        if not tails:
            return F.linear(states, *first)
        words, groups = self._first(states, first)
        within = [F.log_softmax(F.linear(states, *tail).float(), dim=-1) for tail in tails]
        return torch.cat([words, *(groups[..., i, None] + tail for i, tail in enumerate(within))], dim=-1)

    @torch.no_grad()
    def likeliest(self, states: Tensor, banned: Sequence[int], stages: Stages) -> Tensor:
        """The word of highest logit that is not `banned`, the first of equals, for states [N, H]: [N].

        log p of a word is at most that of its group. So a group is computed only in rows where its logit exceeds the
        highest so far.
        """
        first, *tails = stages
        logits = F.linear(states, *first).float()
        words, groups = torch.split(logits, [self.sizes[0], len(tails)], dim=-1)
        best, found = _without(words, banned, 0).max(-1)
        start = self.sizes[0]
        for index, (size, tail) in enumerate(zip(self.sizes[1:], tails, strict=True)):
            rows = (groups[:, index] > best).nonzero()[:, 0]
            if len(rows):
                within = F.log_softmax(F.linear(states[rows], *tail).float(), dim=-1)
                inside, place = _without(groups[rows, index, None] + within, banned, start).max(-1)
                better = inside > best[rows]
                best[rows[better]], found[rows[better]] = inside[better], place[better] + start
            start += size
        return found

    def stages(self, dtype: torch.dtype | None = None) -> Stages:
        """Weight and bias of the first stage (its words, then the groups), then those of each group."""
        weights, biases = torch.split(self.weight, self.sizes), torch.split(self.bias, self.sizes)
        if self.groups is None:
            found: Stages = [(self.weight, self.bias)]
        else:
            first = torch.cat([weights[0], self.groups.weight]), torch.cat([biases[0], self.groups.bias])
            found = [first, *zip(weights[1:], biases[1:], strict=True)]
        return found if dtype is None else [(weight.to(dtype), bias.to(dtype)) for weight, bias in found]

    def _first(self, states: Tensor, first: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """log p of the words of the first stage [..., S], and of the groups [..., G]."""
        logs = F.log_softmax(F.linear(states, *first).float(), dim=-1)
        words, groups = torch.split(logs, [self.sizes[0], len(self.sizes) - 1], dim=-1)
        return words, groups

    def group_rows(self, targets: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Rows of the targets [N] in each group of rarer words."""
        starts = np.cumsum(self.sizes)
        return [
            np.flatnonzero((targets >= start) & (targets < start + size))
            for start, size in zip(starts[:-1], self.sizes[1:], strict=True)
        ]

    def cross_entropy(self, states: Tensor, targets: Tensor, group_rows: Sequence[Tensor] | None = None) -> Tensor:
        """-log p of each target [N] given its state [N, H]: [N] nats.

        group_rows: what `group_rows` finds, on the device; None: read from the targets, which waits for the device.
        """
        if self.groups is None:
            return cross_entropy(states, self.weight, self.bias, targets)
        if group_rows is None:
            group_rows = [torch.from_numpy(rows).to(targets.device) for rows in self.group_rows(targets.cpu().numpy())]
        (weight, bias), *tails = self.stages()
        listed = self.sizes[0]
        first = targets
        for index, rows in enumerate(group_rows):
            first = first.index_fill(0, rows, listed + index)
        losses = cross_entropy(states, weight, bias, first)
        start = listed
        for rows, size, (weight, bias) in zip(group_rows, self.sizes[1:], tails, strict=True):
            if len(rows):
                within = cross_entropy(states[rows], weight, bias, targets[rows] - start)
                losses = losses.index_add(0, rows, within)
            start += size
        return losses

    def fixed_cross_entropy(self, states: Tensor, targets: Tensor) -> Tensor:
        """`cross_entropy` whose operations do not depend on the targets: each stage reads every row, [N] nats."""
        if self.groups is None:
            return cross_entropy(states, self.weight, self.bias, targets)
        (weight, bias), *tails = self.stages()
        first, start, inside = targets, self.sizes[0], []
        for index, size in enumerate(self.sizes[1:]):
            inside.append((targets >= start) & (targets < start + size))
            first = first.masked_fill(inside[-1], self.sizes[0] + index)
            start += size
        losses = cross_entropy(states, weight, bias, first)
        start = self.sizes[0]
        for rows, size, (weight, bias) in zip(inside, self.sizes[1:], tails, strict=True):
            within = cross_entropy(states, weight, bias, (targets - start).clamp(0, size - 1))
            losses = losses + within.masked_fill(~rows, 0.0)
            start += size
        return losses


def _without(logits: Tensor, banned: Sequence[int], start: int) -> Tensor:
    """Logits [N, S] of the words from `start` on, -inf for those that are banned."""
    inside = [word - start for word in banned if start <= word < start + logits.size(-1)]
    return logits.index_fill(-1, torch.tensor(inside, device=logits.device), -torch.inf) if inside else logits

"""The decoder's last layer: states -> log p of words, with one softmax over all words or in two stages.

In two stages the first softmax is over the `shortlist` of the commonest words and, beside them, the groups of rarer
ones; a second one picks the word within its group, and is only computed for the few states that lead there. So most
of the work is not done, and probabilities are exact all the same: a distribution that sums to 1, no approximation of
another. The idea is Goodman 2001, "Classes for Fast Maximum Entropy Training", the groups by frequency are those of
Grave et al. 2017, "Efficient softmax approximation for GPUs". Unlike `torch.nn.AdaptiveLogSoftmaxWithLoss` the words
of all groups keep the full width, so that their vectors can be the word embeddings.

Shapes: N tokens, H the width of a state, V words, G groups.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqvae_cli.nn.cross_entropy import cross_entropy

GROWTH = 4
"""Each group of rarer words ends at so many times the id at which it begins."""


class Vocabulary(nn.Linear):
    """log p(w | state), a vector and a bias a word. Words are numbered by frequency, the commonest first.

    shortlist: words of the first stage; 0, or as many as there are words: a single softmax.
    """

    def __init__(self, width: int, words: int, shortlist: int = 0) -> None:
        super().__init__(width, words)
        ends = [shortlist or words]
        while ends[-1] < words:
            ends.append(ends[-1] * GROWTH)
        self.sizes = [min(end, words) - start for start, end in zip([0, *ends], ends, strict=False)]
        self.groups = nn.Linear(width, len(ends) - 1) if len(ends) > 1 else None

    def forward(self, states: Tensor) -> Tensor:
        """Logits [..., V] whose softmax is the distribution; in two stages they are the log-probabilities."""
        if self.groups is None:
            return super().forward(states)
        (weight, bias), *tails = self._stages()
        first = F.log_softmax(F.linear(states, weight, bias).float(), dim=-1)
        words, groups = torch.split(first, [self.sizes[0], len(tails)], dim=-1)
        within = [F.log_softmax(F.linear(states, *tail).float(), dim=-1) for tail in tails]
        return torch.cat([words, *(groups[..., i, None] + tail for i, tail in enumerate(within))], dim=-1)

    def cross_entropy(self, states: Tensor, targets: Tensor) -> Tensor:
        """-log p of each target [N] given its state [N, H]: [N] nats."""
        if self.groups is None:
            return cross_entropy(states, self.weight, self.bias, targets)
        (weight, bias), *tails = self._stages()
        listed, first = self.sizes[0], targets
        start, rows = listed, []
        for index, size in enumerate(self.sizes[1:]):
            inside = (targets >= start) & (targets < start + size)
            first = first.where(~inside, listed + index)
            rows.append((inside.nonzero()[:, 0], start))
            start += size
        losses = cross_entropy(states, weight, bias, first)
        for (index_of, start), (weight, bias) in zip(rows, tails, strict=True):
            if len(index_of):
                within = cross_entropy(states[index_of], weight, bias, targets[index_of] - start)
                losses = losses.index_add(0, index_of, within)
        return losses

    def _stages(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of the first stage, its words before its groups, and of each group."""
        assert self.groups is not None
        weights, biases = torch.split(self.weight, self.sizes), torch.split(self.bias, self.sizes)
        first = torch.cat([weights[0], self.groups.weight]), torch.cat([biases[0], self.groups.bias])
        return [first, *zip(weights[1:], biases[1:], strict=True)]

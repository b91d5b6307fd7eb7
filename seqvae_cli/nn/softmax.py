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

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqvae_cli.nn.cross_entropy import cross_entropy

GROWTH = 4
"""Each group of rarer words ends at GROWTH times the id at which it begins."""


class OutputSoftmax(nn.Linear):
    """log p(w | state), with a vector and a bias for each word. Token ids rank words by frequency, the commonest first.

    shortlist: words of the first stage; 0 or at least `words`: a single softmax.
    """

    def __init__(self, width: int, words: int, shortlist: int = 0) -> None:
        super().__init__(width, words)
        ends = [shortlist or words]
        while ends[-1] < words:
            ends.append(ends[-1] * GROWTH)
        self.sizes = [min(end, words) - start for start, end in zip([0, *ends], ends, strict=False)]
        self.groups = nn.Linear(width, len(ends) - 1) if len(ends) > 1 else None

    def forward(self, states: Tensor) -> Tensor:
        """Logits [..., V]: unnormalized from a single softmax, log-probabilities from two stages."""
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
        for (inside_rows, start), (weight, bias) in zip(rows, tails, strict=True):
            if len(inside_rows):
                within = cross_entropy(states[inside_rows], weight, bias, targets[inside_rows] - start)
                losses = losses.index_add(0, inside_rows, within)
        return losses

    def _stages(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of the first stage (its words, then the groups), then those of each group."""
        assert self.groups is not None
        weights, biases = torch.split(self.weight, self.sizes), torch.split(self.bias, self.sizes)
        first = torch.cat([weights[0], self.groups.weight]), torch.cat([biases[0], self.groups.bias])
        return [first, *zip(weights[1:], biases[1:], strict=True)]

"""From the encoder's states, one a token, to one summary of the sentence.

Shapes: B sentences, T tokens (`<eos>` counted), H the width of a state, both directions joined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from seqvae_cli.nn.rotary import rotate


@dataclass(frozen=True)
class Pooling:
    pool: Callable[[Tensor, Tensor, bool], Tensor]
    """(states [B, T, H], mask [B, T] of the tokens that are not padding, bidirectional) -> summaries [B, H]."""
    with_words: bool = False
    """Each state first gains its word's embedding, mapped to the width of a state."""


def last(states: Tensor, mask: Tensor, bidirectional: bool) -> Tensor:
    """Each direction's state after it has read the whole sentence."""
    final = states[torch.arange(states.size(0), device=states.device), mask.sum(1) - 1]
    if not bidirectional:
        return final
    half = states.size(-1) // 2
    # The backward direction ends at the first token.
    return torch.cat([final[:, :half], states[:, 0, half:]], dim=-1)


def largest(states: Tensor, mask: Tensor, _: bool) -> Tensor:
    """Each dimension's largest value.

    Long et al. 2019, "Preventing Posterior Collapse in Sequence VAEs with Pooling".
    """
    return states.masked_fill(~mask[..., None], -torch.inf).amax(1)


def mean(states: Tensor, mask: Tensor, _: bool) -> Tensor:
    """Each dimension's mean."""
    return (states * mask[..., None]).sum(1) / mask.sum(1)[:, None]


def rotary(states: Tensor, mask: Tensor, _: bool) -> Tensor:
    """The sum of the states, each rotated by its position, over √length (see `nn.rotary`)."""
    rotated = rotate(states, torch.arange(states.size(1), device=states.device))
    return (rotated * mask[..., None]).sum(1) / mask.sum(1, dtype=torch.float32)[:, None].sqrt()


POOLINGS = {
    "last": Pooling(last),
    "max": Pooling(largest),
    "mean": Pooling(mean),
    # Without the words themselves the network would have to learn to pass them on.
    "rotary": Pooling(rotary, with_words=True),
}
"""By `model.pooling`."""

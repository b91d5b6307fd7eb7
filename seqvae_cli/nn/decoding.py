"""What search asks of a decoder, whatever its architecture, and what a decoder carries from step to step.

Shapes: B sentences, T tokens, L latent dimensions, V words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from seqvae_cli.nn.recurrent import Hidden
from seqvae_cli.nn.softmax import Stages


@dataclass(frozen=True)
class DecoderState:
    """What a decoder carries from step to step."""

    z: Tensor
    """[B, L]."""
    position: Tensor
    """Words read so far: [], or [B, 1] where rows differ."""
    hidden: Hidden
    """The decoder's memory of the words read; its shapes are the decoder's own."""
    stages: Stages | None = None
    """The weights of the vocabulary layer in the precision of its products, made by the first step for those after."""


class Decoder(Protocol):
    """z -> p(x|z), a word at a time: what search uses. Training and evaluation read whole sentences."""

    def start(self, z: Tensor) -> DecoderState:
        """The state before the first word, for codes z [B, L]."""
        ...

    def step(self, token: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Logits of the next word [B, V] after `token` [B], and the state after it."""
        ...

    def likeliest(self, token: Tensor, state: DecoderState, banned: Sequence[int]) -> tuple[Tensor, DecoderState]:
        """The likeliest next word [B] after `token` [B] that is not `banned`, and the state after `token`."""
        ...

    def reorder(self, state: DecoderState, index: Tensor) -> DecoderState:
        """The state of the rows `index` [N]: of the hypotheses that a beam keeps, or the sentences not yet ended."""
        ...

    def join(self, state: DecoderState, other: DecoderState) -> DecoderState:
        """The rows of `state`, then those of `other`."""
        ...

"""How the next word is chosen: greedily, by chance, or by a beam.

Shapes: B sentences, V words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqvae_cli.data.tokenizer import BOS, PAD, UNK
from seqvae_cli.errors import UsageError
from seqvae_cli.system.runtime import sum_type

SMALLEST = 1e-6
"""Smallest temperature and top_p; below, float32 cannot tell the softmax from greedy choice."""
LARGEST = 1e6
"""Largest temperature; above, float32 cannot tell the softmax from a uniform distribution."""


@dataclass(frozen=True)
class Strategy:
    """How the next word is chosen."""

    greedy: bool = False
    temperature: float = 1.0
    """Divides the logits; below 1 the likely words gain."""
    top_k: int = 0
    """Only the k likeliest words; 0: all."""
    top_p: float = 1.0
    """Only the likeliest words that together reach probability p (Holtzman et al. 2020)."""
    beam: int = 0
    """Hypotheses of a beam search for the likeliest sentence; 0: words are chosen one at a time instead."""
    unk: bool | None = None
    """Whether `<unk>`, which stands for every word outside the vocabulary, may be chosen; None: where the training text
    has it."""

    def __post_init__(self) -> None:
        """Raises `UsageError` for values out of range, and for some that contradict each other."""
        counts: tuple[object, ...] = (self.top_k, self.beam)
        numbers: tuple[object, ...] = (self.temperature, self.top_p)
        whole = all(isinstance(count, int | np.integer) and type(count) is not bool and count >= 0 for count in counts)
        real = all(isinstance(number, int | float | np.number) for number in numbers)
        if not (real and SMALLEST <= self.temperature <= LARGEST and SMALLEST <= self.top_p <= 1 and whole):
            raise UsageError(
                f"{self} is out of range",
                f"temperature from {SMALLEST:g} to {LARGEST:g}, top_p from {SMALLEST:g} to 1, whole numbers from 0",
            )
        drawing = {"temperature": self.temperature != 1, "top_k": self.top_k > 0, "top_p": self.top_p < 1}
        drawn = [name for name, chosen in drawing.items() if chosen]
        if len(ways := [name for name in ("greedy", "beam") if getattr(self, name)] + drawn[:1]) > 1:
            raise UsageError(f"{ways[0]} does not go with {ways[1]}", "leave one out")

    @property
    def banned(self) -> list[int]:
        """Words that are never chosen: `<pad>` and `<bos>`, and `<unk>` where `unk` is False."""
        return [PAD, BOS, UNK] if self.unk is False else [PAD, BOS]

    def allowed_logits(self, logits: Tensor) -> Tensor:
        """Logits [B, V] with the banned words masked out."""
        return logits.index_fill(-1, torch.tensor(self.banned, device=logits.device), -torch.inf)

    def draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """The next word [B] from logits [B, V], by inverting the distribution function at `uniform` [B]."""
        logits = logits / self.temperature
        if not self.top_k and self.top_p >= 1:
            return _invert(logits.softmax(-1), uniform)
        ranked, words = _ranked(logits, self.top_k or logits.size(-1))
        probabilities = ranked.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= self.top_p, 0.0)
        return words.gather(1, _invert(probabilities, uniform)[:, None])[:, 0]


GREEDY = Strategy(greedy=True)
ANCESTRAL = Strategy()
"""Draws each word from the decoder's own distribution (ancestral sampling)."""


def _ranked(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest of logits [B, V] and their words, the highest first, of equals the first word: [B, count]."""
    if count >= logits.size(-1):
        return logits.sort(stable=True, dim=-1, descending=True)
    # To select takes a twentieth of the time of a sort of all words, but says nothing of the order of equals.
    values, words = logits.topk(count + 1)
    tied = (values[:, -2] == values[:, -1]).nonzero()[:, 0]
    words = words[:, :-1].sort(dim=-1).values
    ranked, order = logits.gather(1, words).sort(stable=True, dim=-1, descending=True)
    words = words.gather(1, order)
    if len(tied):
        rows, places = logits[tied].sort(stable=True, dim=-1, descending=True)
        ranked[tied], words[tied] = rows[:, :count], places[:, :count]
    return ranked, words


def _invert(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The first column at which the running sum of `probabilities` [B, V] exceeds `uniform` times their total."""
    cumulated = probabilities.cumsum(-1, dtype=sum_type(probabilities.device))
    target = uniform[:, None].to(cumulated.dtype) * cumulated[:, -1:]
    return torch.searchsorted(cumulated, target, right=True)[:, 0]

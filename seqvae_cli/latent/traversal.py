"""What each latent dimension does: the sentences of a code while one dimension moves and the others stay.

Shapes: L latent dimensions, S steps of a dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.errors import UsageError
from seqvae_cli.latent import generate
from seqvae_cli.latent.answers import Code, Decoded
from seqvae_cli.latent.arguments import check_counts, check_iterable, check_strategy
from seqvae_cli.latent.generate import MAX_LEN
from seqvae_cli.latent.strategy import GREEDY, Strategy
from seqvae_cli.latent.text_model import TextModel
from seqvae_cli.system import runtime

TOP, STEPS = 5, 9
"""Default number of dimensions, and of the values of each."""
MOST_STEPS = 1000
"""Values of a dimension, at most."""


class TraversalOptions(TypedDict, total=False):
    """The options of `traverse`."""

    random: bool
    dimensions: Sequence[int] | None
    top: int
    steps: int
    strategy: Strategy
    max_len: int


@dataclass(frozen=True)
class Profile:
    """What the latent dimensions carry over sentences of a split."""

    split: str
    sentences: int
    """How many of the split were measured."""
    levels: tuple[float, ...]
    """Probabilities between 0 and 1: [S]."""
    values: NDArray[np.float32]
    """The quantile of each dimension under the aggregate posterior at each level: [L, S]."""
    rates: tuple[float, ...] | None
    """Nats a sentence of each dimension: [L]; None where the KL is not a sum over dimensions."""
    order: tuple[int, ...]
    """The dimensions by falling rate; without rates by falling variance of the posterior means."""


@dataclass(frozen=True)
class Dimension:
    """The sentences of one latent dimension."""

    index: int
    """Its number, from 0."""
    rate: float | None
    """Nats a sentence that it costs; None where the KL is not a sum over dimensions."""
    value: float
    """Its value in the code that is traversed."""
    values: list[float]
    """The values that it takes, from low to high: [S]."""
    sentences: list[Decoded]
    """The decoding at each value: [S]."""


@dataclass(frozen=True)
class Traversal:
    """What each latent dimension does to one code."""

    code: Code
    """The code that is traversed: [L]."""
    original: Decoded
    """Its decoding."""
    profile: Profile
    """Where the values come from."""
    dimensions: list[Dimension]

    def to_json(self) -> dict[str, object]:
        """`original`, and for each dimension its rate, its own value and its steps."""
        levels = [round(level, 6) for level in self.profile.levels]
        return {
            "original": self.original.text,
            "cut": self.original.cut,
            "split": self.profile.split,
            "sentences": self.profile.sentences,
            "dimensions": [
                {
                    "dimension": one.index,
                    "rate": one.rate,
                    "value": one.value,
                    "steps": [
                        {"quantile": level, "value": value, "text": made.text, "cut": made.cut}
                        for level, value, made in zip(levels, one.values, one.sentences, strict=True)
                    ],
                }
                for one in self.dimensions
            ],
        }


def levels(steps: int) -> tuple[float, ...]:
    """`steps` probabilities at equal distances, from 0.01 to 0.99."""
    return tuple(np.linspace(0.01, 0.99, steps).tolist())


def moved(code: Code, dimension: int, values: NDArray[np.float32], *, sphere: bool) -> NDArray[np.float32]:
    """The code [L] with one dimension at each of the values [S], the others as they are: [S, L].

    On the `sphere` the other dimensions keep their directions and share what is left of the length 1.
    """
    codes = np.repeat(code[None], len(values), 0)
    if sphere:
        values = values.clip(-1, 1)
        rest = np.delete(code, dimension)
        left = np.sqrt(1 - values**2) / max(float(np.linalg.norm(rest)), 1e-12)
        codes *= left[:, None]
    codes[:, dimension] = values
    return codes


def traverse(
    model: TextModel,
    measure: Callable[[int], Profile],
    sentence: str | None = None,
    *,
    random: bool = False,
    dimensions: Sequence[int] | None = None,
    top: int = TOP,
    steps: int = STEPS,
    strategy: Strategy = GREEDY,
    seed: int = 0,
    max_len: int = MAX_LEN,
) -> Traversal:
    """The code of a sentence, or with `random` of a draw from the prior, with one dimension moved at a time.

    measure: gives the profile for so many steps. dimensions: their numbers, in the order of the answer; None: the `top`
    ones of highest rate. Raises `UsageError` for a dimension that is not there and for a strategy that draws words.
    """
    model.require_latent()
    check_strategy(strategy)
    check_counts(top=(top, 1), steps=(steps, 2), seed=(seed, 0), max_len=(max_len, 1))
    if steps > MOST_STEPS:
        raise UsageError(f"steps is {steps}", f"at most {MOST_STEPS}")
    if not (strategy.greedy or strategy.beam):
        raise UsageError("randomly drawn words would hide what a dimension does", "greedy, or a beam")
    if random == (sentence is not None):
        raise UsageError("a traversal is of one sentence, or random", "give one of the two")
    named = None if dimensions is None else list(check_iterable(dimensions, "dimensions"))
    for index in named or ():
        if not (isinstance(index, int | np.integer) and 0 <= index < model.latent_size):
            raise UsageError(f"no dimension {index!r}", f"the code has {model.latent_size}, from 0")
    if sentence is None:
        code: Code = generate.prior_codes(model.network, [runtime.stream(seed, 0)])[0].numpy()
    else:
        code = model.encode([sentence])[0]
    profile = measure(steps)
    chosen = list(profile.order[:top]) if named is None else named
    sphere = model.network.settings.posterior == "vmf"
    values = profile.values.clip(-1, 1) if sphere else profile.values
    moves = (moved(code, index, values[index], sphere=sphere) for index in chosen)
    rows = chain([code], chain.from_iterable(moves))
    decoded = (made for made in model.decode_stream(rows, strategy, max_len=max_len) if made is not None)
    original = next(decoded)
    return Traversal(
        code,
        original,
        profile,
        [
            Dimension(
                int(index),
                None if profile.rates is None else profile.rates[index],
                float(code[index]),
                values[index].tolist(),
                [next(decoded) for _ in range(steps)],
            )
            for index in chosen
        ],
    )

"""What a model answers with, beyond plain strings and arrays. L is the number of its latent dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Code = NDArray[np.float32]


@dataclass(frozen=True)
class Encoding:
    """q(z|x) of one sentence."""

    mean: Code
    """Posterior mean, on the sphere its direction: [L]."""
    scale: Code
    """Standard deviations: [L]."""


@dataclass(frozen=True)
class Decoded:
    """The sentence of a code."""

    text: str
    cut: bool
    """Whether it was cut at `max_len` tokens, before its end."""


@dataclass(frozen=True)
class Sample:
    """One sentence drawn from the model."""

    text: str
    tokens: list[str]
    """Its tokens, without `<eos>`."""
    code: Code
    """z that it was decoded from: [L]."""
    cut: bool
    """Whether it was cut at `max_len` tokens, before its end."""
    log_prob: float | None
    """log p(x|z) in nats under the model itself, whatever the strategy; None unless asked for.

    `<eos>` is counted, except in a sentence that was cut.
    """


@dataclass(frozen=True)
class Interpolation:
    """Sentences along a path through the latent space, both ends included."""

    path: str
    """linear or spherical."""
    positions: list[float]
    """Where each sentence lies on the path, from 0 to 1."""
    sentences: list[str]
    cut: list[bool]
    """Which of them were cut at `max_len` tokens, before their end."""

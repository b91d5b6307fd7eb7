"""The work of a model in parts, between which `check` is called: it raises where the client has left.

Shapes: N codes, L latent dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqvae_cli.api import Model, Strategy
from seqvae_cli.errors import UsageError
from seqvae_cli.latent import paths
from seqvae_cli.latent.answers import Sample
from seqvae_cli.latent.strategy import GREEDY

AT_ONCE = 32
"""Sentences decoded between two checks, hypotheses of a beam counted."""
MOST_SCORED = 500_000
"""Tokens of the sentences of a score, each counted once for every sample."""
SEEDS = 2**53 - 1
"""The largest seed: whole numbers of a browser end there."""

Codes = NDArray[np.float32]
Check = Callable[[], object]


@dataclass(frozen=True)
class Path:
    """Sentences along a path between two others, both ends included."""

    kind: str
    """linear or spherical."""
    positions: list[float]
    """Where each sentence lies on the path, from 0 to 1."""
    sentences: list[Sample]


def samples(model: Model, count: int, strategy: Strategy, check: Check, **options: Any) -> list[Sample]:
    """What `Model.samples` gives."""
    found = []
    at_once = max(1, AT_ONCE // max(1, strategy.beam))
    for one in model.samples(count, strategy, batch_size=at_once, **options):
        check()
        found.append(one)
    return found


def path(
    model: Model, first: str, last: str, steps: int, check: Check, *, kind: str | None = None, even: bool = False
) -> Path:
    """What `Model.interpolation` gives, with the code of each step."""
    kind = kind or paths.default_path(model.network)
    begin, end = torch.from_numpy(model.encode([first, last]))
    count = paths.candidates(steps) if even else steps
    codes = paths.PATHS[kind](begin, end, count).numpy()
    made = samples(model, count, GREEDY, check, codes=codes)
    chosen = paths.even_steps([one.tokens for one in made], steps) if even else list(range(steps))  # type: ignore[misc]
    return Path(kind, [index / (count - 1) for index in chosen], [made[index] for index in chosen])


def sentence(one: Sample) -> dict[str, Any]:
    """A decoded sentence in an answer."""
    return {"text": one.text, "tokens": one.tokens, "cut": one.cut}


def bounds(model: Model, text: str, samples: int, seed: int) -> dict[str, Any]:
    """The score of a sentence in an answer."""
    (one,) = model.score([text], samples=samples, seed=seed)
    return {
        "nll": one.iw_nll,
        "nats_per_token": one.iw_nll / one.tokens,
        "neg_elbo": one.neg_elbo,
        "distortion": one.distortion,
        "rate": one.rate,
        "tokens": one.tokens,
        "unknown": model.unknown(text),
    }


def check_scored(model: Model, sentences: list[str], samples: int) -> None:
    """Raises `UsageError` for a score of more than `MOST_SCORED` tokens."""
    tokens = sum(len(model.tokenizer.encode(sentence)) + 1 for sentence in sentences)
    if tokens * samples > MOST_SCORED:
        hint = f"at most {MOST_SCORED // tokens:,}, or fewer sentences"
        raise UsageError(f"samples is {samples:,} for {tokens:,} tokens", hint)

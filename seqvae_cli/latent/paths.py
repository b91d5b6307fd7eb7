"""Paths through the latent space from one code to another, and the sentences along them.

Shapes: N codes on a path, L latent dimensions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice, pairwise

import numpy as np
import torch
from torch import Tensor

from seqvae_cli.errors import UsageError
from seqvae_cli.latent.generate import GREEDY, MAX_LEN, Strategy, decode
from seqvae_cli.model import SentenceVAE

BATCH = 256
"""Codes that are decoded at once."""

FINER = 4
"""Codes that are tried for each step of an even path."""

Sentence = Sequence[int]


@dataclass(frozen=True)
class Path:
    positions: list[float]
    """Of each step, from 0 at the first code to 1 at the last."""
    sentences: list[list[int]]
    """Word ids at each step."""


def walk(
    model: SentenceVAE,
    first: Tensor,
    last: Tensor,
    steps: int,
    strategy: Strategy = GREEDY,
    *,
    kind: str | None = None,
    even: bool = False,
    start: Sequence[int] = (),
    max_len: int = MAX_LEN,
    precision: torch.dtype = torch.float32,
) -> Path:
    """Decoded sentences at `steps` codes on the way from one code [L] to another, both ends included.

    Equal steps, or with `even` those that `evenly` chooses of `FINER` times as many.

    `kind`: a name in `KINDS`; None: the one that stays among the codes. Raises `UsageError` for another, for fewer
    than two steps, and for a strategy that draws words by chance.
    """
    count = finer(steps) if even else steps
    found = walks(model, [(first, last)], count, strategy, kind=kind, start=start, max_len=max_len, precision=precision)
    sentences = next(found)
    chosen = evenly(sentences, steps) if even else range(steps)
    return Path([i / (count - 1) for i in chosen], [sentences[i] for i in chosen])


def walks(
    model: SentenceVAE,
    ends: Sequence[tuple[Tensor, Tensor]],
    steps: int,
    strategy: Strategy = GREEDY,
    *,
    kind: str | None = None,
    start: Sequence[int] = (),
    max_len: int = MAX_LEN,
    precision: torch.dtype = torch.float32,
) -> Iterator[list[list[int]]]:
    """What `walk` says at equal steps between each of the pairs of codes, many pairs at once."""
    kind = usual(model) if kind is None else kind
    if kind not in KINDS:
        raise UsageError(f"no path {kind!r}", f"known: {', '.join(KINDS)}")
    if steps < 2:
        raise UsageError(f"no path of {steps} steps", "at least 2: both ends count")
    if not (strategy.greedy or strategy.beam):
        raise UsageError("words by chance would hide how the code changes", "greedy, or a beam")
    lead = KINDS[kind]

    def decoded() -> Iterator[list[int]]:
        codes = chain.from_iterable(lead(first, last, steps) for first, last in ends)
        while held := list(islice(codes, BATCH)):
            z = torch.stack(held)
            yield from decode(model, z, strategy, start=start, max_len=max_len, precision=precision)

    return _grouped(decoded(), steps)


def _grouped(sentences: Iterable[list[int]], size: int) -> Iterator[list[list[int]]]:
    stream = iter(sentences)
    while group := list(islice(stream, size)):
        yield group


def finer(steps: int) -> int:
    """Codes that are tried for an even path of so many steps; every `FINER`-th is one of equal steps."""
    return FINER * (steps - 1) + 1


def evenly(sentences: Sequence[Sentence], steps: int) -> list[int]:
    """Which `steps` of the `sentences` along a path to take, ends included, so that they change evenly: rising indices.

    The words that are edited from one to the next are added up along the path, and each step is where the sum is
    nearest to its share of the whole. Where several are as near it is a sentence that is not the step before, and of
    those the one nearest to equal steps.
    """
    final = len(sentences) - 1
    edits = list(accumulate((edit_distance(*neighbours) for neighbours in pairwise(sentences)), initial=0))
    chosen = [0]
    for step in range(1, steps - 1):
        share, equal = edits[-1] * step / (steps - 1), round(final * step / (steps - 1))
        low, high = chosen[-1] + 1, final - (steps - 1 - step)  # the steps to come need one each
        middle = min(max(bisect_left(edits, share), low), high)
        # The sum never falls: of all indices between low and high, the best is in one of two runs of the same sum.
        nearest = []
        for value in {edits[middle], edits[max(middle - 1, low)]}:
            left, right = max(bisect_left(edits, value), low), min(bisect_right(edits, value) - 1, high)
            nearest.append(min(max(equal, left), right))
        before = edits[chosen[-1]]
        chosen.append(min(nearest, key=lambda i: (abs(edits[i] - share), edits[i] == before, abs(i - equal))))
    return [*chosen, final]


def edit_distance(first: Sentence, second: Sentence) -> int:
    """Fewest words that are inserted, deleted or replaced to make one sentence of the other (Levenshtein 1966)."""
    columns, words = np.arange(len(second) + 1), np.asarray(second)
    row = columns
    for i, word in enumerate(first, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (words != word))
        row = np.minimum.accumulate(np.concatenate(([i], best)) - columns) + columns  # insertions, in one go
    return int(row[-1])


def linear_path(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """`steps` codes on the straight line between two [L], both ends included: [steps, L]."""
    t = torch.linspace(0, 1, steps, dtype=first.dtype)[:, None]
    return torch.lerp(first[None], last[None], t)


def spherical_path(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """`steps` codes on the great circle between two [L] (Shoemake 1985), their lengths blended: [steps, L].

    Straight where the directions are the same or opposite, since then there is no one great circle.
    """
    lengths = first.norm(), last.norm()
    cosine = torch.dot(first, last) / (lengths[0] * lengths[1])
    if not -0.9999 < float(cosine) < 0.9999:  # also where one of them is 0 and has no direction: NaN
        return linear_path(first, last, steps)
    t = torch.linspace(0, 1, steps, dtype=first.dtype)[:, None]
    angle = torch.acos(cosine)
    turned = torch.sin((1 - t) * angle) * (first / lengths[0]) + torch.sin(t * angle) * (last / lengths[1])
    path: Tensor = torch.lerp(lengths[0], lengths[1], t) * turned / torch.sin(angle)
    path[0], path[-1] = first, last
    return path


KINDS = {"linear": linear_path, "spherical": spherical_path}


def usual(model: SentenceVAE) -> str:
    """The kind of path that stays among the codes: a great circle where they lie on a sphere."""
    return "spherical" if model.settings.posterior == "vmf" else "linear"

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
from numpy.typing import NDArray
from torch import Tensor

from seqvae_cli.errors import UsageError
from seqvae_cli.latent.generate import MAX_LEN, decode
from seqvae_cli.latent.strategy import GREEDY, Strategy
from seqvae_cli.model import SentenceVAE

BATCH = 256
"""Codes that are decoded at once."""

CANDIDATES_A_STEP = 4
"""Codes that are decoded for each step of an even path."""

Sentence = Sequence[int]
"""Token ids."""


@dataclass(frozen=True)
class DecodedPath:
    positions: list[float]
    """Place of each step on the path, from 0 at the first code to 1 at the last."""
    sentences: list[list[int]]
    """Token ids at each step."""


def walk(
    network: SentenceVAE,
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
) -> DecodedPath:
    """Decoded sentences at `steps` codes on the path from one code [L] to another, both ends included.

    even: choose the steps so that the sentence changes evenly (`even_steps`), instead of the code.
    kind: a name in `PATHS`; None: `default_path`.

    Raises `UsageError` for an unknown kind, for fewer than two steps, and for a strategy that draws words.
    """
    count = candidates(steps) if even else steps
    found = walks(
        network, [(first, last)], count, strategy, kind=kind, start=start, max_len=max_len, precision=precision
    )
    sentences = next(found)
    chosen = even_steps(sentences, steps) if even else range(steps)
    return DecodedPath([i / (count - 1) for i in chosen], [sentences[i] for i in chosen])


def walks(
    network: SentenceVAE,
    ends: Sequence[tuple[Tensor, Tensor]],
    steps: int,
    strategy: Strategy = GREEDY,
    *,
    kind: str | None = None,
    start: Sequence[int] = (),
    max_len: int = MAX_LEN,
    precision: torch.dtype = torch.float32,
) -> Iterator[list[list[int]]]:
    """The sentences of `walk` at equal steps, for each pair of codes, decoded many pairs at once."""
    kind = default_path(network) if kind is None else kind
    if kind not in PATHS:
        raise UsageError(f"no path {kind!r}", f"known: {', '.join(PATHS)}")
    if steps < 2:
        raise UsageError(f"no path of {steps} steps", "at least 2: both ends count")
    if not (strategy.greedy or strategy.beam):
        raise UsageError("randomly drawn words would hide how the code changes", "greedy, or a beam")
    path = PATHS[kind]

    def decoded() -> Iterator[list[int]]:
        codes = chain.from_iterable(path(first, last, steps) for first, last in ends)
        while held := list(islice(codes, BATCH)):
            z = torch.stack(held)
            yield from decode(network, z, strategy, start=start, max_len=max_len, precision=precision)

    return _grouped(decoded(), steps)


def _grouped(sentences: Iterable[list[int]], size: int) -> Iterator[list[list[int]]]:
    stream = iter(sentences)
    while group := list(islice(stream, size)):
        yield group


def candidates(steps: int) -> int:
    """Codes that are decoded for an even path; every `CANDIDATES_A_STEP`-th is one of `steps` equal steps."""
    return CANDIDATES_A_STEP * (steps - 1) + 1


def even_steps(sentences: Sequence[Sentence], steps: int) -> list[int]:
    """Indices of `steps` of the sentences along a path, ends included, between which the sentence changes evenly.

    The edit distances between neighbours are summed along the path. Step k of n is the sentence whose sum is nearest to
    k / (n - 1) of the whole; among equally near ones a sentence that differs from the step before, and then the one
    nearest to equal steps.
    """
    final = len(sentences) - 1
    edits = list(accumulate((edit_distance(*neighbours) for neighbours in pairwise(sentences)), initial=0))
    chosen = [0]
    for step in range(1, steps - 1):
        share, equal = edits[-1] * step / (steps - 1), round(final * step / (steps - 1))
        low, high = chosen[-1] + 1, final - (steps - 1 - step)  # each later step needs an index of its own
        middle = min(max(bisect_left(edits, share), low), high)
        # The sum never falls, so that the best index has the sum just below the share or just above it.
        nearest = []
        for value in {edits[middle], edits[max(middle - 1, low)]}:
            left, right = max(bisect_left(edits, value), low), min(bisect_right(edits, value) - 1, high)
            nearest.append(min(max(equal, left), right))
        before = edits[chosen[-1]]
        chosen.append(min(nearest, key=lambda i: (abs(edits[i] - share), edits[i] == before, abs(i - equal))))
    return [*chosen, final]


def edit_distance(first: Sentence, second: Sentence) -> int:
    """Fewest insertions, deletions and replacements of words from one sentence to the other (Levenshtein 1966)."""
    columns, words = np.arange(len(second) + 1), np.asarray(second)
    row = columns
    for i, word in enumerate(first, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (words != word))
        row = np.minimum.accumulate(np.concatenate(([i], best)) - columns) + columns  # all insertions at once
    return int(row[-1])


def linear_path(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """`steps` codes on the straight line between two [L], both ends included: [steps, L]."""
    t = torch.linspace(0, 1, steps, dtype=first.dtype, device=first.device)[:, None]
    return torch.lerp(first[None], last[None], t)


def spherical_path(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """`steps` codes on the great circle between two [L] (Shoemake 1985), with lengths interpolated: [steps, L].

    A straight line where the directions are equal or opposite, which no single great circle joins.
    """
    lengths = first.norm(), last.norm()
    cosine = torch.dot(first, last) / (lengths[0] * lengths[1])
    if not -0.9999 < float(cosine) < 0.9999:  # also NaN, the cosine of a code of length 0
        return linear_path(first, last, steps)
    t = torch.linspace(0, 1, steps, dtype=first.dtype, device=first.device)[:, None]
    angle = torch.acos(cosine)
    arc = torch.sin((1 - t) * angle) * (first / lengths[0]) + torch.sin(t * angle) * (last / lengths[1])
    path: Tensor = torch.lerp(lengths[0], lengths[1], t) * arc / torch.sin(angle)
    path[0], path[-1] = first, last
    return path


PATHS = {"linear": linear_path, "spherical": spherical_path}


def default_path(network: SentenceVAE) -> str:
    """The kind of path that stays in the latent space: a great circle for codes on a sphere, else a line."""
    return "spherical" if network.settings.posterior == "vmf" else "linear"


def on_space(network: SentenceVAE, codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Codes [..., L] moved onto the sphere, where the posterior lives on one: the decoder has seen no others."""
    if network.settings.posterior != "vmf":
        return codes
    lengths = np.linalg.norm(codes, axis=-1, keepdims=True)
    return (codes / np.where(lengths > 0, lengths, 1)).astype(np.float32)

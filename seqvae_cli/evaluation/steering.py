"""Steering on toy: whether the offset between two groups that differ in one factor changes that factor and no other.

The offset is the difference of mean codes (`latent.arithmetic`). The grammar reads the factors of what is decoded.

Shapes: N sentences, L latent dimensions, F factors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.data.toy import language
from seqvae_cli.evaluation.encoded import Encoded
from seqvae_cli.evaluation.subset import spread_indices
from seqvae_cli.latent import generate
from seqvae_cli.latent.arithmetic import shifted
from seqvae_cli.latent.strategy import GREEDY
from seqvae_cli.model import SentenceVAE
from seqvae_cli.system.progress import Advance

SCALES = (1.0, 1.5, 2.0)
"""Multiples of an offset that are tried."""
LEARNED, TRIED, STEERED = 20_000, 200, 1000
"""Sentences, at most, that offsets are computed from, that a scale is chosen on, and that are steered."""
LONGEST = 20
"""Tokens of the longest sentence of the grammar; a longer decoding is outside the language."""

DECODED_AT_ONCE = 256
"""Codes of one decoding batch."""

Means = NDArray[np.float32]


@dataclass(frozen=True)
class Steered:
    """What the offsets of one factor do to sentences with another value of it; shares from 0 to 1."""

    scale: float
    """Multiple of the offset, the one of `SCALES` with the most flips on other sentences than these."""
    flips: float
    """Decodings with the value that the offset leads to."""
    kept: float
    """Those that have all other factors of the sentence, too."""
    invalid: float
    """Decodings outside the language, which have no factors."""


@dataclass(frozen=True)
class Steering:
    """What offsets of each factor do; shares from 0 to 1."""

    sentences: int
    reconstructed: float
    """Reconstructions with all factors of the sentence: what `kept` can hardly exceed."""
    invalid: float
    """Reconstructions outside the language."""
    factors: dict[str, Steered]


@dataclass(frozen=True)
class _Group:
    """Sentences with their codes and factors."""

    means: Means
    """[N, L]"""
    factors: NDArray[np.int64]
    """The index of each value: [N, F]."""


def measure(encoded: Encoded, split: str) -> Steering | None:
    """What offsets do to sentences of `split`; None without a code, and where the grammar of the corpus is not known.

    Offsets come from train (from valid if `split` is train), scales from valid (from train if `split` is valid). Each
    sentence is led to one other value, in turn where there are several.
    """
    network, corpus = encoded.network, encoded.corpus
    if not network.settings.latent_size or corpus.info.get("toy", {}).get("version") != language.VERSION:
        return None
    values = {name: corpus.labels(split)[name].values for name in language.FACTORS}

    def group(name: str, most: int) -> _Group:
        rows, labels = spread_indices(corpus.sentences(name), most), corpus.labels(name)
        means = encoded.some(name, rows).code.float().numpy()
        return _Group(means, np.stack([labels[factor].indices[rows] for factor in values], 1))

    learned = group("train" if split != "train" else "valid", LEARNED)
    tried, steered = group("valid" if split != "valid" else "train", TRIED), group(split, STEERED)
    decoder = _Decoder(network, corpus.tokenizer, values, encoded.precision)
    decodings = len(steered.means) + len(values) * (len(SCALES) * len(tried.means) + len(steered.means))
    decoder.watch = encoded.stage("steering", decodings)
    unmoved = decoder.factors(steered.means)
    shares: dict[str, Steered] = {}
    for column, name in enumerate(values):
        offsets = matched_offsets(learned.means, learned.factors, column, len(values[name]))
        trials = {scale: decoder.steer(tried, column, offsets, scale) for scale in SCALES}
        scale = max(SCALES, key=lambda scale: trials[scale].flips)
        shares[name] = decoder.steer(steered, column, offsets, scale)
    return Steering(
        sentences=len(steered.means),
        reconstructed=float((unmoved == steered.factors).all(1).mean()),
        invalid=float((unmoved < 0).all(1).mean()),
        factors=shares,
    )


class _Decoder:
    """Decodes codes greedily and reads the factors of the sentences."""

    def __init__(
        self, network: SentenceVAE, tokenizer: Tokenizer, values: Mapping[str, Sequence[str]], precision: torch.dtype
    ) -> None:
        self.network, self.tokenizer, self.values, self.precision = network, tokenizer, values, precision
        self.watch: Advance = lambda _: None
        self._known: dict[tuple[int, ...], list[int]] = {}

    def factors(self, codes: Means) -> NDArray[np.int64]:
        """The factors of the decoding of each code [N, L]: [N, F], -1 outside the language."""
        greedy, rows = replace(GREEDY, unk=False), []
        for first in range(0, len(codes), DECODED_AT_ONCE):
            z = torch.from_numpy(codes[first : first + DECODED_AT_ONCE])
            made = generate.decode(self.network, z, greedy, max_len=LONGEST + 1, precision=self.precision)
            rows += [self._read(tuple(words)) for words in made]
            self.watch(len(z))
        return np.array(rows, dtype=np.int64)

    def steer(self, group: _Group, column: int, offsets: Means, scale: float) -> Steered:
        """The shares of a group whose codes are moved by `scale` times the offsets [V, V, L] of a factor's V values."""
        count = offsets.shape[0]
        old = group.factors[:, column]
        new = (old + 1 + np.arange(len(old)) % (count - 1)) % count
        sphere = self.network.settings.posterior == "vmf"
        moves = scale * offsets[old, new]
        codes = np.stack([shifted(code, move, sphere=sphere) for code, move in zip(group.means, moves, strict=True)])
        made = self.factors(codes.astype(np.float32))
        wanted = group.factors.copy()
        wanted[:, column] = new
        shares = (made[:, column] == new, (made == wanted).all(1), (made < 0).all(1))
        return Steered(scale, *(float(share.mean()) for share in shares))

    def _read(self, words: tuple[int, ...]) -> list[int]:
        if words not in self._known:
            text = self.tokenizer.decode(words).split() if len(words) <= LONGEST else []
            found = language.infer_factors(text)
            self._known[words] = [
                -1 if found is None else list(values).index(found[name]) for name, values in self.values.items()
            ]
        return self._known[words]


def matched_offsets(means: Means, factors: NDArray[np.int64], column: int, count: int) -> Means:
    """The offset from each value of a factor to each other: [V, V, L], V = `count`.

    Factors depend on each other, so that the groups of two values differ in more than one. Sentences are therefore
    compared with those that agree in all other factors, and the differences averaged, each with the weight of least
    variance, n m / (n + m) for groups of n and m sentences. Where no two groups match, all sentences of the values are
    compared; 0 where a value has none.
    """
    rest = np.delete(factors, column, 1)
    kinds, kind = np.unique(rest, axis=0, return_inverse=True)
    cell = factors[:, column] * len(kinds) + kind.ravel()
    sizes = np.bincount(cell, minlength=count * len(kinds)).astype(np.float64).reshape(count, len(kinds))
    summed = np.zeros((count * len(kinds), means.shape[1]))
    np.add.at(summed, cell, means.astype(np.float64))
    sums = summed.reshape(count, len(kinds), -1)
    averages = sums / np.maximum(sizes, 1)[..., None]
    found = np.zeros((count, count, means.shape[1]), np.float32)
    for old in range(count):
        for new in range(count):
            weights = sizes[old] * sizes[new] / np.maximum(sizes[old] + sizes[new], 1)
            if weights.sum():
                found[old, new] = weights @ (averages[new] - averages[old]) / weights.sum()
            elif sizes[old].sum() and sizes[new].sum():
                found[old, new] = sums[new].sum(0) / sizes[new].sum() - sums[old].sum(0) / sizes[old].sum()
    return found

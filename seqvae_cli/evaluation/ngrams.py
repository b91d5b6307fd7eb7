"""An n-gram language model of token ids: interpolated Kneser-Ney smoothing with modified discounts.

After Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling". NLTK's needs time a word
that grows with the corpus (24 ms after 2,000 sentences of PTB), and kenlm's Python module cannot estimate models.

A sentence w1..wT is read as `<bos>` w1..wT `<eos>`: `<bos>` is only context, T+1 tokens are predicted, and no context
crosses sentences. The key of an n-gram is the id of its context (the n-gram without its last word, one order below)
times the vocabulary, plus its last word; its id is the position of its key among the sorted keys of its order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.tokenizer import BOS, EOS
from seqvae_cli.errors import DataError

Ids = NDArray[np.int64]

NOT_PREDICTED = 2
"""Number of ids that are never predicted: `<pad>` and `<bos>`."""

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts of counts 1, 2 and 3+ where they cannot be estimated (as in `lmplz --discount_fallback`)."""


@dataclass(frozen=True)
class _Order:
    """The n-grams of one order by id, and the weight of the order below by id of the context."""

    keys: Ids
    share: NDArray[np.float64]
    """The n-gram's count less its discount, over the count of its context."""
    rest: NDArray[np.float64]
    """The discounts of all n-grams of the context, over its count: the weight of the order below. 1 for an unseen
    context."""

    def ids(self, keys: Ids) -> Ids:
        """The ids of n-grams by their keys; -1 for an n-gram that was never seen."""
        if not len(self.keys):
            return np.full_like(keys, -1)
        ids = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[ids] == keys, ids, -1)


@dataclass(frozen=True)
class KneserNey:
    """p(token | the tokens before it), positive for all ids except `<pad>` and `<bos>`. Made by `fit`.

    An unseen context is shortened; the order below the empty context is the uniform distribution.
    """

    vocabulary: int
    orders: tuple[_Order, ...]

    @classmethod
    def fit(cls, sentences: Iterable[Sequence[int] | Ids], vocabulary: int, order: int = 5) -> KneserNey:
        """The model of n-grams up to `order`, from sentences of token ids without `<bos>` and `<eos>`.

        Raises `DataError` where there are no sentences, or an id is not below `vocabulary`.
        """
        tokens, places = _read(sentences, vocabulary)
        contexts, before = 1, np.zeros_like(tokens)
        orders = []
        for n in range(1, order + 1):
            ends = np.flatnonzero(places >= n - 1)
            keys, found, counts = np.unique(
                before[ends] * vocabulary + tokens[ends], return_inverse=True, return_counts=True
            )
            ids = np.full_like(tokens, -1)
            ids[ends] = found
            # Below the highest order the count is that of distinct tokens before the n-gram; one that begins with <bos>
            # has none before it, and keeps its own count.
            if n < order:
                later = np.flatnonzero(places >= n)
                pairs = np.unique(ids[later] * vocabulary + tokens[later - n])
                different = np.bincount(pairs // vocabulary, minlength=len(keys))
                counts = np.where(different > 0, different, counts)
            if n == 1:
                counts[keys == BOS] = 0
            orders.append(_estimate(keys, counts, keys // vocabulary, contexts))
            contexts, before = len(keys), np.roll(ids, 1)
        return cls(vocabulary, tuple(orders))

    def token_log_probs(self, sentences: Iterable[Sequence[int] | Ids]) -> NDArray[np.float64]:
        """log p of each predicted token of all sentences in order, `<eos>` included: [Σ (T+1)] nats.

        Raises `DataError` as `fit` does.
        """
        tokens, places = _read(sentences, self.vocabulary)
        p = np.full(len(tokens), 1 / (self.vocabulary - NOT_PREDICTED))
        before = np.zeros_like(tokens)
        for n, order in enumerate(self.orders, 1):
            known = np.flatnonzero((places >= n - 1) & (before >= 0))
            ids = np.full_like(tokens, -1)
            ids[known] = order.ids(before[known] * self.vocabulary + tokens[known])
            p[known] *= order.rest[before[known]]
            seen = ids >= 0
            p[seen] += order.share[ids[seen]]
            before = np.roll(ids, 1)
        log_p: NDArray[np.float64] = np.log(p[places > 0])
        return log_p

    def perplexity(self, sentences: Iterable[Sequence[int] | Ids]) -> float:
        """exp of the mean of -log p over predicted tokens, `<eos>` counted. Raises `DataError` as `fit` does."""
        return math.exp(-self.token_log_probs(sentences).mean())


def _read(sentences: Iterable[Sequence[int] | Ids], vocabulary: int) -> tuple[Ids, Ids]:
    """The tokens of all sentences in order, each between `<bos>` and `<eos>`, and their positions in their sentence."""
    words = [np.asarray(sentence, dtype=np.int64) for sentence in sentences]
    if not words:
        raise DataError("an n-gram model needs at least one sentence")
    lengths = np.array([len(sentence) + 2 for sentence in words])
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    tokens = np.full(ends[-1], EOS, dtype=np.int64)
    tokens[places == 0] = BOS
    inside = places > 0
    inside[ends - 1] = False
    tokens[inside] = np.concatenate(words)
    if not 0 <= tokens.min() <= tokens.max() < vocabulary:
        raise DataError(f"a token id is outside 0..{vocabulary - 1}")
    return tokens, places


def _estimate(keys: Ids, counts: Ids, context: Ids, contexts: int) -> _Order:
    """One order, from the keys and counts of its n-grams and the id of the context of each, below `contexts`."""
    discount = np.array([0.0, *_discounts(counts)])[counts.clip(max=3)]
    total, taken = (np.bincount(context, weights, minlength=contexts) for weights in (counts, discount))
    rest = np.divide(taken, total, out=np.ones(contexts), where=total > 0)
    share = np.divide(counts - discount, total[context], out=np.zeros(len(keys)), where=counts > 0)
    return _Order(keys, share, rest)


def _discounts(counts: Ids) -> tuple[float, float, float]:
    """D1, D2 and D3+ (Chen & Goodman 1999, equation 26), from the numbers of n-grams with count 1, 2, 3 and 4.

    `FALLBACK` where one is not positive, which would leave no mass for unseen words, or exceeds its count.
    """
    ones, twos, threes, fours = np.bincount(counts.clip(max=5), minlength=5)[1:5].tolist()
    if not (ones and twos and threes):
        return FALLBACK
    y = ones / (ones + 2 * twos)
    found = 1 - 2 * y * twos / ones, 2 - 3 * y * threes / twos, 3 - 4 * y * fours / threes
    return found if all(0 < d <= i for i, d in enumerate(found, 1)) else FALLBACK

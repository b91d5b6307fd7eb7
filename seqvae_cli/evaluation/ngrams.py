"""An n-gram language model of token ids: interpolated Kneser-Ney smoothing with modified discounts.

After Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling". Our own, because NLTK's
takes a time for each word that grows with the corpus (24 ms after 2,000 sentences of PTB already), and kenlm's Python
module reads models but estimates none.

A sentence w1..wT is read as `<bos>` w1..wT `<eos>`: `<bos>` is context alone, T+1 tokens are predicted, and no context
reaches into another sentence. An n-gram has an id at its order: its place among the sorted keys, and its key is the id
of its context (the n-gram without the last word, one order below) times the vocabulary, plus the last word.
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
"""Ids that follow nothing: `<pad>` and `<bos>`."""

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts of counts 1, 2 and from 3 on where the counts allow no estimate (as in `lmplz --discount_fallback`)."""


@dataclass(frozen=True)
class _Order:
    """The n-grams of one order, by id, and what is left to the order below, by id of the context."""

    keys: Ids
    share: NDArray[np.float64]
    """Of its context's count, what the discount leaves the n-gram."""
    rest: NDArray[np.float64]
    """Of the context's count, what the discounts take from its n-grams; 1 where nothing follows it."""

    def ids(self, keys: Ids) -> Ids:
        """-1 for the key of an n-gram that was never seen."""
        if not len(self.keys):
            return np.full_like(keys, -1)
        ids = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[ids] == keys, ids, -1)


@dataclass(frozen=True)
class KneserNey:
    """p(token | the tokens before it), over all ids but `<pad>` and `<bos>`; none of them is 0. `fit` makes it.

    A context that was never seen is shortened; below the empty one is the uniform distribution.
    """

    vocabulary: int
    orders: tuple[_Order, ...]

    @classmethod
    def fit(cls, sentences: Iterable[Sequence[int] | Ids], vocabulary: int, order: int = 5) -> KneserNey:
        """The model of sentences of ids below `vocabulary`, without `<bos>` and `<eos>`; n-grams of up to `order`.

        Raises `DataError` where there is no sentence, or an id outside the vocabulary.
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
            if n < order:  # count the different tokens before it; nothing is before an n-gram that begins with <bos>
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
        """log p of each predicted token, of all sentences in a row, `<eos>` after each: [Σ (T+1)] nats.

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
        """exp of -log p a predicted token, `<eos>` counted. Raises `DataError` as `fit` does."""
        return math.exp(-self.token_log_probs(sentences).mean())


def _read(sentences: Iterable[Sequence[int] | Ids], vocabulary: int) -> tuple[Ids, Ids]:
    """All sentences in a row, `<bos>` before and `<eos>` after each, and each token's place in its sentence, from 0."""
    words = [np.asarray(sentence, dtype=np.int64) for sentence in sentences]
    if not words:
        raise DataError("no sentence for an n-gram model")
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
    """One order from the counts of its n-grams and the id of each one's context, below `contexts`."""
    discount = np.array([0.0, *_discounts(counts)])[counts.clip(max=3)]
    total, taken = (np.bincount(context, weights, minlength=contexts) for weights in (counts, discount))
    rest = np.divide(taken, total, out=np.ones(contexts), where=total > 0)
    share = np.divide(counts - discount, total[context], out=np.zeros(len(keys)), where=counts > 0)
    return _Order(keys, share, rest)


def _discounts(counts: Ids) -> tuple[float, float, float]:
    """D1, D2 and D3+ (Chen & Goodman 1999, equation 26), from how many n-grams have count 1, 2, 3 and 4.

    A discount of 0 would leave unseen words nothing, one above the count is none.
    """
    ones, twos, threes, fours = np.bincount(counts.clip(max=5), minlength=5)[1:5].tolist()
    if not (ones and twos and threes):
        return FALLBACK
    y = ones / (ones + 2 * twos)
    found = 1 - 2 * y * twos / ones, 2 - 3 * y * threes / twos, 3 - 4 * y * fours / threes
    return found if all(0 < d <= i for i, d in enumerate(found, 1)) else FALLBACK

"""The n-gram model: the definition, word for word, and a proper distribution."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from seqvae_cli.data.tokenizer import BOS, EOS, UNK
from seqvae_cli.errors import DataError
from seqvae_cli.evaluation.ngrams import KneserNey

A, B, C = 4, 5, 6
TINY = [[A, B], [A, C]]


def text(seed: int, sentences: int = 150, words: int = 12) -> list[list[int]]:
    """Sentences of 0 to 6 words, the first ones common, the last ones rare."""
    random = np.random.default_rng(seed)
    weights = 1 / np.arange(1, words + 1) ** 1.5
    lengths = random.integers(0, 7, sentences)
    return [(4 + random.choice(words, n, p=weights / weights.sum())).tolist() for n in lengths]


class Definition:
    """Interpolated modified Kneser-Ney as the papers write it: sums over all n-grams, one word at a time."""

    def __init__(self, sentences: Sequence[Sequence[int]], vocabulary: int, order: int) -> None:
        self.vocabulary, self.order = vocabulary, order
        times: Counter[tuple[int, ...]] = Counter()
        for words in sentences:
            line = (BOS, *words, EOS)
            times.update(line[i : i + n] for n in range(1, order + 1) for i in range(len(line) - n + 1))
        before: Counter[tuple[int, ...]] = Counter(gram[1:] for gram in times)
        self.count = {g: before[g] if len(g) < order and g[0] != BOS else times[g] for g in times if g != (BOS,)}

    def discount(self, count: int, n: int) -> float:
        if not count:
            return 0
        have = Counter(value for gram, value in self.count.items() if len(gram) == n)
        if not have[1] * have[2] * have[3]:
            return min(count, 3) / 2
        y = have[1] / (have[1] + 2 * have[2])
        found = [i - (i + 1) * y * have[i + 1] / have[i] for i in (1, 2, 3)]
        return found[min(count, 3) - 1] if all(d > 0 for d in found) else min(count, 3) / 2

    def p(self, word: int, context: tuple[int, ...]) -> float:
        shorter = self.p(word, context[1:]) if context else 1 / (self.vocabulary - 2)
        n = len(context) + 1
        follow = {g[-1]: count for g, count in self.count.items() if len(g) == n and g[:-1] == context}
        if not follow:
            return shorter
        taken = sum(self.discount(count, n) for count in follow.values())
        own = follow.get(word, 0)
        return (own - self.discount(own, n) + taken * shorter) / sum(follow.values())

    def log_probs(self, sentences: Sequence[Sequence[int]]) -> list[float]:
        lines = [(BOS, *words, EOS) for words in sentences]
        return [
            math.log(self.p(line[i], line[max(0, i - self.order + 1) : i]))
            for line in lines
            for i in range(1, len(line))
        ]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_definition(order: int, seed: int) -> None:
    train, other = text(seed), [*text(seed + 10, 12, 20), [], [UNK, UNK, 4, 4, 4, 4, 4, 4]]
    model, definition = KneserNey.fit(train, 30, order), Definition(train, 30, order)
    np.testing.assert_allclose(model.token_log_probs(other), definition.log_probs(other), rtol=1e-9)
    np.testing.assert_allclose(model.token_log_probs(train[:10]), definition.log_probs(train[:10]), rtol=1e-9)


def test_the_text_above_has_orders_with_estimated_and_with_given_discounts() -> None:
    definition = Definition(text(0), 30, 3)
    estimated = [abs(definition.discount(1, n) - 0.5) > 1e-6 for n in (1, 2, 3)]
    assert any(estimated)
    assert not all(estimated)


def test_bigrams_by_hand() -> None:
    """Discounts 0.5, 1, 1.5 throughout, 5 words to predict.

    Words: a, b and c follow one token each, the end follows two: (1 - 0.5) / 5 + 0.5 / 5 = 0.2 for each of the three,
    (2 - 1) / 5 + 0.1 = 0.3 for the end, 0.1 for a word never seen.
    """
    model = KneserNey.fit(TINY, 7, order=2)
    p = np.exp(model.token_log_probs([[A, B], [UNK, A], []]))
    first, unknown, empty = p[:3], p[3:6], p[6:]
    assert first == pytest.approx([(2 - 1) / 2 + 0.5 * 0.2, (1 - 0.5) / 2 + 0.5 * 0.2, (1 - 0.5) / 1 + 0.5 * 0.3])
    assert unknown == pytest.approx([0.5 * 0.1, 0.2, 0.5 * 0.3])  # what follows <unk> is not known: single words
    assert empty == pytest.approx([0.5 * 0.3])
    assert model.perplexity([[A, B]]) == pytest.approx((0.6 * 0.35 * 0.65) ** (-1 / 3))


def test_discounts_by_hand() -> None:
    """Four words once (the end one of them), two twice, one three times, one four times: Y = 4 / 8."""
    model = KneserNey.fit([[4, 5, 6, *[7] * 2, *[8] * 2, *[9] * 3, *[10] * 4]], 12, order=1)
    base = (4 * 0.5 + 2 * 1.25 + 2 * 1.0) / 15 / 10
    p = np.exp(model.token_log_probs([[4, 7, 9, 10, 11]]))
    counted = np.array([1 - 0.5, 2 - 1.25, 3 - 1.0, 4 - 1.0, 0, 1 - 0.5]) / 15
    assert p == pytest.approx(counted + base)


@pytest.mark.parametrize("context", [[], [4], [4, 4, 5, 4, 4, 6], [29, 4, 28], [UNK] * 6, [15, 14, 13]])
def test_it_is_a_distribution_after_every_context(context: list[int]) -> None:
    model = KneserNey.fit(text(3), 30)
    words = [UNK, *range(4, 30)]
    p = [float(np.exp(model.token_log_probs([[*context, word]])[-2])) for word in words]
    p.append(float(np.exp(model.token_log_probs([context])[-1])))
    assert sum(p) == pytest.approx(1, abs=1e-12)
    assert min(p) > 0


def test_nothing_reaches_from_one_sentence_into_another() -> None:
    model, other = KneserNey.fit(text(4), 30), text(5, 20)
    alone = np.concatenate([model.token_log_probs([words]) for words in other])
    assert np.array_equal(model.token_log_probs(other), alone)
    turned = KneserNey.fit([np.array(words, dtype=np.int64) for words in reversed(text(4))], 30)
    assert np.array_equal(turned.token_log_probs(other), model.token_log_probs(other))


def test_perplexity_counts_the_end_of_each_sentence() -> None:
    model, other = KneserNey.fit(text(6), 30), text(7)
    log_p = model.token_log_probs(other)
    assert len(log_p) == sum(len(words) + 1 for words in other)
    assert model.perplexity(other) == pytest.approx(math.exp(-log_p.sum() / len(log_p)))


def test_longer_contexts_tell_what_shorter_ones_cannot() -> None:
    pattern = [[4 + (start + i) // 2 % 2 for i in range(20)] for start in range(4)]  # 4 4 5 5 4 4 5 5
    one, two, three = (KneserNey.fit(pattern, 11, order).perplexity(pattern) for order in (1, 2, 3))
    assert min(one, two) > 2
    assert three < 1.5


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="at least one sentence"):
        KneserNey.fit([], 7)
    with pytest.raises(DataError, match=r"outside 0\.\.6"):
        KneserNey.fit([[4, 7]], 7)
    with pytest.raises(DataError, match=r"outside 0\.\.6"):
        KneserNey.fit(TINY, 7).perplexity([[-1]])

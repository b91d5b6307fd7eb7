"""An engine for finite probabilistic grammars of any language: sampling, exact probabilities, exact entropy."""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate


class Choice:
    """A nonterminal: a weighted choice between sequences of terminals (`str`) and further choices.

    Weights are normalised. A terminal with blanks stands for several. A choice is built from existing parts, so a
    grammar has no recursion and its language is finite.
    """

    def __init__(self, *alternatives: tuple[float, Sequence[str | Choice]]) -> None:
        used = [(weight, tuple(_terminals(symbols))) for weight, symbols in alternatives if weight > 0]
        total = math.fsum(weight for weight, _ in used)
        self.alternatives = tuple((weight / total, symbols) for weight, symbols in used)
        self.cumulative = list(accumulate(probability for probability, _ in self.alternatives))[:-1]
        self._starting: dict[str, tuple[tuple[float, tuple[str | Choice, ...]], ...]] = {}
        # Most of parsing is choices between single words, so these get a lookup table.
        self.words: dict[str, float] | None = {}
        for probability, symbols in self.alternatives:
            if len(symbols) != 1 or not isinstance(symbols[0], str):
                self.words = None
                break
            self.words[symbols[0]] = self.words.get(symbols[0], 0.0) + probability
        self.nullable = any(_nullable(symbols) for _, symbols in self.alternatives)

    def starting(self, word: str) -> tuple[tuple[float, tuple[str | Choice, ...]], ...]:
        """The alternatives that can begin with `word` or be empty."""
        found = self._starting.get(word)
        if found is None:
            found = tuple(a for a in self.alternatives if _nullable(a[1]) or _can_start(a[1], word))
            self._starting[word] = found
        return found


def _terminals(symbols: Sequence[str | Choice]) -> Iterator[str | Choice]:
    for symbol in symbols:
        if isinstance(symbol, str):
            yield from symbol.split()
        else:
            yield symbol


def _nullable(symbols: Sequence[str | Choice]) -> bool:
    return all(isinstance(symbol, Choice) and symbol.nullable for symbol in symbols)


def _can_start(symbols: Sequence[str | Choice], word: str) -> bool:
    for symbol in symbols:
        if isinstance(symbol, str):
            return symbol == word
        if any(_can_start(alternative, word) for _, alternative in symbol.starting(word)):
            return True
        if not symbol.nullable:
            return False
    return False


class Grammar:
    """A distribution over the sentences of `root`; each alternative of `root` is one setting of the factors."""

    def __init__(self, root: Choice) -> None:
        self.root = root
        self.choices = _topological(root)
        reach = dict.fromkeys(self.choices, 0)
        self._masks: dict[str, int] = {}
        for index, (_, symbols) in enumerate(root.alternatives):
            self._mark(symbols, 1 << index, reach)
        for choice in self.choices[1:]:
            for _, symbols in choice.alternatives:
                self._mark(symbols, reach[choice], reach)

    def _mark(self, symbols: Sequence[str | Choice], mask: int, reach: dict[Choice, int]) -> None:
        for symbol in symbols:
            if isinstance(symbol, str):
                self._masks[symbol] = self._masks.get(symbol, 0) | mask
            else:
                reach[symbol] |= mask

    @property
    def vocabulary(self) -> frozenset[str]:
        """All word types of the language."""
        return frozenset(self._masks)

    def sample(self, rng: random.Random) -> tuple[tuple[str, ...], float, int]:
        """Words, probability of their derivation, index of the root's alternative."""
        uniform = rng.random
        index = bisect(self.root.cumulative, uniform())
        probability, symbols = self.root.alternatives[index]
        words: list[str] = []
        stack = list(reversed(symbols))
        while stack:
            symbol = stack.pop()
            if isinstance(symbol, str):
                words.append(symbol)
            else:
                share, symbols = symbol.alternatives[bisect(symbol.cumulative, uniform())]
                probability *= share
                stack.extend(symbols[::-1])
        return tuple(words), probability, index

    def parse(self, words: Sequence[str]) -> dict[int, float]:
        """Joint probability of `words` and each alternative of the root that yields them, over all derivations."""
        mask = (1 << len(self.root.alternatives)) - 1
        for word in words:
            mask &= self._masks.get(word, 0)
        chart: dict[tuple[Choice, int], dict[int, float]] = {}
        found = {}
        while mask:
            index = (mask & -mask).bit_length() - 1
            mask &= mask - 1
            share, symbols = self.root.alternatives[index]
            probability = share * _inside(symbols, 0, words, chart).get(len(words), 0.0)
            if probability > 0:
                found[index] = probability
        return found

    def log_prob(self, words: Sequence[str]) -> float:
        """Exact log p(words) in nats, over all derivations; -inf outside the language."""
        probability = math.fsum(self.parse(words).values())
        return math.log(probability) if probability > 0 else -math.inf

    def derivation_entropy(self) -> float:
        """Entropy of derivations in nats; that of sentences, too, where the grammar is unambiguous.

        H(choice) = sum over alternatives of p (-log p + sum over their symbols of H).
        """
        entropies: dict[Choice, float] = {}
        for choice in reversed(self.choices):
            entropies[choice] = math.fsum(
                p * (math.fsum(entropies[s] for s in symbols if isinstance(s, Choice)) - math.log(p))
                for p, symbols in choice.alternatives
            )
        return entropies[self.root]

    def lengths(self) -> tuple[int, int, float]:
        """Shortest, longest and mean length of a sentence in tokens."""
        known: dict[Choice, tuple[int, int, float]] = {}
        for choice in reversed(self.choices):
            parts = [[(1, 1, 1.0) if isinstance(s, str) else known[s] for s in ss] for _, ss in choice.alternatives]
            known[choice] = (
                min(sum(low for low, _, _ in part) for part in parts),
                max(sum(high for _, high, _ in part) for part in parts),
                math.fsum(
                    a[0] * sum(mean for _, _, mean in p) for a, p in zip(choice.alternatives, parts, strict=True)
                ),
            )
        return known[self.root]


def _topological(root: Choice) -> list[Choice]:
    """Every choice under `root`, each before its parts."""
    order: list[Choice] = []
    seen: set[Choice] = set()

    def visit(choice: Choice) -> None:
        seen.add(choice)
        for _, symbols in choice.alternatives:
            for symbol in symbols:
                if isinstance(symbol, Choice) and symbol not in seen:
                    visit(symbol)
        order.append(choice)

    visit(root)
    return order[::-1]


def _inside(
    symbols: Sequence[str | Choice],
    start: int,
    words: Sequence[str],
    chart: dict[tuple[Choice, int], dict[int, float]],
) -> dict[int, float]:
    """Probability that `symbols` yield words[start:end], by end."""
    ends = {start: 1.0}
    for symbol in symbols:
        reached: dict[int, float] = {}
        for middle, probability in ends.items():
            word = words[middle] if middle < len(words) else ""
            if isinstance(symbol, str):
                if symbol == word:
                    reached[middle + 1] = reached.get(middle + 1, 0.0) + probability
                continue
            if symbol.words is not None:
                inner = symbol.words.get(word)
                if inner is not None:
                    reached[middle + 1] = reached.get(middle + 1, 0.0) + probability * inner
                continue
            spans = chart.get((symbol, middle))
            if spans is None:
                spans = {}
                for share, alternative in symbol.starting(word):
                    for end, inner in _inside(alternative, middle, words, chart).items():
                        spans[end] = spans.get(end, 0.0) + share * inner
                chart[symbol, middle] = spans
            for end, inner in spans.items():
                reached[end] = reached.get(end, 0.0) + probability * inner
        if not reached:
            return reached
        ends = reached
    return ends

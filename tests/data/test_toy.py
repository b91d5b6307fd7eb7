"""The toy corpus: the grammar engine, exact log-probabilities and entropy, factors, and unambiguity."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterable

import pytest

from seqvae_cli.data.toy import inflection, language, lexicon
from seqvae_cli.data.toy.grammar import Choice, Grammar
from tests.faults.matrix import FULL

Symbols = tuple[str | Choice, ...]

SETTINGS = [
    dict(zip(language.FACTORS, values, strict=True)) for values in itertools.product(*language.FACTORS.values())
]

STRIDE = 1 if FULL else 12
"""The proof of unambiguity checks every twelfth case, to save time, and all of them in full: make faults."""


@pytest.fixture(scope="module")
def sentences() -> list[language.ToySentence]:
    return list(language.generate(20_000, seed=5))


@pytest.fixture(scope="module")
def log_probs(sentences: list[language.ToySentence]) -> list[float]:
    return [language.log_prob(sentence.words) for sentence in sentences[: 20_000 if FULL else 2_000]]


# The engine, on grammars small enough to check by hand.


def test_engine_on_a_grammar_of_known_entropy() -> None:
    noun = Choice((1, ["dogs"]), (1, ["cats"]), (2, ["big birds"]))
    grammar = Grammar(Choice((3, [noun, "sleep"]), (1, [noun, "chase", noun])))
    assert grammar.derivation_entropy() == pytest.approx(math.log(4) - 0.75 * math.log(3) + 1.25 * 1.5 * math.log(2))
    assert grammar.log_prob(["dogs", "chase", "big", "birds"]) == pytest.approx(math.log(0.25 * 0.25 * 0.5))
    assert grammar.lengths()[:2] == (2, 5)
    assert grammar.lengths()[2] == pytest.approx(0.75 * 2.5 + 0.25 * 4)
    assert grammar.vocabulary == {"dogs", "cats", "big", "birds", "sleep", "chase"}


def test_log_prob_sums_over_all_derivations() -> None:
    left = Choice((1, ["a"]), (1, ["a a"]), (2, []))
    right = Choice((1, ["a"]), (3, ["a a"]))
    grammar = Grammar(Choice((1, [left, right]), (1, ["b"])))
    # "a a" is a + a (1/4 * 1/4) or nothing + a a (1/2 * 3/4); "a a a" is a + a a or a a + a.
    assert grammar.log_prob(["a", "a"]) == pytest.approx(math.log(0.5 * (1 / 16 + 3 / 8)))
    assert grammar.log_prob(["a", "a", "a"]) == pytest.approx(math.log(0.5 * (3 / 16 + 1 / 16)))
    strings = [["b"], *(["a"] * n for n in range(1, 5))]
    assert math.fsum(math.exp(grammar.log_prob(words)) for words in strings) == pytest.approx(1)
    assert find_ambiguity(grammar.root) is not None


def test_log_prob_sums_over_the_root_and_a_repeated_word() -> None:
    word = Choice((1, ["a"]), (1, ["a"]), (2, ["b"]))
    grammar = Grammar(Choice((1, [word]), (1, ["a"])))
    assert grammar.parse(["a"]) == pytest.approx({0: 0.25, 1: 0.5})
    assert grammar.log_prob(["a"]) == pytest.approx(math.log(0.75))


def test_samples_follow_the_probabilities_of_the_grammar() -> None:
    grammar = Grammar(Choice((1, ["a"]), (2, ["b"]), (5, ["c"])))
    rng = random.Random(0)
    counts = Counter(grammar.sample(rng)[0] for _ in range(8000))
    for word, probability in (("a", 1 / 8), ("b", 2 / 8), ("c", 5 / 8)):
        assert abs(counts[(word,)] / 8000 - probability) < 4 * math.sqrt(probability * (1 - probability) / 8000)


# The corpus.


def test_weights_are_normalised() -> None:
    for choice in language.grammar().choices:
        assert math.fsum(p for p, _ in choice.alternatives) == pytest.approx(1, abs=1e-12)
        assert min(p for p, _ in choice.alternatives) > 0


def test_sentences_have_4_to_20_tokens(sentences: list[language.ToySentence]) -> None:
    shortest, longest, mean = language.grammar().lengths()
    assert (shortest, longest) == (4, 20)
    lengths = [len(sentence.words) for sentence in sentences]
    assert min(lengths) >= 4
    assert max(lengths) <= 20
    assert abs(sum(lengths) / len(lengths) - mean) < 0.1


def test_words_are_lower_case_tokens(sentences: list[language.ToySentence]) -> None:
    for words in (sentence.words for sentence in sentences):
        assert " ".join(words).lower().split() == list(words)
        assert words[-1] in {".", "?"}
        assert not {".", "?"} & set(words[:-1])


def test_nearly_all_word_types_occur(sentences: list[language.ToySentence]) -> None:
    vocabulary = language.grammar().vocabulary
    seen = {word for sentence in sentences for word in sentence.words}
    assert seen <= vocabulary
    assert 800 <= len(vocabulary) <= 2500
    assert len(seen) > 0.98 * len(vocabulary)


def test_log_prob_equals_that_of_the_derivation() -> None:
    grammar, rng = language.grammar(), random.Random(11)
    for _ in range(1000):
        words, probability, index = grammar.sample(rng)
        assert grammar.log_prob(words) == pytest.approx(math.log(probability), abs=1e-9)
        assert set(grammar.parse(words)) == {index}


def test_mean_negative_log_prob_is_the_entropy(log_probs: list[float]) -> None:
    count = len(log_probs)
    mean = -math.fsum(log_probs) / count
    variance = math.fsum((-value - mean) ** 2 for value in log_probs) / (count - 1)
    assert 28 <= language.entropy() <= 40
    assert abs(mean - language.entropy()) < 4 * math.sqrt(variance / count)


def test_log_prob_is_minus_infinity_outside_the_language(sentences: list[language.ToySentence]) -> None:
    rng = random.Random(2)
    assert language.log_prob(()) == -math.inf
    assert language.log_prob(("zebra", "fell", "sharply", ".")) == -math.inf
    for sentence in sentences[:300]:
        words = list(sentence.words)
        assert language.log_prob(words[:-1]) == -math.inf
        assert language.log_prob([*words, "."]) == -math.inf
        assert language.log_prob(words[1:-1]) == -math.inf
        rng.shuffle(words)
        if words[-1] not in {".", "?"}:
            assert language.log_prob(words) == -math.inf


@pytest.mark.parametrize(
    "text",
    [
        "shares did not falls sharply .",
        "a senator reject the bill .",
        "the senators rejects the bill .",
        "a amendment was rejected .",
        "did the senator rejected the bill ?",
        "the senator will reject the bill last week .",
    ],
)
def test_ungrammatical_sentences_have_probability_zero(text: str) -> None:
    assert language.log_prob(text.split()) == -math.inf


def test_grammatical_sentences_have_positive_probability() -> None:
    for text in (
        "the shares fell sharply .",
        "did the senators not reject a new budget last week ?",
        "analysts said that an american airline was very worried about the outlook on monday .",
    ):
        assert math.isfinite(language.log_prob(text.split()))


def test_the_seed_decides_the_sentences() -> None:
    first = list(language.generate(50, seed=1))
    assert list(language.generate(80, seed=1))[:50] == first
    assert list(language.generate(50, seed=2)) != first


def test_generation_is_lazy() -> None:
    assert len(list(itertools.islice(language.generate(10**12, seed=0), 3))) == 3


def test_every_factor_value_occurs_and_is_recovered(sentences: list[language.ToySentence]) -> None:
    for name, values in language.FACTORS.items():
        assert {sentence.factors[name] for sentence in sentences} == set(values)
    for sentence in sentences[:2000]:
        assert list(sentence.factors) == list(language.FACTORS)
        assert language.infer_factors(sentence.words) == sentence.factors
    assert language.infer_factors(["nonsense"]) is None


def test_lists_of_words_have_no_duplicates() -> None:
    texts: list[str] = [lexicon.PLACES, lexicon.SURNAMES, lexicon.DAYS, lexicon.MONTHS]
    groups = (*lexicon.TOPICS.values(), lexicon.EAGERNESS, lexicon.FEELINGS, lexicon.REACTIONS, lexicon.INTENTIONS)
    for group in groups:
        for field in group:
            texts += [field] if isinstance(field, str) else list(field)
    for text in texts:
        assert len(set(lexicon.entries(text))) == len(lexicon.entries(text)), text


@pytest.mark.parametrize(
    ("entry", "forms"),
    [
        ("back", ("back", "backs", "backed", "backed")),
        ("study", ("study", "studies", "studied", "studied")),
        ("enjoy", ("enjoy", "enjoys", "enjoyed", "enjoyed")),
        ("fall/fell apart", ("fall apart", "falls apart", "fell apart", "fell apart")),
        ("overcome/overcame/overcome", ("overcome", "overcomes", "overcame", "overcome")),
        ("dismiss", ("dismiss", "dismisses", "dismissed", "dismissed")),
        ("go/went ahead", ("go ahead", "goes ahead", "went ahead", "went ahead")),
    ],
)
def test_verb_forms(entry: str, forms: tuple[str, ...]) -> None:
    assert tuple(inflection.inflect(entry, form) for form in ("base", "third", "past", "participle")) == forms


def test_noun_forms_and_articles() -> None:
    assert [
        inflection.decline(noun, "plural") for noun in ("party", "fisherman/fishermen", "coach", "city", "day")
    ] == [
        "parties",
        "fishermen",
        "coaches",
        "cities",
        "days",
    ]
    assert [inflection.article(w) for w in ("union", "honest", "american", "european", "bill")] == [
        "a",
        "an",
        "an",
        "a",
        "a",
    ]


# Unambiguity from the structure of the grammar; a proof for the whole language if STRIDE is 1.


class Paths:
    """Chains of symbols left to read; equal chains are one shared object."""

    def __init__(self) -> None:
        self._links: dict[tuple[str | Choice, int], tuple[str | Choice, Path]] = {}
        self._heads: dict[int, list[tuple[frozenset[str], Path]]] = {}
        self._meets: dict[tuple[int, int], frozenset[str]] = {}

    def push(self, symbols: Symbols, rest: Path) -> Path:
        for symbol in reversed(symbols):
            rest = self._links.setdefault((symbol, id(rest)), (symbol, rest))
        return rest

    def heads(self, path: Path) -> list[tuple[frozenset[str], Path]]:
        """Sets of first words, each with the chain left after them; the word "" stands for the end."""
        if path is None:
            return [(frozenset({""}), None)]
        known = self._heads.get(id(path))
        if known is None:
            symbol, rest = path
            if isinstance(symbol, str):
                known = [(frozenset({symbol}), rest)]
            elif symbol.words is not None:
                known = [(frozenset(symbol.words), rest)]
            else:
                merged: dict[int, tuple[frozenset[str], Path]] = {}
                for _, symbols in symbol.alternatives:
                    for words, left in self.heads(self.push(symbols, rest)):
                        merged[id(left)] = (merged.get(id(left), (frozenset[str](), None))[0] | words, left)
                known = list(merged.values())
            self._heads[id(path)] = known
        return known

    def meet(self, one: Path, other: Path) -> frozenset[str]:
        """The next words of the longer string, where a string of one path is a prefix of a string of the other.

        Empty if there is no such prefix; contains "" if the paths share a string.
        """
        if one is None or other is None:
            left = other if one is None else one
            return frozenset[str]().union(*(words for words, _ in self.heads(left)))
        key = (min(id(one), id(other)), max(id(one), id(other)))
        known = self._meets.get(key)
        if known is None:
            known = frozenset()
            for words, rest in self.heads(one):
                for others, left in self.heads(other):
                    if words.isdisjoint(others):
                        continue
                    known |= frozenset({""}) if "" in words else self.meet(rest, left)
            for ended, longer in ((one, other), (other, one)):
                if any("" in words for words, _ in self.heads(ended)):
                    known |= frozenset[str]().union(*(words for words, _ in self.heads(longer)))
            self._meets[key] = known
        return known


Path = tuple[str | Choice, "Path"] | None


def following(root: Choice) -> dict[Choice, set[str]]:
    """The words that can come after each choice; "" is the end of the sentence."""
    grammar = Grammar(root)
    starts: dict[Choice, set[str]] = {}

    def first(symbols: Symbols, after: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for symbol in symbols:
            if isinstance(symbol, str):
                return found | {symbol}
            found |= starts[symbol]
            if not symbol.nullable:
                return found
        return found | set(after)

    for choice in reversed(grammar.choices):
        starts[choice] = set().union(*(first(symbols, ()) for _, symbols in choice.alternatives))
    follow: dict[Choice, set[str]] = {choice: set() for choice in grammar.choices}
    follow[root] = {""}
    for choice in grammar.choices:
        for _, symbols in choice.alternatives:
            for position, symbol in enumerate(symbols):
                if isinstance(symbol, Choice):
                    follow[symbol] |= first(symbols[position + 1 :], follow[choice])
    return follow


def find_ambiguity(root: Choice, within: Iterable[Choice] | None = None) -> list[str] | None:
    """Two alternatives of a choice that could derive the same sentence, given one word of context; else None.

    Two derivations of a sentence first differ at one choice. There the string of one alternative is a prefix of the
    other's, which continues with a word that may follow the choice. If no choice has such a pair, no sentence has two
    derivations.
    """
    follow, paths = following(root), Paths()
    for choice in follow if within is None else within:
        if choice.words is not None:
            if len(choice.words) < len(choice.alternatives):
                return ["repeated", *choice.words]
            continue
        chains = [paths.push(symbols, None) for _, symbols in choice.alternatives]
        for one, other in itertools.combinations(chains, 2):
            clash = paths.meet(one, other) & (follow[choice] | {""})
            if clash:
                return [str(one)[:200], str(other)[:200], *sorted(clash)]
    return None


def productive(choices: list[Choice], words: frozenset[str]) -> set[Choice]:
    """The choices that yield some string of `words` alone; `choices` lists each before its parts."""
    able: set[Choice] = set()
    for choice in reversed(choices):
        for _, symbols in choice.alternatives:
            if all(symbol in words if isinstance(symbol, str) else symbol in able for symbol in symbols):
                able.add(choice)
                break
    return able


def test_the_checker_finds_ambiguity() -> None:
    optional = Choice((1, ["a"]), (1, []))
    assert find_ambiguity(Choice((1, [optional, "b"]), (1, ["c"]))) is None
    assert find_ambiguity(Choice((1, [optional, "a"]), (1, ["c"]))) is not None
    assert find_ambiguity(Choice((1, ["a", optional]), (1, ["a a"]))) is not None
    assert find_ambiguity(Choice((1, ["a", optional]), (1, ["b a"]))) is None


def test_no_sentence_has_two_derivations_within_its_factors() -> None:
    root, *choices = language.grammar().choices
    assert find_ambiguity(root, choices[::STRIDE]) is None


def test_form_polarity_and_future_show_in_single_words() -> None:
    for setting, (_, symbols) in zip(SETTINGS, language.grammar().root.alternatives, strict=True):
        part = Grammar(Choice((1, symbols)))
        wanted = {"?": setting["form"] == "question", ".": setting["form"] == "statement"}
        wanted |= {"not": setting["polarity"] == "negated", "will": setting["tense"] == "future"}
        for word, present in wanted.items():
            if present:
                assert part.root not in productive(part.choices, part.vocabulary - {word})
            else:
                assert word not in part.vocabulary


def test_no_sentence_has_two_settings_of_factors() -> None:
    """Pairs that the previous test leaves open: their shared words do not suffice, or they share no string."""

    def group(setting: dict[str, str]) -> tuple[str, str, bool]:
        return setting["form"], setting["polarity"], setting["tense"] == "future"

    symbols = [symbols for _, symbols in language.grammar().root.alternatives]
    parts = [Grammar(Choice((1, own))) for own in symbols]
    pairs = [
        (i, j) for i, j in itertools.combinations(range(len(SETTINGS)), 2) if group(SETTINGS[i]) == group(SETTINGS[j])
    ]
    assert len(pairs) == 12_744
    paths = Paths()
    for i, j in pairs[:: 1 if STRIDE == 1 else 10 * STRIDE]:
        shared = parts[i].vocabulary & parts[j].vocabulary
        if all(part.root in productive(part.choices, shared) for part in (parts[i], parts[j])):
            assert "" not in paths.meet(paths.push(symbols[i], None), paths.push(symbols[j], None))

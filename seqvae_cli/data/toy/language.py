"""The built-in corpus: newswire-like English from a small probabilistic grammar whose entropy is known exactly.

A sentence is drawn in two steps: its hidden factors (`FACTORS`), then its words given them. The grammar is finite and
unambiguous: every sentence has one derivation, so that the entropy of derivations is the entropy of sentences. No model
of the corpus can have a lower mean negative log-likelihood than `entropy()`.

Sentiment ignores negation: "did not collapse" is negative. Number is that of the subject.

The engine is in `grammar`, the words are in `lexicon`, their forms in `inflection`. Raise `VERSION` with every change
to the sentences or their probabilities: corpora of another version come from another source.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

from seqvae_cli.data.toy import inflection, lexicon
from seqvae_cli.data.toy.grammar import Choice, Grammar

VERSION = 1

FACTORS: dict[str, tuple[str, ...]] = {
    "topic": tuple(lexicon.TOPICS),
    "sentiment": ("neutral", "positive", "negative"),
    "tense": ("past", "present", "future"),
    "number": ("singular", "plural"),
    "form": ("statement", "question"),
    "polarity": ("affirmative", "negated"),
}
"""Names and values of the hidden factors."""


@dataclass(frozen=True)
class ToySentence:
    """A sentence (4 to 20 lower-case tokens, the last "." or "?") and the hidden factors it was drawn with."""

    words: tuple[str, ...]
    factors: dict[str, str]


class _Setting(NamedTuple):
    """One value of every factor, in the order of `FACTORS`."""

    topic: str
    sentiment: str
    tense: str
    number: str
    form: str
    polarity: str

    @property
    def words(self) -> lexicon.Topic:
        return lexicon.TOPICS[self.topic]


# Percentages of the factors' values, in the order of `FACTORS`: of topics; of sentiment, tense and number given the
# topic; of form given the tense; of polarity given the form.
_TOPIC = {"politics": 20, "markets": 22, "sport": 18, "weather": 14, "science": 12, "courts": 14}
_SENTIMENT = {
    "politics": (30, 32, 38), "markets": (20, 38, 42), "sport": (26, 42, 32),
    "weather": (34, 26, 40), "science": (36, 40, 24), "courts": (40, 26, 34),
}  # fmt: skip
_TENSE = {
    "politics": (54, 24, 22), "markets": (60, 20, 20), "sport": (60, 18, 22),
    "weather": (44, 22, 34), "science": (46, 34, 20), "courts": (58, 22, 20),
}  # fmt: skip
_NUMBER = {
    "politics": (60, 40), "markets": (40, 60), "sport": (62, 38),
    "weather": (45, 55), "science": (50, 50), "courts": (65, 35),
}  # fmt: skip
_FORM = {"past": (84, 16), "present": (82, 18), "future": (74, 26)}
_POLARITY = {"statement": (86, 14), "question": (80, 20)}

# Percentages of clauses: transitive, passive, intransitive, copular, with an infinitive.
_CLAUSES = {
    "politics": (36, 16, 18, 14, 16), "markets": (26, 12, 40, 12, 10), "sport": (34, 10, 28, 14, 14),
    "weather": (34, 10, 30, 14, 12), "science": (32, 18, 24, 14, 12), "courts": (34, 18, 24, 12, 12),
}  # fmt: skip

# Weights of determiners; the indefinite article and the bare noun are added in `_noun_phrase`.
_DETERMINERS = {
    "singular": {"the": 6.0, "another": 0.6, "one": 0.4},
    "plural": {"the": 5.0, "some": 0.6, "many": 0.5, "several": 0.5, "two": 0.4, "most": 0.4, "three": 0.3},
}


def _factor_probability(s: _Setting) -> float:
    share = _TOPIC[s.topic] / 100
    for name, weights in (
        ("sentiment", _SENTIMENT[s.topic]),
        ("tense", _TENSE[s.topic]),
        ("number", _NUMBER[s.topic]),
        ("form", _FORM[s.tense]),
        ("polarity", _POLARITY[s.form]),
    ):
        share *= weights[FACTORS[name].index(getattr(s, name))] / 100
    return share


def _zipf(entries: Sequence[str]) -> dict[str, float]:
    """Zipf-Mandelbrot weights, 1 / (rank + 5), that sum to 1."""
    weights = [1 / (rank + 5) for rank in range(1, len(entries) + 1)]
    return {entry: weight / math.fsum(weights) for entry, weight in zip(entries, weights, strict=True)}


def _one_of(weights: Mapping[str, float]) -> Choice:
    return Choice(*((weight, [phrase]) for phrase, weight in weights.items()))


def _optional(share: float, *symbols: str | Choice) -> Choice:
    return Choice((share, symbols), (1 - share, ()))


@cache
def _phrase(text: str) -> Choice:
    return _one_of(_zipf(lexicon.entries(text)))


@cache
def _verb(text: str, form: str) -> Choice:
    return _one_of(_zipf([inflection.inflect(entry, form) for entry in lexicon.entries(text)]))


@cache
def _noun_phrase(text: str, number: str, which: bool = False, adjectives: tuple[str, ...] = ()) -> Choice:
    """Determiner, perhaps an adjective (from one of the texts `adjectives`), noun: at most 4 tokens."""
    nouns = _zipf([inflection.decline(entry, number) for entry in lexicon.entries(text)])
    described = {a: w for t in adjectives for a, w in _zipf(lexicon.entries(t)).items()}
    noun = _one_of(nouns)
    core = Choice((1, [noun]), (1, [_one_of(described), noun])) if described else noun
    if which:
        return Choice((1, ["which", core]))
    if number == "plural":
        return Choice((3, [core]), (7, [_one_of(_DETERMINERS[number]), core]))
    alternatives: list[tuple[float, Sequence[str | Choice]]] = [(7, [_one_of(_DETERMINERS[number]), core])]
    for words, after in ((nouns, []), (described, [noun])):
        for article in ("a", "an"):
            fitting = {word: weight for word, weight in words.items() if inflection.article(word) == article}
            if fitting:
                share = math.fsum(fitting.values()) / math.fsum(words.values())
                alternatives.append((3 * share / (2 if described else 1), [article, _one_of(fitting), *after]))
    return Choice(*alternatives)


@cache
def _object(text: str, adjectives: tuple[str, ...] = ()) -> Choice:
    singular, plural = (_noun_phrase(text, number, adjectives=adjectives) for number in FACTORS["number"])
    return Choice((7, [singular]), (3, [plural]))


@cache
def _time(tense: str, short: bool) -> Choice:
    """An adverbial of time: at most 2 tokens if short, else at most 3."""
    listed = _phrase((lexicon.SHORT_TIMES if short else lexicon.LONG_TIMES)[tense])
    if tense == "present":
        return listed
    day = _phrase(lexicon.DAYS)
    if short:
        return Choice((5, [listed]), (4, ["on", day]), (1.5, ["in", _phrase(lexicon.MONTHS)]))
    return Choice((6, [listed]), (3, ["on", day, _phrase("morning, afternoon, evening")]), (1, ["late on", day]))


@cache
def _cause(topic: str, sentiment: str) -> Choice:
    """An adverbial of cause: at most 4 tokens."""
    nouns = _phrase(getattr(lexicon.TOPICS[topic].causes, sentiment))
    return Choice((5, ["after", nouns]), (3, ["following", nouns]), (2, ["amid", nouns]))


@cache
def _reporter(topic: str, number: str) -> Choice:
    """The person or group quoted: a group (1 token), or a person by name (2 tokens)."""
    if number == "plural":
        return _phrase(lexicon.TOPICS[topic].reporters)
    name = _phrase(lexicon.SURNAMES)
    return Choice((3, ["mr.", name]), (1, ["mrs.", name]), (4, [_phrase(lexicon.TOPICS[topic].titles), name]))


def _clause(s: _Setting, which: bool, subject: Sequence[str | Choice], predicate: dict[str, Sequence[str | Choice]],
            copula: bool = False) -> list[str | Choice]:  # fmt: skip
    """Subject and predicate with the auxiliaries that tense, number, form and polarity require.

    `predicate` maps the form of the verb to the words after the auxiliaries; after a copula the form is "".
    """
    singular = s.number == "singular"
    negation = ["not"] if s.polarity == "negated" else []
    inverted = s.form == "question" and not which
    after = predicate.get("", ())
    if s.tense == "future":
        auxiliary, rest = "will", ["be", *after] if copula else predicate["base"]
    elif copula:
        auxiliary = {"past": ("was", "were"), "present": ("is", "are")}[s.tense][0 if singular else 1]
        rest = after
    elif inverted or negation:
        auxiliary = "did" if s.tense == "past" else "does" if singular else "do"
        rest = predicate["base"]
    else:
        return [*subject, *predicate["past" if s.tense == "past" else "third" if singular else "base"]]
    return [auxiliary, *subject, *negation, *rest] if inverted else [*subject, auxiliary, *negation, *rest]


@cache
def _body(s: _Setting, which: bool, copular: bool = True) -> Choice:
    """A main clause without its adjuncts, at most 13 tokens; with `which` it asks for its subject."""
    words, tone = s.words, s.sentiment

    def toned(texts: lexicon.Toned) -> tuple[str, ...]:
        return (texts.neutral,) if tone == "neutral" else (texts.neutral, getattr(texts, tone))

    def verbs(text: str, *rest: str | Choice, before: Sequence[Choice] = ()) -> dict[str, Sequence[str | Choice]]:
        return {form: [*before, _verb(text, form), *rest] for form in ("base", "third", "past")}

    actions = getattr(words.actions, tone)
    agent = _noun_phrase(words.agents, s.number, which, toned(words.agent_adjectives))
    theme = _noun_phrase(words.themes, s.number, which, toned(words.theme_adjectives))
    mover = _noun_phrase(words.movers, s.number, which, toned(words.mover_adjectives))
    eagerly = _optional(0.35, _phrase(getattr(lexicon.EAGERNESS, tone)))
    acted = _phrase(", ".join(inflection.inflect(v, "participle") for v in lexicon.entries(lexicon.one_word(actions))))
    doer = Choice(
        *((1, [_noun_phrase(words.agents, n, adjectives=toned(words.agent_adjectives))]) for n in FACTORS["number"])
    )
    feeling: list[str | Choice] = [
        _optional(0.4, _phrase(lexicon.DEGREES)),
        _phrase(getattr(lexicon.FEELINGS, tone)),
        _phrase(words.concerns),
    ]
    place = _phrase(lexicon.one_word(lexicon.PLACES))
    native: list[str | Choice] = [_noun_phrase(words.agents, s.number, which), "from", place]
    nearby: list[str | Choice] = [_noun_phrase(words.movers, s.number, which), "in", place]
    acting = verbs(actions, _object(words.themes))
    happening = verbs(getattr(words.events, tone), _phrase(getattr(words.manners, tone)))
    acting_fully = verbs(actions, _object(words.themes, toned(words.theme_adjectives)), before=[eagerly])
    intending = verbs(getattr(lexicon.INTENTIONS, tone), "to", _verb(actions, "base"), _object(words.themes))
    transitive, passive, intransitive, copula, infinitive = _CLAUSES[s.topic]
    return Choice(
        (0.75 * transitive, _clause(s, which, [agent], acting_fully)),
        (0.25 * transitive, _clause(s, which, native, acting)),
        (passive, _clause(s, which, [theme], {"": [acted, _optional(0.65, "by", doer)]}, copula=True)),
        (0.7 * intransitive, _clause(s, which, [mover], happening)),
        (0.3 * intransitive, _clause(s, which, nearby, happening)),
        (0.6 * copula * copular, _clause(s, which, [agent], {"": feeling}, copula=True)),
        (0.4 * copula * copular, _clause(s, which, native, {"": feeling}, copula=True)),
        (infinitive, _clause(s, which, [agent], intending)),
    )


def _pair(s: _Setting) -> list[str | Choice]:
    """A statement of two coordinated predicates, at most 17 tokens."""
    actions = getattr(s.words.actions, s.sentiment)
    link = "or" if s.polarity == "negated" else "and"
    predicate: dict[str, Sequence[str | Choice]] = {}
    for form in ("base", "third", "past"):
        verb, theme = _verb(actions, form), _noun_phrase(s.words.themes, "singular")
        predicate[form] = [verb, theme, link, verb, theme]
    return _clause(s, False, [_noun_phrase(s.words.agents, s.number)], predicate)


def _sentence(s: _Setting) -> Choice:
    """A sentence of 4 to 20 tokens: a body of at most 13, adjuncts of at most 6 (in a question 5), a stop."""
    short, long, cause = _time(s.tense, True), _time(s.tense, False), _cause(s.topic, s.sentiment)
    when: list[str | Choice] = [Choice((5, [short]), (3, [long]), (2, []))]
    where: list[str | Choice] = ["in", _phrase(lexicon.PLACES)]
    body = _body(s, False)
    if s.form == "question":
        adjunct = Choice((4, [*when, "?"]), (3, [cause, "?"]), (3, [*where, "?"]))
        return Choice(
            (55, [body, adjunct]),
            (18, ["why", body, Choice((5, [*when, "?"]), (4, [*where, "?"]))]),
            (8, ["when", _body(s, False, copular=False), "?"]),
            (19, [_body(s, True), adjunct]),
        )
    past = s.tense == "past"
    saying = lexicon.SAYING[s.tense]
    reports = [
        (share, [_reporter(s.topic, number), _verb(saying, "past" if past else form)])
        for share, number, form in ((0.6, "plural", "base"), (0.4, "singular", "third"))
    ]
    report = Choice(*reports)
    source = Choice((0.6, [_reporter(s.topic, "plural")]), (0.4, [_reporter(s.topic, "singular")]))
    reaction = _verb(getattr(lexicon.REACTIONS, s.sentiment), "past" if past else "base")
    ending = Choice(
        (20, [*when, "."]),
        (13, [*where, _optional(0.5, Choice((2, [short]), (1, [long]))), "."]),
        (12, [_optional(0.4, short), cause, "."]),
        (9, ["as", _phrase(s.words.bystanders), reaction, _phrase(s.words.concerns), "."]),
        (11, [_optional(0.6, short), ",", report, "."]),
    )
    return Choice(
        (65, [body, ending]),
        (13, [report, "that", body, _optional(0.6, short), "."]),
        (6, [Choice((2, [short]), (1, [long])), ",", body, "."]),
        (6, ["according to", source, ",", body, "."]),
        (5, [cause, ",", body, "."]),
        (5, [*_pair(s), _optional(0.5, short), "."]),
    )


@cache
def grammar() -> Grammar:
    """The grammar of the corpus; alternative i of its root has the factors `_settings()[i]`."""
    return Grammar(Choice(*((_factor_probability(s), [_sentence(s)]) for s in _settings())))


@cache
def _settings() -> tuple[_Setting, ...]:
    return tuple(_Setting(*values) for values in product(*FACTORS.values()))


def generate(count: int, seed: int) -> Iterator[ToySentence]:
    """Draws `count` independent sentences, lazily; the same seed gives the same sentences everywhere."""
    source, settings, rng = grammar(), _settings(), random.Random(seed)
    for _ in range(count):
        words, _, index = source.sample(rng)
        yield ToySentence(words, settings[index]._asdict())


def log_prob(words: Sequence[str]) -> float:
    """Exact log p(words) in nats; -inf outside the language."""
    return grammar().log_prob(words)


def entropy() -> float:
    """Exact entropy of the source in nats a sentence."""
    return grammar().derivation_entropy()


def infer_factors(words: Sequence[str]) -> dict[str, str] | None:
    """The most probable factors of a sentence, or None outside the language."""
    found = grammar().parse(words)
    return _settings()[max(found, key=lambda index: found[index])]._asdict() if found else None

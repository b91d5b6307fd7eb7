"""What is odd about a corpus: lines that are not sentences, words that are too rare, repeated and leaked sentences.

`Inspector` looks at each sentence while it is encoded. What it finds is stored in corpus.json, where it does not count
for the hash; `findings` adds what follows from the counts there.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from seqvae_cli.data import rows
from seqvae_cli.data.repeats import fingerprint
from seqvae_cli.data.segments import LOOK, PARAGRAPHS, SEVERAL, UNSPACED, WRAPPED, Shape

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FEW_LINES = 5
"""Lines below which nothing is said about what most lines have in common."""
SPACED_KINDS = ("word", "whitespace")
"""Tokenizers that need spaces between the words."""
FAR = 10, 200
"""The longest line is odd where it has over this many times the 90th percentile, and at least so many tokens."""
EXAMPLE = 80
"""Characters kept of an example."""


@dataclass(frozen=True)
class Kind:
    """A kind of finding."""

    threshold: float
    """The share from which on it is a finding."""
    text: str
    """What was found, with {count}, {of} and {share} to fill in."""
    advice: str
    """What helps."""


KINDS = {
    "json": Kind(0.5, "{count} of {of} lines ({share}) are JSON", "--format jsonl --text FIELD reads one field of it"),
    "table": Kind(
        rows.ROWS,
        "{count} of {of} lines ({share}) are rows of a table",
        "--format csv --text COLUMN reads one column of it",
    ),
    "wrapped": Kind(
        WRAPPED, "{count} of {of} lines ({share}) go on in the next line", "--sentences document joins and splits them"
    ),
    "paragraphs": Kind(
        PARAGRAPHS,
        f"{{count}} of {{of}} lines ({{share}}) hold {SEVERAL} sentences or more",
        "--sentences document splits them",
    ),
    "unspaced": Kind(
        0.5, "{count} of {of} lines ({share}) have no spaces between words", "--tokenizer char makes characters tokens"
    ),
    "long": Kind(0.0, "the longest line has {count} tokens, nine in ten at most {of}", "--max-len cuts it"),
    "rare": Kind(
        0.1, "{count} of {of} words ({share}) of train occur once", "--min-count 2, or subwords: --tokenizer bpe"
    ),
    "unknown": Kind(0.1, "{count} of {of} words ({share}) of valid and test are unknown", "subwords: --tokenizer bpe"),
    "repeated": Kind(0.05, "{count} of {of} sentences ({share}) repeat an earlier one", "--dedupe keeps one of each"),
    "leaked": Kind(
        0.05,
        "{count} of {of} held-out sentences ({share}) stand in train",
        "--dedupe: the figures of these splits are too good otherwise",
    ),
}
"""In the order in which findings are told."""

EXPLAINS = {
    "json": [kind for kind in KINDS if kind != "json"],
    "table": [kind for kind in KINDS if kind not in ("json", "table")],
    "unspaced": ("rare", "unknown"),
    "unknown": ("rare",),
}
"""Kinds of findings with those that follow from them, and are not told beside them."""


@dataclass(frozen=True)
class Finding:
    """Something odd about a corpus, with what helps."""

    kind: str
    """One of `KINDS`."""
    count: int
    """Lines, sentences or words that it is about."""
    of: int
    """Of how many."""
    example: str = ""
    """One of them, shortened; of "repeated", the most frequent one."""
    advice: str = ""
    """What helps: the flag that is meant."""

    @property
    def share(self) -> float:
        return self.count / self.of

    @property
    def text(self) -> str:
        """What was found, without the example."""
        return KINDS[self.kind].text.format(count=f"{self.count:,}", of=f"{self.of:,}", share=f"{self.share:.0%}")

    def record(self) -> dict[str, Any]:
        """What corpus.json keeps of it."""
        return {"kind": self.kind, "count": self.count, "of": self.of, "example": self.example}

    def to_json(self) -> dict[str, Any]:
        return {**self.record(), "share": round(self.share, 4), "text": self.text, "advice": self.advice}


def findings(info: dict[str, Any]) -> list[Finding]:
    """The findings of a corpus.json: those stored there and those of its counts, in the order of `KINDS`.

    Corpora prepared before there were any have those of the counts alone.
    """
    stored = [
        Finding(entry["kind"], int(entry["count"]), int(entry["of"]), str(entry["example"]))
        for entry in info.get("findings", [])
        if entry["kind"] in KINDS
    ]
    found = {finding.kind: finding for finding in [*stored, *_of_counts(info)]}
    recipe = info["recipe"]
    untold = {consequence for kind in EXPLAINS if kind in found for consequence in EXPLAINS[kind]}
    untold |= {"wrapped", "paragraphs"} if recipe.get("sentences") == "document" else set()
    untold |= {"repeated", "leaked"} if recipe.get("dedupe") else set()
    formats = {form for part in recipe.get("records", {}).get("formats", {}).values() for form in part}
    untold |= {"wrapped"} if formats and "txt" not in formats else set()  # a sentence does not go on in the next row
    return [
        replace(found[kind], advice=_advice(kind, recipe)) for kind in KINDS if kind in found and kind not in untold
    ]


def _advice(kind: str, recipe: dict[str, Any]) -> str:
    """What helps and was not done yet."""
    lower = ["--lower"] if kind in EXPLAINS["unspaced"] and not recipe["lower"] else []
    count = ["a lower --min-count"] if kind == "unknown" and recipe["min_count"] > 1 else []
    return ", ".join([*lower, *count, KINDS[kind].advice])


def _of_counts(info: dict[str, Any]) -> list[Finding]:
    splits = info["splits"]
    train, held_out = splits["train"], [splits[split] for split in splits if split != "train"]
    found = []
    if info["recipe"]["tokenizer"] in SPACED_KINDS:
        unknown, words = (sum(split[key] for split in held_out) for key in ("unknown", "words"))
        rare = info.get("once", 0) if info["recipe"]["min_count"] == 1 else 0
        found = [Finding("rare", rare, train["words"]), Finding("unknown", unknown, words)]
    longest, usual = max(split["lengths"]["max"] for split in splits.values()), train["lengths"]["p90"]
    if longest > FAR[0] * usual and longest >= FAR[1]:
        found.append(Finding("long", longest, usual))
    return [finding for finding in found if finding.of and finding.share >= KINDS[finding.kind].threshold]


class Inspector:
    """Looks at the sentences of a corpus one by one, in 8 bytes a sentence.

    tokenizer: the kind; what is said about words without spaces depends on it.
    """

    def __init__(self, tokenizer: str) -> None:
        self._spaced = tokenizer in SPACED_KINDS
        self._prints: dict[str, array[int]] = {}
        self._shape = Shape()
        self._seen: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._columns: Counter[tuple[str, int]] = Counter()

    def add(self, split: str, text: str, normalized: str) -> None:
        """Looks at the next sentence of a split: its text, and what the tokenizer makes of it before it splits it."""
        self._prints.setdefault(split, array("Q")).append(fingerprint(normalized))
        text = text.strip()
        paragraph, unfinished = self._shape.add(text)
        if paragraph:
            self._see("paragraphs", text)
        if unfinished:
            self._see("wrapped", text)
        if rows.is_json(text):
            self._see("json", text)
        if self._spaced and _is_unspaced(text):
            self._see("unspaced", text)
        if columns := rows.columns(text[:LOOK]):
            self._columns.update(columns)
            self._examples.setdefault("table", text[:EXAMPLE])

    def extend(self, later: Inspector) -> None:
        """Adds what another inspector saw of the sentences that follow."""
        for split, prints in later._prints.items():
            self._prints.setdefault(split, array("Q")).extend(prints)
        self._shape.extend(later._shape)
        self._seen.update(later._seen)
        self._columns.update(later._columns)
        self._examples = later._examples | self._examples

    def _see(self, kind: str, text: str) -> None:
        self._seen[kind] += 1
        self._examples.setdefault(kind, text[:EXAMPLE])

    def findings(self, sentence: Callable[[str, int], str]) -> list[Finding]:
        """What was found. `sentence`: the text of a sentence, by its split and its number in it."""
        return [*self._of_lines(), *self._of_repeats(sentence)]

    def _of_lines(self) -> list[Finding]:
        seen, lines = self._seen, self._shape.lines
        if lines < FEW_LINES:
            seen = Counter({kind: count for kind, count in seen.items() if kind in ("paragraphs", "unspaced")})
        elif self._columns:
            (_, seen["table"]) = self._columns.most_common(1)[0]
        if not self._shape.is_wrapped:
            del seen["wrapped"]
        kinds = [kind for kind in KINDS if seen[kind] and seen[kind] >= KINDS[kind].threshold * lines]
        return [Finding(kind, seen[kind], lines, self._examples.get(kind, "")) for kind in kinds]

    def _of_repeats(self, sentence: Callable[[str, int], str]) -> list[Finding]:
        import numpy as np  # not at the top: worker processes do without

        prints = {split: np.frombuffer(values, np.uint64) for split, values in self._prints.items()}
        found = []
        ordered = np.sort(np.concatenate(list(prints.values())))
        repeats = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(repeats) >= KINDS["repeated"].threshold * len(ordered) > 0:
            values, counts = np.unique(repeats, return_counts=True)
            example = _first(prints, values[counts.argmax()], sentence)
            found.append(Finding("repeated", len(repeats), len(ordered), example))
        ordered = np.sort(prints["train"])
        held_out = np.concatenate([ordered[:0], *(part for split, part in prints.items() if split != "train")])
        leaked = held_out[ordered.take(np.searchsorted(ordered, held_out), mode="clip") == held_out]
        if len(leaked) >= KINDS["leaked"].threshold * len(held_out) > 0:
            example = _first(prints, leaked[0], sentence)
            found.append(Finding("leaked", len(leaked), len(held_out), example))
        return found


def _first(prints: dict[str, npt.NDArray[np.uint64]], value: np.uint64, sentence: Callable[[str, int], str]) -> str:
    """The text of the first sentence with a fingerprint, shortened."""
    places = ((split, (part == value).nonzero()[0]) for split, part in prints.items())
    split, rows = next((split, rows) for split, rows in places if len(rows))
    return sentence(split, int(rows[0]))[:EXAMPLE]


_UNSPACED = re.compile(f"[{UNSPACED}]+|[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+")
"""Runs of Chinese and Japanese, whose words have about two characters; of Thai, Lao, Burmese and Khmer, four."""


def _is_unspaced(text: str) -> bool:
    """Whether a line has no spaces between its words, as far as its script and its length tell."""
    if " " not in text and "\t" not in text and len(text) > 1:
        return True
    if text.isascii():
        return False
    runs = _UNSPACED.findall(text, 0, LOOK)
    letters = sum(map(len, runs))
    usual = 10 if runs and runs[0] < "\u3000" else 3.5
    return 2 * letters > min(len(text), LOOK) and letters >= usual * len(runs)

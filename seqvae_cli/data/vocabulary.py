"""The settings of a tokenizer, and the tokenizer that they give with a training text."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from seqvae_cli.data import blocks
from seqvae_cli.data.blocks import Counting
from seqvae_cli.data.tokenizer import KINDS, SPECIALS, Tokenizer
from seqvae_cli.data.tokenizers import characters, foreign, patterns, subwords
from seqvae_cli.data.tokenizers.normalization import NORMALIZATIONS, normalized
from seqvae_cli.errors import DataError, UsageError, nearest
from seqvae_cli.system.workers import Workers

LEARNED = {"bpe": subwords.learn_bpe, "unigram": subwords.learn_unigram}
"""Kinds whose vocabulary the `tokenizers` library learns; that of the others is what occurs in the text."""


@dataclass(frozen=True)
class TokenizerSettings:
    """How text becomes tokens; `tokenizer_settings` makes and checks them."""

    kind: str = "whitespace"
    """One of `KINDS`."""
    lower: bool = False
    min_count: int = 1
    """Pieces that occur less often in the training text become `<unk>`."""
    normalize: str = "none"
    """One of `NORMALIZATIONS`."""
    vocab_size: int = subwords.VOCABULARY_SIZE
    """bpe, unigram: ids in all, at most."""
    pattern: str = ""
    """regex: the regular expression."""
    code_points: bool = False
    """char: code points in place of grapheme clusters."""
    given: Tokenizer | None = None
    """A tokenizer whose vocabulary is there already; the other settings are its own."""

    def normalized(self, text: str) -> str:
        """A text as the tokenizer sees it: lower-case where it makes it so, in one form of Unicode."""
        if self.given is not None:
            return self.given.normalized(text)
        return normalized(text, self.normalize, self.lower)

    def recipe(self) -> dict[str, Any]:
        """What the vocabulary depends on beside the text, for the recipe of a corpus."""
        found: dict[str, Any] = {"tokenizer": self.kind, "lower": self.lower, "min_count": self.min_count}
        if self.normalize != "none":
            found["normalize"] = self.normalize
        if self.given is not None:
            return found | {"vocabulary": hashlib.sha256(self.given.to_bytes()).hexdigest()}
        if self.kind in LEARNED:
            found["vocab_size"] = self.vocab_size
        if self.kind == "regex":
            found["pattern"] = self.pattern
        if self.kind == "char" and not self.code_points:
            found |= characters.GRAPHEMES
        return found

    def learn(
        self, texts: Iterable[str], max_len: int | None, workers: Workers | None = None
    ) -> tuple[Tokenizer, int, int | None]:
        """The tokenizer, the number of its pieces before rare ones are dropped, and of those counted once, if any are.

        texts: the sentences of the training split, read once; not at all where the vocabulary is given. Of each
        sentence, counted pieces are those up to `max_len`. Raises `DataError` where no piece is left.

        workers: they count; None: this process alone. The library that learns subwords uses all cores by itself.
        """
        if self.given is not None:
            return self.given, len(self.given) - len(SPECIALS), None
        if self.kind in LEARNED:
            pieces, details = LEARNED[self.kind](map(self.normalized, texts), self.vocab_size)
            found = Tokenizer(self.kind, self.lower, (*SPECIALS, *pieces), self.normalize, details)
            return found, len(pieces), None
        counts: Counter[str] = Counter()
        details = self._count(texts, max_len, counts, workers or Workers(1))
        tokenizer = Tokenizer.fit(counts, self.kind, self.lower, self.min_count, self.normalize, details)
        if len(tokenizer) == len(SPECIALS):
            raise _no_pieces(tokenizer.noun, self.min_count)
        return tokenizer, len(counts), sum(count == 1 for count in counts.values())

    def _count(
        self, texts: Iterable[str], max_len: int | None, counts: Counter[str], workers: Workers
    ) -> dict[str, Any]:
        """Counts the pieces of the texts; returns the details of the tokenizer.

        Pieces of a pattern are joined by spaces unless those of most sentences cover the spaces themselves.
        """
        details: dict[str, Any] = {}
        if self.kind == "char" and not self.code_points:
            details = dict(characters.GRAPHEMES)
        if self.kind == "regex":
            details = {"pattern": self.pattern, "spaces": True}
        tokenizer = Tokenizer(self.kind, self.lower, SPECIALS, self.normalize, details)
        sentences = covered = 0
        for found in workers.map(Counting(tokenizer, max_len), blocks.of_texts(texts)):
            counts.update(found.counts)
            sentences += found.sentences
            covered += found.covered
        return details | {"spaces": 2 * covered <= sentences} if self.kind == "regex" else details


class TokenizerOptions(TypedDict, total=False):
    """The options of `tokenizer_settings`."""

    default_kind: str
    tokenizer: str | Tokenizer | None
    lower: bool
    min_count: int
    normalize: str | None
    vocab_size: int | None
    pattern: str | None
    tokenizer_file: str | Path | None
    code_points: bool


OF_KINDS = {"vocab_size": tuple(LEARNED), "pattern": ("regex",), "tokenizer_file": ("file",)}
"""Options that go with some kinds alone."""


def tokenizer_settings(
    *,
    default_kind: str = "whitespace",
    tokenizer: str | Tokenizer | None = None,
    lower: bool = False,
    min_count: int = 1,
    normalize: str | None = None,
    vocab_size: int | None = None,
    pattern: str | None = None,
    tokenizer_file: str | Path | None = None,
    code_points: bool = False,
) -> TokenizerSettings:
    """Settings from options of `prepare`. A pattern or a file alone names the kind, too; else it is `default_kind`.

    Raises `UsageError` for values out of range, or that do not go together; `DataError` for an unusable file, and
    `MachineError` where a library is missing.
    """
    if min_count < 1:
        raise UsageError(f"min_count is {min_count}", "it must be at least 1")
    if normalize not in (None, *NORMALIZATIONS):
        raise UsageError(f"unknown normalization {str(normalize)[:40]!r}", nearest(str(normalize), NORMALIZATIONS))
    options = {"vocab_size": vocab_size, "pattern": pattern, "tokenizer_file": tokenizer_file}
    given = [option for option, value in options.items() if value is not None]
    if isinstance(tokenizer, Tokenizer):
        others = {"normalize": normalize is not None, "lower": lower, "min_count": min_count > 1}
        if refused := [*given, *(option for option, value in others.items() if value)]:
            raise UsageError(f"{_flag(refused[0])} does not go with the tokenizer of a run or corpus", "leave it out")
        return TokenizerSettings(tokenizer.kind, tokenizer.lower, normalize=tokenizer.normalize, given=tokenizer)
    form = normalize or "none"
    kind = tokenizer or ("regex" if pattern is not None else "file" if tokenizer_file is not None else default_kind)
    if kind not in KINDS:
        raise UsageError(f"unknown tokenizer {kind[:40]!r}", nearest(kind, KINDS))
    for option in given:
        if kind not in OF_KINDS[option]:
            hint = f"--tokenizer {' or '.join(OF_KINDS[option])}"
            raise UsageError(f"{_flag(option)} does not go with --tokenizer {kind}", hint)
    if min_count > 1 and kind in ("file", *LEARNED):
        raise UsageError(f"--min-count does not go with --tokenizer {kind}", "it goes with words and characters")
    if kind == "file":
        if tokenizer_file is None:
            raise UsageError("--tokenizer file needs a file", "--tokenizer-file tokenizer.json")
        parts, pieces = foreign.read(Path(tokenizer_file))
        found = Tokenizer("file", lower, (*SPECIALS, *pieces), form, {"file": parts})
        return TokenizerSettings(kind, lower, normalize=form, given=found)
    if kind in LEARNED:
        size, least, most = vocab_size, subwords.MIN_SIZE, subwords.MAX_SIZE
        if size is not None and not least <= size <= most:
            raise UsageError(
                f"vocab_size is {size}", f"it must lie in [{least}, {most:,}]: 4 special ids and 256 bytes"
            )
        subwords.library()
    expression = ""
    if kind == "regex":
        if not pattern:
            shipped = ", ".join(f"--pattern {name}" for name in patterns.PATTERNS)
            raise UsageError("--tokenizer regex needs a pattern", f"--pattern REGEX; one ships: {shipped}")
        expression = patterns.PATTERNS.get(pattern, pattern)
        try:
            patterns.compiled(expression)
        except DataError as error:
            raise UsageError(error.message, error.hint) from error
    size = vocab_size or subwords.VOCABULARY_SIZE
    return TokenizerSettings(kind, lower, min_count, form, size, expression, code_points)


def _no_pieces(noun: str, min_count: int) -> DataError:
    if min_count > 1:
        return DataError(f"no {noun} occurs {min_count} times in the training text", "lower --min-count")
    return DataError(f"the training text has no {noun} but {', '.join(SPECIALS)}", "give text that has others")


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"

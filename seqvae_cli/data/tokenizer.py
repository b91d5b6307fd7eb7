"""Text to token ids and back. Knows nothing about files of text or batches.

Four ids are special in every vocabulary. Encoded text never contains `<bos>` and `<eos>`; callers add them. The written
words "<pad>", "<bos>" and "<eos>" are encoded as `<unk>`, so that no input can end a sentence.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqvae_cli.data.tokenizers import characters, foreign, patterns, subwords
from seqvae_cli.data.tokenizers import words as raw_words
from seqvae_cli.data.tokenizers.normalization import NORMALIZATIONS, normalized
from seqvae_cli.data.tokenizers.rules import BOS, EOS, PAD, SPECIALS, UNK, Kind, Rule, split_at_spaces, without_space
from seqvae_cli.errors import UPGRADE, DataError
from seqvae_cli.system import files, json_files

__all__ = ["BOS", "EOS", "KINDS", "PAD", "SPECIALS", "UNK", "Tokenizer"]

TOKENIZER_FORMAT = 2
"""1: kind, lower and words, with code points as characters. 2: also the normalization and the details of the kind."""

KINDS = {
    "word": Kind(lambda *_: Rule(raw_words.split, raw_words.join, without_space), noun="word"),
    "whitespace": Kind(lambda *_: Rule(split_at_spaces, " ".join, without_space), noun="word"),
    "char": Kind(characters.rule, ("characters",), noun="character"),
    "bpe": Kind(subwords.bpe, ("merges",)),
    "unigram": Kind(subwords.unigram, ("scores",)),
    "regex": Kind(patterns.rule, ("pattern", "spaces")),
    "file": Kind(foreign.rule, ("file",)),
}


class _Ids(dict[str, int]):
    """The ids of pieces; an unknown one is `<unk>`."""

    def __missing__(self, piece: str) -> int:
        return UNK


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary and the rule that splits text into its words.

    kind: one of `KINDS`. "whitespace" splits at ASCII whitespace, for text that is tokenized already; "word" splits
        punctuation from the words of raw text and keeps contractions, hyphenated words, numbers and abbreviations
        whole; "char" makes every character a piece; "bpe" and "unigram" make subwords; "regex" takes the matches of a
        pattern, and "file" what the `tokenizers` library makes of a text.
    lower: lower-case the text before it is split.
    words: every piece in the order of the ids, the four of `SPECIALS` first.
    normalize: one of `NORMALIZATIONS`, applied to the text before it is split.
    details: the rule of the kind, as JSON holds it: its `Kind.details`. Without any, "char" makes code points pieces.

    Raises `DataError` for an unknown kind or normalization, details that cannot be used, `words` that do not begin with
    `SPECIALS`, and a word that occurs twice.
    """

    kind: str
    lower: bool
    words: tuple[str, ...]
    normalize: str = "none"
    details: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    _rule: Rule = field(init=False, repr=False, compare=False)
    _ids: _Ids = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kind = _kind(self.kind)
        if self.normalize not in NORMALIZATIONS:
            raise DataError(f"unknown normalization {self.normalize!r:.40}", f"known: {', '.join(NORMALIZATIONS)}")
        if self.words[: len(SPECIALS)] != SPECIALS:
            raise DataError(f"a vocabulary starts with {', '.join(SPECIALS)}, not with {self.words[:4]!r}")
        ids = _Ids((word, index) for index, word in enumerate(self.words))
        if len(ids) != len(self.words):
            twice = next(word for index, word in enumerate(self.words) if ids[word] != index)
            raise DataError(f"{twice!r} is in the vocabulary twice")
        for special in (PAD, BOS, EOS):
            ids[SPECIALS[special]] = UNK
        if self.details.keys() != set(kind.details) and (self.details or self.kind != "char"):
            raise DataError(f"a tokenizer of kind {self.kind} has {', '.join(kind.details) or 'no details'}")
        object.__setattr__(self, "_rule", kind.rule(self.details, self.words))
        object.__setattr__(self, "_ids", ids)

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer, (self.kind, self.lower, self.words, self.normalize, dict(self.details))

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def fit(
        cls,
        counts: Counter[str],
        kind: str,
        lower: bool,
        min_count: int = 1,
        normalize: str = "none",
        details: Mapping[str, Any] | None = None,
    ) -> Tokenizer:
        """The vocabulary of the words counted `min_count` times or more: by falling count, ties by word."""
        kept = [word for word, count in counts.items() if count >= min_count and word not in SPECIALS]
        kept.sort(key=lambda word: (-counts[word], word))
        return cls(kind, lower, (*SPECIALS, *kept), normalize, details or {})

    @property
    def noun(self) -> str:
        """What a piece is called in messages: word, character or token."""
        return KINDS[self.kind].noun

    @property
    def has_words(self) -> bool:
        """Whether the pieces are words; else they are characters, or parts of words."""
        return self.noun == "word"

    def normalized(self, text: str) -> str:
        """The text as it is split: in its normalization form, in lower case if the vocabulary is."""
        return normalized(text, self.normalize, self.lower)

    def split(self, text: str) -> list[str]:
        """The pieces of a text, known or not. Only the empty text and pure whitespace have none."""
        return self._rule.split(normalized(text, self.normalize, self.lower))

    def split_normalized(self, text: str) -> list[str]:
        """`split` for a text that is `normalized`."""
        return self._rule.split(text)

    def ids(self, pieces: Iterable[str]) -> list[int]:
        """The ids of pieces; those outside the vocabulary are `<unk>`."""
        return list(map(self._ids.__getitem__, pieces))

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without `<bos>` and `<eos>`."""
        return self.ids(self.split(text))

    def unknown(self, text: str) -> list[str]:
        """The pieces of a text outside the vocabulary, in order, without a written "<unk>"."""
        ids, unknown = self._ids, SPECIALS[UNK]
        return [piece for piece in self.split(text) if ids.get(piece, UNK) == UNK and piece != unknown]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The pieces of ids, up to the first `<eos>`, without `<pad>` and `<bos>`.

        Raises `DataError` for an id outside the vocabulary.
        """
        pieces = []
        for index in map(int, ids):
            if index == EOS:
                break
            if not 0 <= index < len(self.words):
                raise DataError(f"token id {index} is outside 0..{len(self.words) - 1}")
            if index not in (PAD, BOS):
                pieces.append(self.words[index])
        return pieces

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, up to the first `<eos>`. Raises `DataError` for an id outside the vocabulary."""
        return self.join(self.tokens(ids))

    def join(self, pieces: list[str]) -> str:
        """The text of pieces."""
        return self._rule.join(pieces)

    def same_text(self, first: Iterable[int], second: Iterable[int]) -> bool:
        """Whether two lists of ids are the same text: subwords can spell one in several ways, words cannot."""
        return not self.has_words and self.decode(first) == self.decode(second)

    def to_json(self) -> dict[str, Any]:
        """JSON of format 1 where it says all, so that older versions read it, and older corpora keep their hash."""
        head = {"kind": self.kind, "lower": self.lower}
        if self.normalize == "none" and not self.details:
            return {"format": 1, **head, "words": list(self.words)}
        return {"format": 2, **head, "normalize": self.normalize, **self.details, "words": list(self.words)}

    @classmethod
    def from_json(cls, value: Any) -> Tokenizer:
        """The inverse of `to_json`. Raises `DataError` for anything but a dictionary of that form."""
        if not isinstance(value, dict):
            raise DataError("a tokenizer is a JSON object")
        number = value.get("format")
        if isinstance(number, int) and number > TOKENIZER_FORMAT:
            raise DataError(f"the tokenizer comes from a newer version (format {number})", UPGRADE)
        if number not in (1, 2) or isinstance(number, bool | float):
            raise DataError(f"tokenizer format {number!r} is unknown")
        value = {"normalize": "none"} | value if number == 1 else value
        kind, lower, words, normalize = (value.get(key) for key in ("kind", "lower", "words", "normalize"))
        if not all(isinstance(text, str) for text in (kind, normalize)) or not isinstance(lower, bool):
            raise DataError("a tokenizer's kind and normalize are text, lower is true or false")
        if not isinstance(words, list):
            raise DataError("a tokenizer's words are a list")
        details = {key: value[key] for key in value if key not in ("format", "kind", "lower", "words", "normalize")}
        if number == 1 and (details or kind not in ("word", "whitespace", "char") or normalize != "none"):
            raise DataError("a tokenizer of format 1 has format, kind, lower and words")
        for word in words:
            if not isinstance(word, str) or not _is_text(word):
                raise DataError(f"a vocabulary cannot hold {word!r:.80}")
        made = cls(str(kind), lower, tuple(words), str(normalize), details)
        is_piece = made._rule.is_piece
        if wrong := next((word for word in words if word not in SPECIALS and not is_piece(word)), None):
            raise DataError(f"a {kind!r} vocabulary cannot hold {wrong!r:.80}")
        return made

    def to_bytes(self) -> bytes:
        """The content of its file."""
        text = json.dumps(self.to_json(), ensure_ascii=False, separators=(",\n", ": "))  # a word a line, and fast
        return f"{text}\n".encode()

    def save(self, path: Path) -> str:
        """Writes the vocabulary atomically; returns the file's SHA-256."""
        return files.write(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Raises `DataError` with the path for a file that is missing, damaged or too new."""
        try:
            return cls.from_json(json_files.read(path))
        except DataError as error:
            if str(path) in error.message:
                raise
            raise DataError(f"{path}: {error.message}", error.hint) from error


def _is_text(word: str) -> bool:
    """Whether a word can be printed: it is not empty, and without lone surrogates."""
    try:
        return bool(word.encode())
    except UnicodeEncodeError:
        return False


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise DataError(f"unknown tokenizer {name!r:.40}", f"known: {', '.join(KINDS)}")
    return KINDS[name]

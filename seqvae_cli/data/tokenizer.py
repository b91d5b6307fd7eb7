"""Text to token ids and back. Knows nothing about files of text or batches.

Four ids are special in every vocabulary. `<bos>` and `<eos>` are never part of an encoded text: who needs them adds
them. Text that happens to read "<pad>", "<bos>" or "<eos>" becomes `<unk>`, so that no input can end a sentence.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqvae_cli.errors import UPGRADE, DataError
from seqvae_cli.system import files

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
KINDS = ("whitespace", "word", "char")
FORMAT = 1

_ASCII_SPACE = " \t\n\r\f\v"
_PIECE = re.compile(f"[^{_ASCII_SPACE}]+")

# Words are whatever is neither space nor punctuation, so that combining marks, emoji and joiners stay inside them.
_PUNCTUATION = r"!-/:-@\[-^`{-~¡-©«¬®-±´¶-¸»¿×÷‐-‧‰-⁞₠-⃀−、-〟・！-／：-＠［-＾｀｛-･"
_LETTER = rf"[^\s{_PUNCTUATION}]"
_WORD = re.compile(
    rf"""
      [a-z\d]+(?!\S)
    | <(?:unk|pad|bos|eos)>
    | https?://\S*[^\s.,;:!?'"()\[\]{{}}<>]
    | [\w.+-]{{1,64}}@[\w-]{{1,64}}(?:\.[\w-]{{1,64}}){{1,8}}
    | (?<!{_LETTER})(?:[a-z]\.){{2,}}
    | (?<!{_LETTER})(?:mr|mrs|ms|dr|prof|st|sr|jr|inc|corp|co|ltd|vs|etc|gen|sen|rep|gov|lt|col|capt|mt)\.
    | (?<!{_LETTER})['’](?:\d\ds|tis|twas|em|til|cause)(?!{_LETTER})
    | [@\#]?{_LETTER}+(?:(?:['’\-&/]|(?<=\d)[.,:](?=\d)|\.(?-i:(?=[a-z\d])))[@]?{_LETTER}+)*(?:(?<=s)['’](?=\s\w))?
    | \.{{2,}} | -{{2,}} | `` | ''
    | \S
    """,
    re.VERBOSE | re.IGNORECASE,
)

_CLOSING = frozenset(",.;:!?)]}%…”’»''") | {"''", "..", "...", "....", "。", "、", "，", "！", "？", "：", "；", "）"}
_OPENING = frozenset("([{“‘«¿¡（") | {"``"}
_CURRENCY = frozenset("$£€¥")
_PAIRED = frozenset("\"'")


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary and the rule that splits text into its words.

    kind: "whitespace" splits at ASCII whitespace and changes nothing else (text that is tokenized already);
        "word" splits punctuation from the words of raw text, keeping contractions, hyphenated words, numbers and
        abbreviations whole; "char" makes every code point a piece.
    lower: whether text is lower-cased before it is split.
    words: every piece in the order of the ids, the four of `SPECIALS` first.

    Raises `DataError` where these make no vocabulary.
    """

    kind: str
    lower: bool
    words: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"unknown tokenizer {self.kind!r}", f"known: {', '.join(KINDS)}")
        if self.words[: len(SPECIALS)] != SPECIALS:
            raise DataError(f"a vocabulary starts with {', '.join(SPECIALS)}, not with {self.words[:4]!r}")
        ids = {word: index for index, word in enumerate(self.words)}
        if len(ids) != len(self.words):
            twice = next(word for index, word in enumerate(self.words) if ids[word] != index)
            raise DataError(f"{twice!r} is in the vocabulary twice")
        for special in (PAD, BOS, EOS):
            ids[SPECIALS[special]] = UNK
        object.__setattr__(self, "_ids", ids)

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def fit(cls, counts: Counter[str], kind: str, lower: bool, min_count: int = 1) -> Tokenizer:
        """The vocabulary of the words counted `min_count` times or more: by falling count, ties by word."""
        kept = [word for word, count in counts.items() if count >= min_count and word not in SPECIALS]
        kept.sort(key=lambda word: (-counts[word], word))
        return cls(kind, lower, (*SPECIALS, *kept))

    def split(self, text: str) -> list[str]:
        """The pieces of a text, known or not. Only the empty text and pure whitespace have none."""
        if self.lower:
            text = text.lower()
        if self.kind == "whitespace":
            return _PIECE.findall(text)
        if self.kind == "word":
            return _WORD.findall(text)
        text = text.strip(_ASCII_SPACE)
        unknown = SPECIALS[UNK]
        if unknown not in text:
            return list(text)
        first, *rest = text.split(unknown)
        return [*first, *(piece for part in rest for piece in (unknown, *part))]

    def ids(self, pieces: Iterable[str]) -> list[int]:
        """The ids of pieces that are split already."""
        known = self._ids
        return [known.get(piece, UNK) for piece in pieces]

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without `<bos>` and `<eos>`."""
        return self.ids(self.split(text))

    def unknown(self, text: str) -> list[str]:
        """The pieces of a text that are not in the vocabulary, in order; a written-out "<unk>" is none of them."""
        ids, unknown = self._ids, SPECIALS[UNK]
        return [piece for piece in self.split(text) if ids.get(piece, UNK) == UNK and piece != unknown]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The pieces behind ids, up to the first `<eos>`, without `<pad>` and `<bos>`.

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
        """The text behind ids; see `tokens`. The "word" kind puts punctuation back where English puts it."""
        pieces = self.tokens(ids)
        if self.kind == "char":
            return "".join(pieces)
        return _joined(pieces) if self.kind == "word" else " ".join(pieces)

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, "kind": self.kind, "lower": self.lower, "words": list(self.words)}

    @classmethod
    def from_json(cls, value: Any) -> Tokenizer:
        """The inverse of `to_json`. Raises `DataError` for anything that is not exactly such a dictionary."""
        if not isinstance(value, dict):
            raise DataError("a tokenizer is a JSON object")
        number = value.get("format")
        if isinstance(number, int) and number > FORMAT:
            raise DataError(f"the tokenizer comes from a newer version (format {number})", UPGRADE)
        if number != FORMAT or isinstance(number, bool):
            raise DataError(f"tokenizer format {number!r} is unknown")
        if set(value) != {"format", "kind", "lower", "words"}:
            raise DataError(f"a tokenizer has format, kind, lower and words, not {', '.join(sorted(map(repr, value)))}")
        kind, lower, words = value["kind"], value["lower"], value["words"]
        if not isinstance(kind, str) or not isinstance(lower, bool) or not isinstance(words, list):
            raise DataError("a tokenizer's kind is text, lower true or false, words a list")
        for word in words:
            if not isinstance(word, str) or not _is_word(word, kind):
                raise DataError(f"{word!r} can be no word of a {kind!r} vocabulary")
        return cls(kind, lower, tuple(words))

    def save(self, path: Path) -> str:
        """Writes the vocabulary atomically; returns the file's SHA-256."""
        text = json.dumps(self.to_json(), ensure_ascii=False, separators=(",\n", ": "))  # a word a line, and fast
        return files.write(path, f"{text}\n".encode())

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Raises `DataError` with the path for a file that is missing, damaged or too new."""
        try:
            return cls.from_json(files.read_json(path))
        except DataError as error:
            if str(path) in error.message:
                raise
            raise DataError(f"{path}: {error.message}", error.hint) from error


def _is_word(word: str, kind: str) -> bool:
    if word in SPECIALS:
        return True
    try:
        word.encode()
    except UnicodeEncodeError:  # a lone surrogate could never be printed
        return False
    return len(word) == 1 if kind == "char" else _PIECE.fullmatch(word) is not None


def _joined(pieces: list[str]) -> str:
    """Words and punctuation as a sentence is written."""
    text: list[str] = []
    is_open = dict.fromkeys(_PAIRED, False)
    glue = True
    for piece in pieces:
        closes = piece in _CLOSING
        opens = piece in _OPENING
        if piece in _PAIRED:
            closes = is_open[piece]
            opens = not closes
            is_open[piece] = opens
        price = bool(text) and text[-1] in _CURRENCY and piece[0].isdigit()
        if not (glue or closes or price):
            text.append(" ")
        text.append(piece)
        glue = opens
    return "".join(text)

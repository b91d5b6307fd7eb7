"""Text to token ids and back. Knows nothing about files of text or batches.

Four ids are special in every vocabulary. Encoded text never contains `<bos>` and `<eos>`; callers add them. The written
words "<pad>", "<bos>" and "<eos>" are encoded as `<unk>`, so that no input can end a sentence.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqvae_cli.errors import UPGRADE, DataError
from seqvae_cli.system import files

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
TOKENIZER_FORMAT = 1

_ASCII_SPACE = " \t\n\r\f\v"
_PIECE = re.compile(f"[^{_ASCII_SPACE}]+")

# A letter is any character but space and punctuation, so that combining marks, emoji and joiners stay inside words.
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


def _split_characters(text: str) -> list[str]:
    """Every code point, but a written "<unk>" as one piece."""
    unknown = SPECIALS[UNK]
    first, *rest = text.strip(_ASCII_SPACE).split(unknown)
    return [*first, *(piece for part in rest for piece in (unknown, *part))]


def _join_words(pieces: list[str]) -> str:
    """Words and punctuation with spaces where English puts them."""
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


def _without_space(piece: str) -> bool:
    return _PIECE.fullmatch(piece) is not None


@dataclass(frozen=True)
class Kind:
    """A way to split text into pieces."""

    split: Callable[[str], list[str]]
    """Text -> its pieces. Only the empty text and pure whitespace have none."""
    join: Callable[[list[str]], str]
    """Pieces -> the text that is shown."""
    is_piece: Callable[[str], bool]
    """Whether a vocabulary of this kind may hold a piece."""


KINDS = {
    "whitespace": Kind(_PIECE.findall, " ".join, _without_space),
    "word": Kind(_WORD.findall, _join_words, _without_space),
    "char": Kind(_split_characters, "".join, lambda piece: len(piece) == 1),
}


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary and the rule that splits text into its words.

    kind: one of `KINDS`. "whitespace" splits at ASCII whitespace, for text that is tokenized already; "word" splits
        punctuation from the words of raw text and keeps contractions, hyphenated words, numbers and abbreviations
        whole; "char" makes every code point a piece.
    lower: lower-case the text before it is split.
    words: every piece in the order of the ids, the four of `SPECIALS` first.

    Raises `DataError` for an unknown kind, `words` that do not begin with `SPECIALS`, and a word that occurs twice.
    """

    kind: str
    lower: bool
    words: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _kind(self.kind)
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
        return KINDS[self.kind].split(text.lower() if self.lower else text)

    def ids(self, pieces: Iterable[str]) -> list[int]:
        """The ids of pieces; those outside the vocabulary are `<unk>`."""
        known = self._ids
        return [known.get(piece, UNK) for piece in pieces]

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
        return KINDS[self.kind].join(self.tokens(ids))

    def to_json(self) -> dict[str, Any]:
        return {"format": TOKENIZER_FORMAT, "kind": self.kind, "lower": self.lower, "words": list(self.words)}

    @classmethod
    def from_json(cls, value: Any) -> Tokenizer:
        """The inverse of `to_json`. Raises `DataError` for anything but a dictionary of that form."""
        if not isinstance(value, dict):
            raise DataError("a tokenizer is a JSON object")
        number = value.get("format")
        if isinstance(number, int) and number > TOKENIZER_FORMAT:
            raise DataError(f"the tokenizer comes from a newer version (format {number})", UPGRADE)
        if number != TOKENIZER_FORMAT or isinstance(number, bool):
            raise DataError(f"tokenizer format {number!r} is unknown")
        if set(value) != {"format", "kind", "lower", "words"}:
            raise DataError(f"a tokenizer has format, kind, lower and words, not {', '.join(sorted(map(repr, value)))}")
        kind, lower, words = value["kind"], value["lower"], value["words"]
        if not isinstance(kind, str) or not isinstance(lower, bool) or not isinstance(words, list):
            raise DataError("a tokenizer's kind is text, lower true or false, words a list")
        for word in words:
            if not isinstance(word, str) or not _is_word(word, kind):
                raise DataError(f"a {kind!r} vocabulary cannot hold {word!r}")
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
    except UnicodeEncodeError:  # a lone surrogate cannot be printed
        return False
    return _kind(kind).is_piece(word)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise DataError(f"unknown tokenizer {name!r}", f"known: {', '.join(KINDS)}")
    return KINDS[name]

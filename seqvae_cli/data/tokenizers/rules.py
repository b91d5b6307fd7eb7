"""What every kind of tokenizer is: a rule that splits text into pieces and joins them, beside four special pieces."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")

ASCII_SPACE = " \t\n\r\f\v"
PIECE = re.compile(f"[^{ASCII_SPACE}]+")


@dataclass(frozen=True)
class Rule:
    """A way to split text into pieces, and to join them."""

    split: Callable[[str], list[str]]
    """Text -> its pieces. Only the empty text and pure whitespace have none."""
    join: Callable[[list[str]], str]
    """Pieces -> the text that is shown."""
    is_piece: Callable[[str], bool] = bool
    """Whether a vocabulary may hold a piece."""


@dataclass(frozen=True)
class Kind:
    """A kind of tokenizer."""

    rule: Callable[[Mapping[str, Any], tuple[str, ...]], Rule]
    """Details and vocabulary -> the rule. Raises `DataError` for details that cannot be used."""
    details: tuple[str, ...] = ()
    """What `tokenizer.json` says of the rule, beside the vocabulary."""
    noun: str = "token"
    """What a piece is called in messages."""


def without_space(piece: str) -> bool:
    return PIECE.fullmatch(piece) is not None


def split_at_spaces(text: str) -> list[str]:
    return PIECE.findall(text)


def around_unknown(text: str, split: Callable[[str], list[str]]) -> list[str]:
    """The pieces of a text by `split`, but a written "<unk>", which decoding makes of an unknown piece, as one."""
    unknown = SPECIALS[UNK]
    if unknown not in text:
        return split(text)
    first, *rest = text.split(unknown)
    return [*split(first), *(piece for part in rest for piece in (unknown, *split(part)))]

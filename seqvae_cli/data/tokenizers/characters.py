"""Characters as pieces: what a reader takes for one (grapheme clusters), or code points, as corpora had them before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from seqvae_cli.data.tokenizers.rules import ASCII_SPACE, Rule, around_unknown
from seqvae_cli.errors import DataError

GRAPHEMES = {"characters": "graphemes"}
"""The details of a vocabulary of grapheme clusters; that of code points has none."""

_MAY_CLUSTER = re.compile(
    "[^\0-\x0c\x0e-\u02ff\u0370-\u0482\u048a-\u0590\u2010-\u2027\u3001-\u3029\u3041-\u3096\u30a1-\u9fff]"
)
"""Finds a character that may belong to a cluster of several code points; without one, each is a cluster."""


def clusters(text: str) -> list[str]:
    """The extended grapheme clusters of a text (Unicode Standard Annex 29): é, 👩‍👩‍👧 and नि are one each."""
    if (text.isascii() and "\r" not in text) or not _MAY_CLUSTER.search(text):
        return list(text)
    import regex

    found: list[str] = regex.findall(r"\X", text)
    return found


def rule(details: Mapping[str, Any], _: tuple[str, ...]) -> Rule:
    if not details:
        return Rule(lambda text: around_unknown(text.strip(ASCII_SPACE), list), "".join, lambda piece: len(piece) == 1)
    if details != GRAPHEMES:
        raise DataError(f"characters {details.get('characters')!r:.40} are unknown", "known: graphemes")
    return Rule(lambda text: around_unknown(text.strip(ASCII_SPACE), clusters), "".join)

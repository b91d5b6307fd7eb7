"""Normalization of text before it is split: Unicode's normalization forms, and lower case."""

from __future__ import annotations

import unicodedata
from typing import Literal

NORMALIZATIONS: dict[str, Literal["NFC", "NFKC"] | None] = {"nfc": "NFC", "nfkc": "NFKC", "none": None}
"""Forms of Unicode Standard Annex 15. nfc: é is one code point however it was typed; nfkc: also ﬁ -> fi, ２ -> 2."""


def normalized(text: str, form: str, lower: bool) -> str:
    """The text in a form of `NORMALIZATIONS`, in lower case if asked for; twice the same as once."""
    unicode_form = NORMALIZATIONS[form]
    if text.isascii() or unicode_form is None:
        return text.lower() if lower else text
    text = unicodedata.normalize(unicode_form, text)
    return unicodedata.normalize(unicode_form, text.lower()) if lower else text

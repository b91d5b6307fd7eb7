"""Repeated sentences, found by 64 bits of each.

Two sentences are the same where their text is, after the normalization of the tokenizer (`--lower`) and with every run
of whitespace as one space. Two different ones of N pass for the same with probability N² / 2⁶⁵: 3 in a million for 10
million sentences.
"""

from __future__ import annotations

from hashlib import blake2b


def fingerprint(text: str) -> int:
    """64 bits of BLAKE2b of a text, whose runs of whitespace count as one space and whose ends are stripped."""
    return int.from_bytes(blake2b(" ".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=8).digest())

"""Files that are not text are called what they are; text never is."""

from __future__ import annotations

import pytest

from seqvae_cli.data import formats
from seqvae_cli.data.tokenizer import SPECIALS
from tests.data.binaries import BINARIES


@pytest.mark.parametrize("name", BINARIES)
def test_a_format_is_recognized_by_its_first_bytes(name: str) -> None:
    found = formats.recognize(BINARIES[name])
    assert found is not None
    assert found.name == name
    assert found.advice


def test_every_signature_is_tried() -> None:
    assert sorted(BINARIES) == sorted(found.name for _, found in formats.SIGNATURES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PAR1 of the song",
        "PAR1\nof the song",
        "PK is short for park",
        "BZhao wrote this",
        "Rar! said the cat",
        "RIFF and WEBP",
        "GIF89 is old",
        "ORC, ELF and 7z",
        "SQLite format 3 is a format",
        '{"text": "a"}',
        "<html>",
        "%PDF",
        "ÿØÿ",
        SPECIALS[0],
        "word/ xl/ ppt/ data.pkl x.npy ustar",
        "\ufeffthe cat",
        "x" * 257 + "ustar, the archive",
    ],
)
def test_text_is_no_other_format(text: str) -> None:
    assert formats.recognize(text.encode()) is None

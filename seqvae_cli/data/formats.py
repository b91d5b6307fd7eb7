"""Files that are not text, recognized by their first bytes: what each is, and what to do with it."""

from __future__ import annotations

import re
from typing import NamedTuple

START = 1 << 16
"""Bytes at the beginning of a file that `recognize` looks at."""

TEXT = "give a file of text, a sentence a line"
SAVE = "save it as plain text in UTF-8, a sentence a line"
COLUMN = "write its column of sentences to a text file, a sentence a line"


def _unpack(command: str) -> str:
    return f"unpack it into a command that reads from -: {command} | seqvae COMMAND -"


class Format(NamedTuple):
    """A format that is not text."""

    name: str
    """With its article."""
    advice: str


_OFFICE = r"(?=PK\x03\x04)[\s\S]*?PK\x03\x04[\s\S]{26}"
"""Leads to the name of a member of a zip archive, the first or a later one."""

SIGNATURES: tuple[tuple[str, Format], ...] = (
    # compressed files and archives; gzip and Zstandard files are read (see `compression`)
    (r"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)", Format("a bzip2 file", _unpack("bzip2 -dc FILE"))),
    (r"\xfd7zXZ\0", Format("an xz file", _unpack("xz -dc FILE"))),
    (r"\x04\x22\x4d\x18", Format("an LZ4 file", _unpack("lz4 -dc FILE"))),
    (r"7z\xbc\xaf\x27\x1c", Format("a 7-Zip archive", _unpack("7z x -so FILE"))),
    (r"Rar!\x1a\x07", Format("a RAR archive", _unpack("unrar p -inul FILE"))),
    (r"[\s\S]{257}ustar(?:\0| )", Format("a tar archive", _unpack("tar -xOf FILE MEMBER"))),
    # kinds of zip archives, by the names of their first members
    (rf"{_OFFICE}word/", Format("a Word document", SAVE)),
    (rf"{_OFFICE}xl/", Format("an Excel workbook", COLUMN)),
    (rf"{_OFFICE}ppt/", Format("a PowerPoint presentation", SAVE)),
    (r"PK\x03\x04[\s\S]{26}mimetypeapplication/epub", Format("an EPUB book", SAVE)),
    (r"PK\x03\x04[\s\S]{26}mimetypeapplication/vnd\.oasis", Format("an OpenDocument file", SAVE)),
    (r"PK\x03\x04[\s\S]{26}[^/\0]{1,200}/data\.pkl", Format("a PyTorch checkpoint", TEXT)),
    (r"PK\x03\x04[\s\S]{26}[^\0]{1,200}?\.npy", Format("a NumPy archive", TEXT)),
    (r"PK(?:\x03\x04|\x05\x06)", Format("a zip archive", _unpack("unzip -p FILE MEMBER"))),
    # documents and pictures
    (r"%PDF-", Format("a PDF document", SAVE)),
    (r"\{\\rtf", Format("an RTF document", SAVE)),
    (r"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Format("an old Office document", SAVE)),
    (r"\x89PNG\r\n\x1a\n", Format("a PNG picture", TEXT)),
    (r"\xff\xd8\xff", Format("a JPEG picture", TEXT)),
    (r"GIF8[79]a", Format("a GIF picture", TEXT)),
    (r"RIFF[\s\S]{4}WEBP", Format("a WebP picture", TEXT)),
    # tables
    (r"PAR1\x15", Format("a Parquet table", "sentences are read from it with --format parquet")),
    (r"ARROW1\0\0", Format("an Arrow table", COLUMN)),
    (r"SQLite format 3\0", Format("an SQLite database", COLUMN)),
    (r"\x89HDF\r\n\x1a\n", Format("an HDF5 file", COLUMN)),
    # numbers and programs
    (r"\x93NUMPY", Format("a NumPy array", "codes are turned into sentences by seqvae decode FILE.npy")),
    (r'[\s\S]{3}[\s\S]\0{4}\{"', Format("a safetensors file", TEXT)),
    (r"\x80[\x02-\x05][\x00-\x7f\x80-\x95]", Format("a Python pickle", TEXT)),
    (r"\x7fELF", Format("a program", TEXT)),
)
"""Regular expressions that the first bytes match, those of special cases first."""

_PATTERNS = [(re.compile(pattern.encode("latin-1")), found) for pattern, found in SIGNATURES]


def recognize(start: bytes) -> Format | None:
    """The format of a file that begins with these bytes; None where it may be text."""
    head = start[:START]
    return next((found for pattern, found in _PATTERNS if pattern.match(head)), None)

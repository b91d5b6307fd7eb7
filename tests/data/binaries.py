"""The first bytes of files that are not text, made by the programs that write them where Python has one."""

from __future__ import annotations

import bz2
import io
import lzma
import pickle
import sqlite3
import tarfile
import zipfile

import numpy as np
import torch
from safetensors.numpy import save

SENTENCES = b"the cat sees the sea\n" * 20


def _zip(*members: str, first: bytes = SENTENCES) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in members:
            plain = name == "mimetype"
            archive.writestr(name, first if plain else SENTENCES, zipfile.ZIP_STORED if plain else None)
    return buffer.getvalue()


def _written(write: object, *arguments: object) -> bytes:
    buffer = io.BytesIO()
    write(buffer, *arguments)  # type: ignore[operator]
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("sentences.txt")
        member.size = len(SENTENCES)
        archive.addfile(member, io.BytesIO(SENTENCES))
    return buffer.getvalue()


def _sqlite() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table sentences (text)")
        connection.commit()
        found = connection.serialize()
    connection.close()
    return found


OFFICE = ("[Content_Types].xml", "_rels/.rels", "docProps/app.xml")

BINARIES = {
    "a bzip2 file": bz2.compress(SENTENCES),
    "an xz file": lzma.compress(SENTENCES),
    "an LZ4 file": b"\x04\x22\x4d\x18\x64\x40\xa7\x0b\x00\x00\x00the cat",
    "a 7-Zip archive": b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(24),
    "a RAR archive": b"Rar!\x1a\x07\x01\x00" + bytes(24),
    "a tar archive": _tar(),
    "a Word document": _zip(*OFFICE, "word/document.xml"),
    "an Excel workbook": _zip(*OFFICE, "xl/workbook.xml"),
    "a PowerPoint presentation": _zip(*OFFICE, "ppt/presentation.xml"),
    "an EPUB book": _zip("mimetype", "a.xhtml", first=b"application/epub+zip"),
    "an OpenDocument file": _zip("mimetype", "content.xml", first=b"application/vnd.oasis.opendocument.text"),
    "a PyTorch checkpoint": _written(lambda file: torch.save({"a": torch.zeros(2)}, file)),
    "a NumPy archive": _written(np.savez, np.zeros(3)),
    "a zip archive": _zip("password/notes.txt", "pixl/a.txt"),
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
    "an RTF document": rb"{\rtf1\ansi the cat}",
    "an old Office document": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(24),
    "a PNG picture": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(13),
    "a JPEG picture": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(9),
    "a GIF picture": b"GIF89a\x01\x00\x01\x00\x80\x00\x00",
    "a WebP picture": b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(9),
    "a Parquet table": b"PAR1\x15\x04\x15\x80\x01\x15" + bytes(9) + b"PAR1",
    "an Arrow table": b"ARROW1\x00\x00\xff\xff\xff\xff" + bytes(9),
    "an SQLite database": _sqlite(),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(9),
    "a NumPy array": _written(np.save, np.zeros(3)),
    "a safetensors file": save({"a": np.zeros(2)}),
    "a Python pickle": pickle.dumps(["the cat"]),
    "a program": b"\x7fELF\x02\x01\x01" + bytes(9),
}
"""Name of the format -> a file, or its beginning."""

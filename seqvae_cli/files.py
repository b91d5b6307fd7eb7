"""Durable files: the one function that writes them, the one that verifies them.

A file appears under its name whole or not at all: it is written beside its place under a temporary name, synced,
renamed, and the rename is synced too. A crash leaves the old file or the new one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from seqvae_cli.errors import DataError, MachineError

TEMPORARY = ".tmp-"
"""Prefix of files that are not finished: a sweep may delete them."""


@contextmanager
def machine_errors(path: Path) -> Iterator[None]:
    """Turns the operating system's refusals (disk full, no permission, …) into a `MachineError` with the path."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        hint = {
            errno.ENOSPC: "free some space, or move the home with SEQVAE_HOME",
            errno.EACCES: "give yourself permission, or move the home with SEQVAE_HOME",
            errno.EROFS: "move the home with SEQVAE_HOME",
        }.get(error.errno or 0, "")
        raise MachineError(f"{error.filename or path}: {reason}", hint) from error


def write(path: Path, data: bytes | Iterable[bytes]) -> str:
    """Writes `path` atomically and durably; returns the SHA-256 of what was written, in hex.

    Raises `MachineError` where the machine refuses; what stood under `path` before is then untouched.
    """
    digest = hashlib.sha256()
    with machine_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}"
        try:
            with open(temporary, "xb") as file:
                for block in [data] if isinstance(data, bytes) else data:
                    file.write(block)
                    digest.update(block)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> str:
    """`write` of indented JSON; NaN is refused, since JSON has none."""
    return write(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The JSON in `path`. Raises `DataError` where it is missing, unreadable or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except OSError as error:
        raise MachineError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no valid JSON: {error}") from error


def sha256(path: Path, watch: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file, in hex; `watch` is told the bytes of each block read."""
    digest = hashlib.sha256()
    with machine_errors(path), open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            if watch:
                watch(len(block))
    return digest.hexdigest()


def verify(folder: Path, digests: dict[str, str]) -> None:
    """Checks each named file of `folder` against its SHA-256. Raises `DataError` naming the first that differs."""
    for name, expected in digests.items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing")
        if (found := sha256(path)) != expected:
            raise DataError(f"{path} is damaged: SHA-256 {found[:12]}…, expected {expected[:12]}…")


def sweep(folder: Path) -> None:
    """Deletes what interrupted writes left in `folder`."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            leftover.unlink()


def sync_directory(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a directory cannot be opened, and the rename alone has to do
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

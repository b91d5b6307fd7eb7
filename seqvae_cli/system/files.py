"""Files: durable ones are written and verified here, and lines are read here from texts that nobody vetted.

A file appears under its name whole or not at all: it is written beside its place under a temporary name, synced,
renamed, and the rename is synced too. A crash leaves the old file or the new one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.system import places
from seqvae_cli.system.progress import Advance

TEMPORARY = ".tmp-"
"""Prefix of files that are not finished: a sweep may delete them."""


@contextmanager
def machine_errors(path: Path) -> Iterator[None]:
    """Turns the operating system's refusals (disk full, no permission, …) into a `MachineError` with the path."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        named = _known(Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path, path)
        hint = {
            errno.ENOSPC: "free some space",
            errno.EACCES: "give yourself permission",
            errno.EROFS: "this disk takes nothing",
        }.get(error.errno or 0, "")
        if hint and named.is_relative_to(places.home()):
            hint += ", or move the home with SEQVAE_HOME"
        raise MachineError(f"{named}: {reason}", hint) from error


def _known(path: Path, meant: Path) -> Path:
    """`path`, else `meant`, else the folder of what is temporary: nobody has heard of a temporary name."""
    for named in (path, meant):
        if not any(part.startswith(TEMPORARY) for part in named.parts):
            return named
    return next(folder.parent for folder in [meant, *meant.parents] if folder.name.startswith(TEMPORARY))


class DurableFile:
    """A file that is written piece by piece and appears under its name whole, or not at all.

    The only place where durable files are written. `commit` gives it its name; `close`, which is due whatever happens,
    drops what was not committed. Raises `MachineError` where the machine refuses; what stood under `path` before is
    then untouched. With `new` something that stands there by then is such a refusal.
    """

    def __init__(self, path: Path, *, new: bool = False) -> None:
        self.path, self.new = path, new
        self._digest = hashlib.sha256()
        with machine_errors(path):
            make_folder(path.parent)
            self._temporary: Path | None = path.parent / f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}"
            self._file = open(self._temporary, "xb", buffering=1 << 18)  # noqa: SIM115

    def write(self, data: bytes) -> None:
        with machine_errors(self.path):
            self._file.write(data)
        self._digest.update(data)

    def commit(self, expected: str | None = None) -> str:
        """Syncs the file, gives it its name and syncs that; returns the SHA-256 in hex.

        Raises `DataError` where something else was `expected`; the file then never appears.
        """
        assert self._temporary is not None, "committed or closed already"
        found = self._digest.hexdigest()
        if expected is not None:
            _compare(self.path, found, expected)
        with machine_errors(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if self.new:
                os.link(self._temporary, self.path)
                self._temporary.unlink()
            else:
                self._temporary.replace(self.path)
            self._temporary = None
            with suppress(PermissionError):  # a folder may be written and not be read
                sync_directory(self.path.parent)
        return found

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()
        if self._temporary is not None:
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            self._temporary = None


def write(path: Path, data: bytes | Iterable[bytes], *, new: bool = False, expected: str | None = None) -> str:
    """Writes `path` as a `DurableFile`; returns the SHA-256 of what was written, in hex."""
    with closing(DurableFile(path, new=new)) as file:
        for block in [data] if isinstance(data, bytes) else data:
            file.write(block)
        return file.commit(expected)


def write_json(path: Path, value: Any, *, sealed: bool = False) -> str:
    """`write` of indented JSON; NaN is refused, since JSON has none. See `unseal` for `sealed`."""
    if sealed:
        value = {**value, "digest": _seal(value)}
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # No line end where the last brace is to be the last byte: that it is cut off would not be found.
    return write(path, (text if sealed else f"{text}\n").encode())


def unseal(value: Any, path: Path) -> dict[str, Any]:
    """What `write_json` sealed in `path`, without the SHA-256 of itself that it carries. Raises `DataError`."""
    if not isinstance(value, dict) or not isinstance(value.get("digest"), str):
        raise DataError(f"{path} has no SHA-256 of itself: it is damaged, or of an early development version")
    body = {key: item for key, item in value.items() if key != "digest"}
    _compare(path, _seal(body), value["digest"])
    return body


def _seal(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read_json(path: Path) -> Any:
    """The JSON in `path`. Raises `DataError` where it is missing, unreadable or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=no_number, parse_float=finite_number)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except OSError as error:
        raise MachineError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no valid JSON: {error}") from error


def no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def finite_number(text: str) -> float:
    """For `json`: what overflows could not be written again."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def entries(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where it is not there. Raises `MachineError` where it cannot be read."""
    with machine_errors(folder):
        try:
            return sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []


def sha256(path: Path, watch: Advance | None = None) -> str:
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
        _compare(path, sha256(path), expected)


def is_whole(folder: Path, digests: dict[str, str]) -> bool:
    """`verify` as a question."""
    try:
        verify(folder, digests)
    except DataError:
        return False
    return True


def _compare(path: Path, found: str, expected: object) -> None:
    """The one place where a file is found to be what it should be, or not; `expected` may come from a stranger."""
    if found != expected:
        raise DataError(f"{path} is damaged: SHA-256 {found[:12]}…, expected {str(expected)[:12]}…")


def sweep(folder: Path) -> None:
    """Deletes what interrupted writes left in `folder`."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            leftover.unlink()


@contextmanager
def claimed(folder: Path, stem: str) -> Iterator[Path]:
    """A free path in `folder` under a temporary name, for a file or a folder that takes long to make.

    A lock beside it tells others that it is being worked on; what a crash has left, lock free, is swept here. Whatever
    still lies under the path at the end is deleted: rename it away to keep it.
    """
    from filelock import FileLock, Timeout

    def taken(lock: FileLock) -> bool:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        return Path(lock.lock_file).exists()  # else a sweep was faster, and nobody sees this lock

    def drop(lock: FileLock) -> None:
        _remove(Path(lock.lock_file.removesuffix(".lock")))
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)

    with machine_errors(folder):
        make_folder(folder)
        for leftover in folder.glob(f"{TEMPORARY}*.lock"):
            if taken(stale := FileLock(leftover)):
                drop(stale)
        while True:
            path = folder / f"{TEMPORARY}{stem}-{secrets.token_hex(4)}"
            if taken(lock := FileLock(f"{path}.lock")):
                break
    try:
        yield path
    finally:
        with suppress(OSError):
            drop(lock)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Makes a folder, and those that it lies in, and syncs what is new of them."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
    with suppress(PermissionError):  # a folder may be written and not be read
        sync_directory(path.parent)


def sync_directory(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a directory cannot be opened, and the rename alone has to do
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Durable files: atomic writes, SHA-256 checks, and temporary paths for work in progress.

A file appears under its name complete or not at all: it is written under a temporary name in the same folder, synced
and renamed, and the rename is synced too. A crash leaves the old file or the new one.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.system import places
from seqvae_cli.system.progress import Advance

TEMPORARY = ".seqvae-tmp-"
"""Prefix of unfinished files; `sweep` deletes them."""


@contextmanager
def machine_errors(path: Path) -> Iterator[None]:
    """Turns errors of the operating system (disk full, no permission, …) into a `MachineError` with the path."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        failed = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
        named = _reported_path(failed, path)
        hint = {
            errno.ENOSPC: "free some space",
            errno.EACCES: "give yourself permission",
            errno.EROFS: "the disk is read-only",
        }.get(error.errno or 0, "")
        if hint and named.is_relative_to(places.home()):
            hint += ", or move the home with SEQVAE_HOME"
        raise MachineError(f"{named}: {reason}", hint) from error


def _reported_path(path: Path, requested: Path) -> Path:
    """The path that a message names: `path`, else `requested`, else the folder that holds the temporary one."""
    for named in (path, requested):
        if not any(part.startswith(TEMPORARY) for part in named.parts):
            return named
    return next(folder.parent for folder in [requested, *requested.parents] if folder.name.startswith(TEMPORARY))


class DurableFile:
    """A file that is written piece by piece and appears under its name complete, or not at all.

    All durable files are written here. `commit` renames the file to `path`; `close`, required in any case, deletes it
    if it was not committed. Raises `MachineError` where writing fails; an existing file at `path` is then unchanged.
    With `new`, an existing file at `path` makes `commit` fail. Without `sync`, a crash of the machine may lose it.
    """

    def __init__(self, path: Path, *, new: bool = False, sync: bool = True) -> None:
        self.path, self.new, self.sync = path, new, sync
        self._digest = hashlib.sha256()
        self._rewritten = False
        with machine_errors(path):
            make_folder(path.parent)
            self._temporary: Path | None = path.parent / f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}"
            self._file = open(self._temporary, "xb", buffering=1 << 18)  # noqa: SIM115

    def write(self, data: bytes) -> None:
        with machine_errors(self.path):
            self._file.write(data)
        self._digest.update(data)

    def write_start(self, data: bytes) -> None:
        """Overwrites the first bytes: a header that depends on the content after it."""
        with machine_errors(self.path):
            self._file.seek(0)
            self._file.write(data)
            self._file.seek(0, os.SEEK_END)
        self._rewritten = True

    def commit(self, expected: str | None = None) -> str:
        """Syncs the file, renames it and syncs the rename; returns the SHA-256 in hex.

        Raises `DataError` where the SHA-256 is not the `expected` one; the file then never appears.
        """
        assert self._temporary is not None, "committed or closed already"
        if self._rewritten:
            with machine_errors(self.path):
                self._file.flush()
            found = sha256(self._temporary)
        else:
            found = self._digest.hexdigest()
        if expected is not None:
            compare(self.path, found, expected)
        with machine_errors(self.path):
            self._file.flush()
            if self.sync:
                os.fsync(self._file.fileno())
            self._file.close()
            if self.new:
                _link(self._temporary, self.path)
                self._temporary.unlink(missing_ok=True)
            else:
                self._temporary.replace(self.path)
            self._temporary = None
            with suppress(PermissionError):  # a folder may be writable but not readable
                if self.sync:
                    sync_directory(self.path.parent)
        return found

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()
        if self._temporary is not None:
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            self._temporary = None


def _link(temporary: Path, path: Path) -> None:
    """Makes `path` a link to `temporary`, or renames it where the disk has no hard links. Raises `FileExistsError`.

    Without hard links an empty file holds the name for a moment; a kill in that moment leaves it.
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):  # FAT and some network disks have none
            raise
        path.touch(exist_ok=False)
        try:
            temporary.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def write(
    path: Path, data: bytes | Iterable[bytes], *, new: bool = False, expected: str | None = None, sync: bool = True
) -> str:
    """Writes `path` as a `DurableFile`; returns its SHA-256 in hex."""
    with closing(DurableFile(path, new=new, sync=sync)) as file:
        for block in [data] if isinstance(data, bytes) else data:
            file.write(block)
        return file.commit(expected)


def entries(folder: Path) -> list[Path]:
    """The paths in a folder, sorted; none where it is missing. Raises `MachineError` where it is unreadable."""
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
    """Checks each named file of `folder` against its SHA-256. Raises `DataError` with the first that differs."""
    for name, expected in digests.items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing")
        compare(path, sha256(path), expected)


def is_whole(folder: Path, digests: dict[str, str]) -> bool:
    """Whether `verify` passes."""
    try:
        verify(folder, digests)
    except DataError:
        return False
    return True


def compare(path: Path, found: str, expected: object) -> None:
    """Raises `DataError` where the digests differ; `expected` may come from an untrusted file."""
    if found != expected:
        raise DataError(f"{path} is damaged: SHA-256 {found[:12]}…, expected {str(expected)[:12]}…")


def sweep(folder: Path) -> None:
    """Deletes the unfinished files that interrupted writes left in `folder`."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            leftover.unlink()


@contextmanager
def claimed(folder: Path, stem: str) -> Iterator[Path]:
    """An unused temporary path in `folder`, for a file or a folder that takes long to make.

    A lock file beside it marks work in progress. Leftovers of a crash, whose lock is free, are deleted first. What is
    still at the path on exit is deleted: rename it to keep it.
    """
    from filelock import FileLock, Timeout

    def taken(lock: FileLock) -> bool:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        return Path(lock.lock_file).exists()  # else another process deleted the file: the lock is invisible

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


def move(path: Path, target: Path) -> None:
    """Renames a folder, file or link to `target`, which must not exist; between two disks, copies it.

    Raises `OSError`, and `MachineError` where the copy fails. A crash in a copy leaves the old path; one at its end may
    leave both, each complete.
    """
    try:
        path.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with claimed(target.parent, "moved") as copy:
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, copy, symlinks=True, copy_function=_copy)
                for folder, _, _ in os.walk(copy):
                    sync_directory(Path(folder))
            else:
                _copy(path, copy)
            copy.rename(target)
        sync_directory(target.parent)
        with claimed(path.parent, "moved") as old:  # so that a crash leaves no half of it under its name
            path.rename(old)
    sync_directory(target.parent)
    sync_directory(path.parent)


def _copy(source: str | Path, target: str | Path) -> None:
    """Copies a file to disk, or a link. Raises `MachineError`, which `copytree` lets through at once."""
    with machine_errors(Path(target)):
        shutil.copy2(source, target, follow_symlinks=False)
        if not Path(target).is_symlink():
            sync_file(Path(target))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Makes a folder and its missing parents, and syncs each new entry."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
    with suppress(PermissionError):  # a folder may be writable but not readable
        sync_directory(path.parent)


def sync_file(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_directory(folder: Path) -> None:
    if os.name != "posix":  # Windows cannot open a directory: the rename alone must suffice
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

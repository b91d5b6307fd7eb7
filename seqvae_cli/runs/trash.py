"""The trash: removed run folders, kept whole until the user deletes them.

HOME/trash/NAME~TIME    the folder of run NAME, moved here at TIME (nanoseconds since 1970)
"""

from __future__ import annotations

import errno
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from seqvae_cli.errors import NotFoundError, UsageError, nearest
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import NAME, NAME_RULE, hold_lock, in_use_error, is_held
from seqvae_cli.system import files, places

_ENTRY = re.compile(rf"({NAME.pattern})~(\d{{1,19}})")


@dataclass(frozen=True)
class Trashed:
    name: str
    removed: int
    """Nanoseconds since 1970."""
    path: Path


def folder() -> Path:
    return places.home() / "trash"


def trashed() -> list[Trashed]:
    """The runs in the trash, oldest removal first."""
    root = folder()
    entries = [(path, _ENTRY.fullmatch(path.name)) for path in root.iterdir()] if root.is_dir() else []
    found = [
        Trashed(match[1], int(match[2]), path)
        for path, match in entries
        if match and (path.is_dir() or path.is_symlink())
    ]
    return sorted(found, key=lambda entry: (entry.removed, entry.name))


def removable(name: str) -> Path:
    """The folder of the run with the full name `name`, checked for removal.

    Raises `UsageError` for an alias or an invalid name, `NotFoundError` (with the full name in the hint),
    `MachineError` where the run is being trained.
    """
    if name in registry.ALIASES:
        raise UsageError(f"{name!r} is an alias, not a run name", "name the run in full: seqvae runs list")
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a valid run name", NAME_RULE)
    path = places.runs() / name
    if not path.is_dir() and not path.is_symlink():
        known = registry.names()
        matches = [other for other in known if other.startswith(name)]
        hint = f"write it in full: {matches[0]}" if len(matches) == 1 else nearest(name, matches or known)
        raise NotFoundError(f"no run {name!r}", hint)
    if is_held(path / "lock"):
        raise in_use_error(path)
    return path


def discard(path: Path) -> Path:
    """Moves a run folder to the trash and returns its new path. For a symbolic link, only the link is moved.

    Raises `MachineError`, also while a process trains the run.
    """
    root = folder()
    with files.machine_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or os.name != "posix":  # Windows cannot move a folder with an open file, such as the lock
        return _move(path, root)
    with hold_lock(path):  # from here on no training can start
        return _move(path, root)


def restore(name: str) -> Path:
    """Restores the most recently removed run `name`. Raises `NotFoundError`, `UsageError` for a taken name."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a valid run name", NAME_RULE)
    known = trashed()
    found = [entry for entry in known if entry.name == name]
    if not found:
        raise NotFoundError(f"no run {name!r} in the trash", nearest(name, {entry.name for entry in known}))
    target = places.runs() / name
    with files.machine_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if os.path.lexists(target):  # a rename would replace an empty folder, or a link by a link
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            files.move(found[-1].path, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            hint = f"move it to the trash first: seqvae runs rm {name}"
            raise UsageError(f"run {name!r} exists", hint) from error
    return target


def size(path: Path) -> int:
    """Bytes of all files in a folder; 0 for a symbolic link."""
    if path.is_symlink():
        return 0
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            with files.machine_errors(path):
                total += Path(directory, name).lstat().st_size
    return total


def _move(path: Path, root: Path) -> Path:
    now = max([time.time_ns(), *(entry.removed + 1 for entry in trashed())])  # the clock may have gone back
    while os.path.lexists(target := root / f"{path.name}~{now}"):
        now += 1
    with files.machine_errors(path):
        files.move(path, target)
    return target

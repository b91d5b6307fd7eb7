"""A disk that keeps only what it was told to keep: the layer beneath the one function that writes files.

Below a folder every operation is done for real and noted down. From the notes the folder can be made again as a crash
after any operation might have left it: what was synced is there; of all else each block of a file is kept, lost or
garbled, and each change of a folder is kept or lost, one by one. (SQLite tests its files in this way: "How SQLite Is
Tested", section 3.3, crash testing.)
"""

from __future__ import annotations

import builtins
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.system import files

BLOCK = 4096


@dataclass
class Inode:
    """The bytes of a file, whatever its name: in the order of writing, and how many of the writes were synced."""

    writes: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Note:
    """One operation. `kind` is one of create, write, sync, mkdir, rename, link, unlink, rmdir, sync_folder."""

    kind: str
    path: str
    """Relative to the folder; that which is made or taken away."""
    inode: Inode | None = None
    source: str = ""
    """Of a rename."""
    count: int = 0
    """Writes to the inode that were done by then."""


PLACES = ("create", "write", "sync", "rename", "sync_folder")


class UnsafeDisk:
    """Watches what is done below `root`; `notes` is all of it, in order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = {
            str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
            for path in sorted(root.rglob("*"))
        }
        self.notes: list[Note] = []
        self.inodes: dict[str, Inode] = {}
        self.handles: dict[int, tuple[str, Inode | None]] = {}
        """File descriptor -> the path it was opened under, and its file where it is one."""

    # --- while it is watched

    def relative(self, path: Any, handle: int | None = None) -> str | None:
        """The path below `root`; None for what is not watched: other folders, and locks."""
        full = os.fspath(path)
        if handle is not None:
            full = str(self.root / self.handles[handle][0] / full) if handle in self.handles else ""
        if not full.startswith(f"{self.root}{os.sep}") and full != str(self.root):
            return None
        return None if full.endswith("lock") else os.path.relpath(full, self.root)

    def note(self, kind: str, path: str, inode: Inode | None = None, source: str = "") -> None:
        self.notes.append(Note(kind, path, inode, source, len(inode.writes) if inode else 0))

    @contextmanager
    def watched(self) -> Iterator[None]:
        real = {name: getattr(os, name) for name in ("fsync", "open", "close", "unlink", "rmdir", "mkdir", "link")}
        renames: dict[str, Callable[..., None]] = {name: getattr(os, name) for name in ("replace", "rename")}

        def open_file(path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            file = builtins.open(path, mode, *args, **options)  # noqa: SIM115
            name = self.relative(path)
            if name is None or not set(mode) & set("xwa"):
                return file
            assert mode == "xb", f"{name} is opened as {mode}: only new files are written"
            inode = self.inodes[name] = Inode()
            self.note("create", name, inode)
            return self.Watched(self, file, name, inode)

        def open_handle(path: Any, flags: int, *args: Any, **options: Any) -> int:
            handle: int = real["open"](path, flags, *args, **options)
            if (name := self.relative(path, options.get("dir_fd"))) is not None:
                self.handles[handle] = name, None
            return handle

        def close(handle: int) -> None:
            self.handles.pop(handle, None)
            real["close"](handle)

        def fsync(handle: int) -> None:
            real["fsync"](handle)
            if handle in self.handles:
                name, inode = self.handles[handle]
                self.note("sync" if inode else "sync_folder", name, inode)

        def changed(kind: str) -> Callable[..., None]:
            def change(path: Any, *args: Any, dir_fd: int | None = None, **options: Any) -> None:
                real[kind](path, *args, dir_fd=dir_fd, **options)
                if (name := self.relative(path, dir_fd)) is not None:
                    self.note(kind, name)

            return change

        def renamed(kind: str) -> Callable[..., None]:
            def rename(source: Any, target: Any, **options: Any) -> None:
                renames[kind](source, target, **options)
                old, new = self.relative(source), self.relative(target)
                if new is not None:
                    assert old is not None
                    for name in [name for name in self.inodes if name == old or name.startswith(f"{old}{os.sep}")]:
                        self.inodes[new + name.removeprefix(old)] = self.inodes.pop(name)
                    self.note("rename", new, self.inodes.get(new), old)

            return rename

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "open", open_file, raising=False)
            patch.setattr(os, "open", open_handle)
            patch.setattr(os, "close", close)
            patch.setattr(os, "fsync", fsync)
            for kind in ("unlink", "rmdir", "mkdir"):
                patch.setattr(os, kind, changed(kind))
            for kind in renames:
                patch.setattr(os, kind, renamed(kind))
            yield

    class Watched:
        """A file that is being written."""

        def __init__(self, disk: UnsafeDisk, file: Any, name: str, inode: Inode) -> None:
            self.disk, self.file, self.name, self.inode = disk, file, name, inode
            disk.handles[file.fileno()] = name, inode

        def write(self, data: bytes) -> int:
            self.inode.writes.append(bytes(data))
            self.disk.note("write", self.name, self.inode)
            return int(self.file.write(data))

        def flush(self) -> None:
            self.file.flush()

        def fileno(self) -> int:
            return int(self.file.fileno())

        def close(self) -> None:
            if not self.file.closed:
                self.disk.handles.pop(self.file.fileno(), None)
            self.file.close()

    # --- after the crash

    def crash(self, target: Path, after: int, rng: random.Random | None = None, lies: tuple[int, int] = (0, 0)) -> None:
        """Makes at `target` what may be left when the machine stops after `after` operations.

        Without `rng` only the program died: the machine still writes everything. Within the notes of `lies` (from, to)
        the disk says that it has synced, and has not.
        """
        done = self.notes[:after]
        synced: dict[int, int] = {}
        durable = [rng is None] * len(done)
        for index, note in enumerate(done):
            if lies[0] <= index < lies[1]:
                continue
            if note.kind == "sync" and note.inode is not None:
                synced[id(note.inode)] = note.count
            if note.kind == "sync_folder":
                for earlier in range(index):
                    if os.path.dirname(done[earlier].path) == (note.path if note.path != "." else ""):  # noqa: PTH120
                        durable[earlier] = True
        target.mkdir(parents=True)
        for name, data in self.base.items():
            if data is None:
                (target / name).mkdir()
            else:
                (target / name).write_bytes(data)
        made: dict[int, Path] = {}
        for index, note in enumerate(done):
            kept = durable[index] or (rng is not None and rng.random() < 0.5)
            if note.kind not in ("write", "sync", "sync_folder") and kept:
                self.change(target, note, made)
        for note in done:
            if note.kind == "create" and note.inode is not None and (path := made.get(id(note.inode))) is not None:
                writes = [other for other in done if other.kind == "write" and other.inode is note.inode]
                count = writes[-1].count if writes else 0
                sure = count if rng is None else synced.get(id(note.inode), 0)
                path.write_bytes(content(note.inode.writes[:count], sure, rng))

    def change(self, target: Path, note: Note, made: dict[int, Path]) -> None:
        """Does one change of a folder again, unless an earlier one that it needs was lost."""
        path = target / note.path
        if not path.parent.is_dir():
            return
        if note.kind == "mkdir":
            path.mkdir(exist_ok=True)
        elif note.kind in ("unlink", "rmdir"):
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            for key in [key for key, place in made.items() if place == path or path in place.parents]:
                del made[key]
        elif note.kind == "create":
            path.touch()
            made[id(note.inode)] = path
        elif note.kind == "rename":
            source = target / note.source
            if note.inode is None:  # a folder
                if source.is_dir():
                    source.rename(path)
                    for key, place in list(made.items()):
                        if source in place.parents:
                            made[key] = path / place.relative_to(source)
                return
            source.unlink(missing_ok=True)
            path.touch()
            for key in [key for key, place in made.items() if place == path]:
                del made[key]
            made[id(note.inode)] = path


def content(writes: list[bytes], sure: int, rng: random.Random | None) -> bytes:
    """What is left of a file: all of the writes that are `sure`, of each block of the others what chance leaves."""
    found = bytearray(b"".join(writes[:sure]))
    position = len(found)
    for write in writes[sure:]:
        for start in range(0, len(write), BLOCK):
            block = write[start : start + BLOCK]
            fate = rng.choice(("kept", "lost", "garbled")) if rng else "kept"
            if fate != "lost":
                found.extend(bytes(max(0, position - len(found))))
                found[position : position + len(block)] = (
                    block if fate == "kept" or not rng else rng.randbytes(len(block))
                )
            position += len(block)
    return bytes(found)

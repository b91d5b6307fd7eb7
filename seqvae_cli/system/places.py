"""Folders of the program: one home for corpora and runs, one cache for downloads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from seqvae_cli.errors import MachineError

_moved: ContextVar[Path | None] = ContextVar("home", default=None)


@contextmanager
def moved(folder: Path) -> Iterator[None]:
    """Within, `folder` is the home of this thread, whatever `SEQVAE_HOME` says; other threads keep theirs."""
    token = _moved.set(folder.absolute())
    try:
        yield
    finally:
        _moved.reset(token)


def home() -> Path:
    """That of `moved`, else `SEQVAE_HOME` if set, else the platform's data directory.

    Raises `MachineError` for a file, an unknown user, or a name that is not UTF-8, which safetensors cannot open.
    """
    if folder := _moved.get():
        return _utf8(folder)
    if named := os.environ.get("SEQVAE_HOME"):
        try:
            path = Path(named).expanduser().absolute()
        except RuntimeError as error:
            raise MachineError(f"SEQVAE_HOME is {named}, but no user has that name", "name a folder") from error
        if os.path.exists(path) and not os.path.isdir(path):  # noqa: PTH110, PTH112 - these never raise
            raise MachineError(f"SEQVAE_HOME is {path}, which is not a folder", "name a folder; a missing one is made")
        return _utf8(path)
    import platformdirs

    return _utf8(platformdirs.user_data_path("seqvae", appauthor=False))


def _utf8(path: Path) -> Path:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise MachineError(f"the name of the home {path} is not UTF-8", "name another with SEQVAE_HOME") from error
    return path


def corpora() -> Path:
    return home() / "corpora"


def runs() -> Path:
    return home() / "runs"


def cache() -> Path:
    """Folder of downloads and spooled input; inside the home if that is `moved`, or `SEQVAE_HOME` set."""
    if _moved.get() or os.environ.get("SEQVAE_HOME"):
        return home() / "cache"
    import platformdirs

    return platformdirs.user_cache_path("seqvae", appauthor=False)

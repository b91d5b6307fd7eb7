"""Where things lie: one home for corpora and runs, one cache for downloads."""

from __future__ import annotations

import os
from pathlib import Path

from seqvae_cli.errors import MachineError


def home() -> Path:
    """`SEQVAE_HOME` where it is set, else the platform's data directory. Raises `MachineError` where it is a file."""
    if moved := os.environ.get("SEQVAE_HOME"):
        try:
            path = Path(moved).expanduser().absolute()
        except RuntimeError as error:
            raise MachineError(f"SEQVAE_HOME is {moved}, and nobody has that name", "name a folder") from error
        if os.path.isfile(path):  # noqa: PTH113 - which never raises
            raise MachineError(
                f"SEQVAE_HOME is {path}, which is a file", "name a folder; it is made where there is none"
            )
        return path
    import platformdirs

    return platformdirs.user_data_path("seqvae", appauthor=False)


def corpora() -> Path:
    return home() / "corpora"


def runs() -> Path:
    return home() / "runs"


def cache() -> Path:
    """Downloads and spooled input; inside the home where `SEQVAE_HOME` is set."""
    if os.environ.get("SEQVAE_HOME"):
        return home() / "cache"
    import platformdirs

    return platformdirs.user_cache_path("seqvae", appauthor=False)

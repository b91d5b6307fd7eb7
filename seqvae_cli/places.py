"""Where things lie: one home for corpora and runs, one cache for downloads."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """`SEQVAE_HOME` where it is set, else the platform's data directory."""
    if moved := os.environ.get("SEQVAE_HOME"):
        return Path(moved).expanduser().absolute()
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

"""Arrays on disk, memory-mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqvae_cli.errors import DataError


def memory_map(path: Path, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    """The first `count` numbers of a file, read as they are used. Raises `DataError` for a missing or shorter file."""
    if count == 0:  # an empty file cannot be mapped
        return np.empty(0, dtype)
    try:
        return np.memmap(path, dtype, mode="r", shape=(count,))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", "prepare the corpus again") from error
    except ValueError as error:
        raise DataError(f"{path} is too short", "prepare the corpus again") from error

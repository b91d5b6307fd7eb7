"""The stored evaluations of a run: `evaluations/` in its folder, one sealed JSON file for each signature."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqvae_cli.errors import UPGRADE, DataError, MachineError
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files, json_files

EVALUATION_FORMAT = 1
FOLDER = "evaluations"
NAME = r"[0-9a-f]{16}\.json"
"""Pattern of the file names."""

EVALUATE_AGAIN = "delete it, then evaluate again"


def paths(folder: Path) -> list[Path]:
    """The files of the evaluations of the run in `folder`."""
    return [file for file in files.entries(folder / FOLDER) if re.fullmatch(NAME, file.name)]


def write(run: Run, step: int, evaluation: Mapping[str, Any]) -> Path:
    """Stores the evaluation of the weights of `step`; it replaces an earlier one of the same signature, and no other.

    Raises `MachineError` where the run folder cannot be written.
    """
    name = hashlib.sha256(evaluation["signature"].encode()).hexdigest()[:16]
    path = run.path / FOLDER / f"{name}.json"
    with files.machine_errors(path):
        # Not its parents: a run that was removed meanwhile must not come back in parts.
        path.parent.mkdir(exist_ok=True)
    recorded = max([time.time_ns(), *(stored["recorded"] + 1 for stored in read_all(run, []))])  # clocks go back
    head = {"format": EVALUATION_FORMAT, "step": step, "recorded": recorded}
    json_files.write(path, {**head, **evaluation}, sealed=True)
    return path


def read(path: Path) -> dict[str, Any]:
    """One stored evaluation, with the `step` of its weights and when it was `recorded` (ns). Raises `DataError`."""
    value = json_files.read(path)
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        raise DataError(f"{path} holds no evaluation", EVALUATE_AGAIN)
    if value["format"] > EVALUATION_FORMAT:
        raise DataError(f"{path} was written by a newer seqvae (format {value['format']})", UPGRADE)
    value = json_files.unseal(value, path)
    texts = all(isinstance(value.get(key), str) for key in ("split", "signature"))
    if not texts or not all(isinstance(value.get(key), int) for key in ("step", "recorded", "iw_samples")):
        raise DataError(f"{path} holds no evaluation", EVALUATE_AGAIN)
    return value


def read_all(run: Run, damaged: list[str]) -> list[dict[str, Any]]:
    """All stored evaluations of a run; what is wrong with a file that cannot be read is added to `damaged`."""
    found = []
    for path in paths(run.path):
        try:
            found.append(read(path))
        except (DataError, MachineError) as error:
            damaged.append(error.message)
    return found

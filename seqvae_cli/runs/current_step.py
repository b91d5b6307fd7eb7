"""The step that a training is at, in its run folder, for who watches it from another process.

`step.json` is replaced once a second at most, without a sync, and a write that fails is ignored: only `runs watch`
reads it. It is removed when the training ends. A killed training leaves it: it is valid only while the run is locked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.system import files, json_files

FILE = "step.json"
SECONDS = 1.0
"""Between two writes, and before the first."""


class StepFile:
    """Keeps `step.json` of the run folder `path`, while the run is locked; removes an old one."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path / FILE, clock
        self._written = clock()
        self._began = time.time()
        self.close()

    def write(self, step: Mapping[str, Any]) -> None:
        """Writes the values of a step, if a second has passed, and `began`: seconds since 1970."""
        if self._clock() - self._written < SECONDS or not self._path.parent.is_dir():
            return
        self._written = self._clock()
        with suppress(MachineError):  # a full disk ends a training only where a checkpoint is lost
            files.write(self._path, json.dumps({**step, "began": self._began}).encode(), sync=False)

    def close(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any] | None:
    """The values of the last step in the run folder `path`; None where there are none that can be read."""
    with suppress(DataError, MachineError):
        step = json_files.read(path / FILE)
        return step if isinstance(step, dict) else None
    return None

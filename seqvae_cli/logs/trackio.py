"""A log for Trackio: a project on this machine, which its dashboard shows."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, ClassVar

from seqvae_cli.errors import MachineError
from seqvae_cli.logs.logger import Log

PROJECT = "seqvae"


class Trackio:
    """A run of Trackio, on disk unless its own variables name a Space or a server; without machine data."""

    live: ClassVar[bool] = False

    def __init__(self, log: Log) -> None:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
        here = "TRACKIO_DIR" not in os.environ
        if here:
            os.environ["TRACKIO_DIR"] = str(log.folder)  # read once, when it is imported
        try:
            with _silent():
                import trackio
                from trackio.utils import TRACKIO_DIR
        finally:
            if here:
                del os.environ["TRACKIO_DIR"]
        if here and Path(TRACKIO_DIR) != log.folder:
            raise MachineError(f"in this process it writes to {TRACKIO_DIR}; set TRACKIO_DIR to a place for all runs")
        self._trackio: Any = trackio
        with _silent():
            self._run: Any = trackio.init(
                project=PROJECT,
                name=log.run,
                config=dict(log.settings),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def text(self, step: int, name: str, text: str) -> None:
        code = "".join(f"    {line}\n" for line in text.splitlines())
        self._run.log({name: self._trackio.Markdown(code)}, step=step)

    def result(self, step: int, values: Mapping[str, float]) -> None:
        self.figures(step, values)

    def flush(self) -> None:
        """Trackio writes by itself."""

    def close(self) -> None:
        with _silent():
            self._trackio.finish()


@contextmanager
def _silent() -> Iterator[None]:
    """Without what it prints: the answer of a command has the standard output to itself."""
    with redirect_stdout(io.StringIO()):
        yield

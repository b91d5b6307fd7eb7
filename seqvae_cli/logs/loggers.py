"""The loggers that `train --log NAME` knows, by name."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from seqvae_cli.errors import MachineError, UsageError, nearest
from seqvae_cli.logs.logger import Log, Logger
from seqvae_cli.logs.mlflow import MLflow
from seqvae_cli.logs.tensorboard import TensorBoard
from seqvae_cli.logs.trackio import Trackio
from seqvae_cli.logs.wandb import WandB

FOLDER = "logs"
"""The folder of all logs in that of a run."""


@dataclass(frozen=True)
class Kind:
    open: Callable[[Log], Logger]
    view: str
    """The command that shows what lies in `{folder}`."""


LOGGERS = {
    "tensorboard": Kind(TensorBoard, "tensorboard --logdir {folder}"),
    "wandb": Kind(WandB, "wandb sync {folder}/offline-run-*"),
    "mlflow": Kind(MLflow, "mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db"),
    "trackio": Kind(Trackio, "TRACKIO_DIR={folder} trackio show --project seqvae"),
}
"""Name of the logger, of its package and of its extra -> how it is opened and read."""


def check(names: Iterable[str]) -> list[str]:
    """The names, each once. Raises `UsageError` for an unknown one, `MachineError` where its package is missing."""
    found = list(dict.fromkeys(names))
    for name in found:
        if name not in LOGGERS:
            raise UsageError(f"no logger {name!r}", nearest(name, LOGGERS))
        if find_spec(name) is None:
            raise MachineError(f"this log needs the package {name}", f'pip install "seqvae[{name}]"')
    return found


def folder(run: Path, name: str) -> Path:
    """Where the log `name` of the run folder `run` lies."""
    return run / FOLDER / name


def begun(run: Path) -> list[str]:
    """The logs that a run has."""
    return [name for name in LOGGERS if folder(run, name).is_dir()]


def view(run: Path, name: str) -> str:
    """The command that shows the log `name` of a run folder."""
    return LOGGERS[name].view.format(folder=shlex.quote(str(folder(run, name))))

"""A log for Weights & Biases: a run on disk, which nothing but `wandb sync` sends."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from seqvae_cli.logs.logger import Log


class WandB:
    """A run of wandb, offline unless its own `WANDB_MODE` says otherwise; without machine data, code and git."""

    live: ClassVar[bool] = False

    def __init__(self, log: Log) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # reports of crashes to its makers
        import wandb

        self._html: Any = wandb.Html
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "seqvae"),
            id=log.identity,
            name=log.run,
            dir=str(log.folder.parent),  # in which it makes a folder `wandb`
            mode=os.environ.get("WANDB_MODE", "offline"),
            resume="allow",
            config=dict(log.settings),
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def text(self, step: int, name: str, text: str) -> None:
        shown = self._html(f"<pre>{html.escape(text)}</pre>", data_is_not_path=True)
        self._run.log({name: shown}, step=step)

    def result(self, step: int, values: Mapping[str, float]) -> None:  # noqa: ARG002 - it stands beside the settings
        self._run.summary.update(dict(values))

    def flush(self) -> None:
        """wandb writes by itself."""

    def close(self) -> None:
        self._run.finish()

"""A log for MLflow: a run in a database of its own, or where `MLFLOW_TRACKING_URI` says."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any, ClassVar

from seqvae_cli.logs.logger import Log

EXPERIMENT = "seqvae"
IDENTITY = "seqvae.run"
"""The tag by which a resumed training finds its run."""
MOST = 1000
"""Metrics of one call, at most."""


class MLflow:
    """A run of MLflow, through a client of its own: the active run of the process stays what it is."""

    live: ClassVar[bool] = False

    def __init__(self, log: Log) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        from mlflow.entities import Metric
        from mlflow.tracking import MlflowClient

        self._metric: Any = Metric
        self._waiting: list[Any] = []
        elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
        self._client: Any = MlflowClient(tracking_uri=elsewhere or f"sqlite:///{log.folder / 'mlflow.db'}")
        known = self._client.get_experiment_by_name(EXPERIMENT)
        place = None if elsewhere else (log.folder / "artifacts").as_uri()
        experiment = known.experiment_id if known else self._client.create_experiment(EXPERIMENT, place)
        query = f"tags.`{IDENTITY}` = '{log.identity}'"
        if found := self._client.search_runs([experiment], query, max_results=1):
            self._run = found[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
        else:
            tags = {IDENTITY: log.identity}
            self._run = self._client.create_run(experiment, run_name=log.run, tags=tags).info.run_id
            for name, value in log.settings.items():
                self._client.log_param(self._run, name, value)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        now = time.time_ns() // 1_000_000
        self._waiting += [self._metric(name, value, now, step) for name, value in values.items()]

    def text(self, step: int, name: str, text: str) -> None:
        self._client.log_text(self._run, text, f"{name}/step-{step}.txt")

    def result(self, step: int, values: Mapping[str, float]) -> None:
        self.figures(step, values)

    def flush(self) -> None:
        waiting, self._waiting = iter(self._waiting), []
        while batch := list(islice(waiting, MOST)):
            self._client.log_batch(self._run, metrics=batch)

    def close(self) -> None:
        self._client.set_terminated(self._run)

"""The logs of wandb, MLflow and Trackio, read back by their own libraries; they stay on this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.logs import loggers
from seqvae_cli.logs.logged import logged
from seqvae_cli.logs.logger import Log
from seqvae_cli.runs.run import Run
from seqvae_cli.training import session
from seqvae_cli.training.events import StepEvent, WarningEvent
from tests.trainings import assert_same_run, fit, new_run

Points = Iterator[tuple[str, int, float]]


def records(data: bytes) -> Iterator[bytes]:
    """The records of a file of wandb, a log of LevelDB: pieces in blocks of 32 KiB, after 7 bytes of its own."""
    assert data.startswith(b":W&B")
    place, held = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # too little for a header: the next block
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        held += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole one, or the last piece
            yield held
            held = b""


def of_wandb(folder: Path) -> Points:
    from wandb.proto import wandb_internal_pb2

    for path in sorted(folder.glob("offline-run-*/*.wandb")):
        for record in map(wandb_internal_pb2.Record.FromString, records(path.read_bytes())):
            for item in record.history.item:
                value = json.loads(item.value_json)
                if isinstance(value, float):
                    yield item.key or "/".join(item.nested_key), record.history.step.num, value


def of_mlflow(folder: Path) -> Points:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("seqvae").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["model.hidden_size"] == "16"
    for name in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, name):
            yield name, metric.step, metric.value


def of_trackio(folder: Path) -> Points:
    from trackio.sqlite_storage import SQLiteStorage

    assert (folder / "seqvae.db").exists()
    for row in SQLiteStorage.get_logs("seqvae", "killed"):
        for name, value in row.items():
            if isinstance(value, float):
                yield name, row["step"], value


READERS: dict[str, Callable[[Path], Points]] = {"wandb": of_wandb, "mlflow": of_mlflow, "trackio": of_trackio}


def test_every_other_logger_is_read_here() -> None:
    assert {*READERS, "tensorboard"} == loggers.LOGGERS.keys()


def followed(run: Run, corpus: Corpus, name: str, **options: Any) -> None:
    events = list(logged(session.fit(run, corpus, **options), run, [name]))
    assert [event for event in events if isinstance(event, WarningEvent)] == []


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", READERS)
def test_the_log_of_a_killed_and_resumed_training_has_its_metrics_once(tiny_corpus: Corpus, name: str) -> None:
    if find_spec(name) is None:  # not imported: Trackio would choose its folder
        pytest.skip(f"the extra {name} is not installed")
    settings = {"train__epochs": 3, "train__batch_size": 4}
    quiet, run = new_run(tiny_corpus, "quiet", **settings), new_run(tiny_corpus, "killed", **settings)
    fit(quiet, tiny_corpus)
    events = logged(session.fit(run, tiny_corpus), run, [name])
    next(event for event in events if isinstance(event, StepEvent) and event.epoch == 2)
    events.close()  # type: ignore[attr-defined]
    followed(run, tiny_corpus, name, resume=True)
    assert_same_run(quiet, run)
    points = list(READERS[name](loggers.folder(run.path, name)))
    for tag, figure in (("validation/neg_elbo", "neg_elbo"), ("train/rate", "train_rate")):
        found = sorted((step, value) for key, step, value in points if key == tag)
        assert found == [(line["step"], line[figure]) for line in run.metrics()]
    assert sorted(step for key, step, _ in points if key == "step/rate") == [10, 20, 30, 40, 50, 60]


# --- what they are asked for, without the libraries


@pytest.fixture
def log(tmp_path: Path) -> Log:
    folder = tmp_path / "logs" / "any"
    folder.mkdir(parents=True)
    return Log(folder, "name", "1a2b", 0, {"train.lr": 0.001})


class Recorder:
    """Stands for any object of a library: keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append((name, arguments, options))
            return SimpleNamespace(log=lambda *_, **__: None, finish=lambda: None)

        return call

    def options(self, name: str) -> dict[str, Any]:
        (found,) = [options for called, _, options in self.calls if called == name]
        return found


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def installed(monkeypatch: pytest.MonkeyPatch, name: str, recorder: Recorder, **more: Any) -> None:
    module = ModuleType(name)
    module.__dict__.update(more)
    module.__getattr__ = recorder.__getattr__  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, name, module)


def test_wandb_is_offline_and_sends_nothing_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, log: Log, recorder: Recorder
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_ERROR_REPORTING", raising=False)
    installed(monkeypatch, "wandb", recorder)
    loggers.LOGGERS["wandb"].open(log)
    assert recorder.options("init")["mode"] == "offline"
    assert recorder.options("init")["id"] == log.identity
    settings = recorder.options("Settings")
    assert all(settings[f"{name}"] for name in ("disable_code", "disable_git", "x_disable_meta", "x_disable_stats"))
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"


def test_trackio_is_local_and_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, log: Log, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRACKIO_DIR", raising=False)

    installed(monkeypatch, "trackio", recorder, finish=lambda: sys.stdout.write("* Run finished"))
    installed(monkeypatch, "trackio.utils", recorder, TRACKIO_DIR=log.folder)
    logger = loggers.LOGGERS["trackio"].open(log)
    logger.close()
    assert capsys.readouterr().out == ""
    assert "space_id" not in recorder.options("init")
    assert recorder.options("init")["auto_log_cpu"] is recorder.options("init")["auto_log_gpu"] is False
    assert "TRACKIO_DIR" not in os.environ
    installed(monkeypatch, "trackio.utils", recorder, TRACKIO_DIR="/elsewhere")
    with pytest.raises(Exception, match="writes to /elsewhere"):
        loggers.LOGGERS["trackio"].open(log)

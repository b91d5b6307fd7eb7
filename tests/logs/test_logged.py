"""Logs hear a training and leave it as it is, whatever happens to them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from seqvae_cli.api import load, train_model
from seqvae_cli.config.schema import Settings
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import MachineError, UsageError
from seqvae_cli.logs import loggers
from seqvae_cli.logs.logged import logged
from seqvae_cli.logs.logger import Log
from seqvae_cli.logs.points import flat, points
from seqvae_cli.logs.texts import MAX_LEN, SAMPLES, STEPS
from seqvae_cli.runs import checkpoint
from seqvae_cli.runs.archive import Pack
from seqvae_cli.runs.run import Run
from seqvae_cli.training import session
from seqvae_cli.training.events import EndEvent, EvalEvent, SavedEvent, StepEvent, WarningEvent
from tests.conftest import SMALL, TINY, Seqvae
from tests.trainings import assert_same_run, fit, new_run


class Memory:
    """A logger that keeps what it is told, and fails where it is asked to."""

    live: ClassVar[bool] = False
    logs: ClassVar[list[Log]] = []
    told: ClassVar[list[tuple[int, str, Any]]] = []
    fails_at: ClassVar[int] = -1
    calls: ClassVar[int] = 0
    closed: ClassVar[int] = 0

    def __init__(self, log: Log) -> None:
        self.logs.append(log)
        self._call()

    def _call(self) -> None:
        type(self).calls += 1
        if self.calls - 1 == self.fails_at:
            raise OSError(28, "No space left on device", "/full/file")

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        self._call()
        self.told.extend((step, name, value) for name, value in values.items())

    def text(self, step: int, name: str, text: str) -> None:
        self._call()
        self.told.append((step, name, text))

    def result(self, step: int, values: Mapping[str, float]) -> None:
        self.figures(step, values)

    def flush(self) -> None:
        self._call()

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> type[Memory]:
    for name, value in {"logs": [], "told": [], "fails_at": -1, "calls": 0, "closed": 0, "live": False}.items():
        monkeypatch.setattr(Memory, name, value)
    monkeypatch.setitem(loggers.LOGGERS, "memory", loggers.Kind(Memory, "cat {folder}"))
    return Memory


def followed(run: Run, corpus: Corpus, **options: Any) -> list[Any]:
    return list(logged(session.fit(run, corpus, **options), run, ["memory"]))


def killed_in_its_second_epoch(run: Run, corpus: Corpus) -> None:
    """Leaves after a step that no checkpoint has."""
    events = logged(session.fit(run, corpus), run, ["memory"])
    next(event for event in events if isinstance(event, StepEvent) and event.epoch == 2)
    events.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("live", [True, False])
def test_a_training_is_the_same_with_a_log(
    tiny_corpus: Corpus, memory: type[Memory], live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "live", live)
    quiet, told = new_run(tiny_corpus, "quiet"), new_run(tiny_corpus, "told")
    events = fit(quiet, tiny_corpus)
    heard = followed(told, tiny_corpus)
    assert_same_run(quiet, told)
    assert [type(event) for event in heard] == [type(event) for event in events]
    assert memory.closed == 1
    steps = [step for step, name, _ in memory.told if name == "validation/neg_elbo"]
    assert steps == [line["step"] for line in told.metrics()]


@pytest.mark.parametrize("fails_at", [0, 3])
def test_a_log_that_fails_is_left_out_with_one_warning(
    tiny_corpus: Corpus, memory: type[Memory], fails_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "fails_at", fails_at)
    quiet, told = new_run(tiny_corpus, "quiet", train__epochs=1), new_run(tiny_corpus, "told", train__epochs=1)
    fit(quiet, tiny_corpus)
    (warning,) = [event for event in followed(told, tiny_corpus) if isinstance(event, WarningEvent)]
    assert "memory log failed" in warning.message
    assert "No space left" in warning.message
    assert memory.calls == fails_at + 1
    assert memory.closed == (fails_at > 0)
    assert_same_run(quiet, told)


def test_no_folder_for_a_log_is_a_warning(tiny_corpus: Corpus, memory: type[Memory]) -> None:
    run = new_run(tiny_corpus, "blocked", train__epochs=1)
    (run.path / "logs").write_text("a file")
    events = followed(run, tiny_corpus)
    assert [type(event) for event in events].count(WarningEvent) == 1
    assert memory.logs == []
    assert events[-1].reason == "finished"


def test_what_the_texts_cannot_read_is_a_warning(
    tiny_corpus: Corpus, memory: type[Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("seqvae_cli.logs.texts.loading.load_network", fail)
    run = new_run(tiny_corpus, "mute")
    (warning,) = [event for event in followed(run, tiny_corpus) if isinstance(event, WarningEvent)]
    assert "samples cannot be logged: MemoryError" in warning.message
    names = Counter(name for _, name, _ in memory.told)
    assert names["validation/neg_elbo"] == 2
    assert not names["samples"]


def test_a_killed_and_resumed_training_repeats_no_point(tiny_corpus: Corpus, memory: type[Memory]) -> None:
    run = new_run(tiny_corpus, "killed", train__epochs=3, train__batch_size=4)
    killed_in_its_second_epoch(run, tiny_corpus)
    followed(run, tiny_corpus, resume=True)
    assert [log.step for log in memory.logs] == [0, 20]
    assert len({log.identity for log in memory.logs}) == 1
    repeated = [key for key, count in Counter((step, name) for step, name, _ in memory.told).items() if count > 1]
    assert not repeated
    assert [step for step, name, _ in memory.told if name == "step/rate"] == [10, 20, 30, 40, 50, 60]
    assert {step for step, name, _ in memory.told if name == "samples"} <= {20, 40, 60}


def test_a_log_that_comes_late_begins_with_the_epochs_before(tiny_corpus: Corpus, memory: type[Memory]) -> None:
    run = new_run(tiny_corpus, "late", train__epochs=1)
    fit(run, tiny_corpus)
    followed(run, tiny_corpus, resume=True, epochs=2)
    told = [(step, value) for step, name, value in memory.told if name == "validation/rate"]
    assert told == [(line["step"], line["rate"]) for line in run.metrics()]
    assert len(told) == 2


def test_a_checkpoint_lies_on_disk_when_it_is_told(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "saved", train__epochs=1, train__save_every=1e-9)
    steps = []
    for event in session.fit(run, tiny_corpus):
        if isinstance(event, SavedEvent):
            assert checkpoint.step_of(checkpoint.newest(run.path / "last")) == event.step
            steps.append(event.step)
    assert steps == [*range(1, 11), 10]


def test_texts_are_those_of_the_best_weights(tiny_corpus: Corpus, memory: type[Memory]) -> None:
    run = new_run(tiny_corpus, "spoken", train__epochs=1)
    followed(run, tiny_corpus)
    texts = {name: text for _, name, text in memory.told if name in ("samples", "path")}
    model = load(run)
    assert texts["samples"].split("\n") == model.sample(SAMPLES, max_len=MAX_LEN)
    assert texts["path"].split("\n") == model.interpolate(steps=STEPS, random=True, max_len=MAX_LEN)


def test_the_result_stands_beside_the_settings(tiny_corpus: Corpus, memory: type[Memory]) -> None:
    run = new_run(tiny_corpus, "result", model__latent_size=0)
    end = followed(run, tiny_corpus)[-1]
    assert isinstance(end, EndEvent)
    assert memory.logs[0].settings["model.hidden_size"] == TINY["model.hidden_size"]
    found = {name: value for _, name, value in memory.told}
    assert found["result/best_neg_elbo"] == end.best_neg_elbo == min(line["neg_elbo"] for line in run.metrics())
    assert "path" not in found  # a language model has no code
    assert len(found["samples"].split("\n")) == SAMPLES


def test_points_are_finite_and_have_a_rate_for_each_dimension() -> None:
    line = {"rate": 1.0, "elbo_ppl": math.inf, "rate_by_dimension": [0.25] * 12}
    found = points(EvalEvent.of_line(line))
    assert found["rate_by_dimension/01"] == found["rate_by_dimension/12"] == 0.25
    assert found["validation/rate"] == 1
    assert "validation/elbo_ppl" not in found
    assert "train/rate" not in found  # NaN: the line lacks it
    assert "rate_by_dimension/1" not in points(EvalEvent.of_line(line | {"rate_by_dimension": [1.0]}))


def test_settings_are_told_by_the_names_of_set() -> None:
    found = flat(Settings())
    assert found["train.lr"] == Settings().train.lr
    assert found["seed"] == Settings().seed
    assert all(isinstance(value, bool | int | float | str) for value in found.values())


# --- names


@pytest.mark.usefixtures("memory")
def test_an_archive_leaves_logs_out(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "packed")
    path = loggers.folder(run.path, "memory")
    path.mkdir(parents=True)
    (path / "events").write_text("much")
    assert loggers.begun(run.path) == ["memory"]
    assert not [name for name in Pack(run).files if name.startswith("logs")]


def test_a_name_is_checked_before_a_run_is_made(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no logger 'tensorbord'") as caught:
        train_model(TINY, log=["tensorbord"])
    assert caught.value.hint == "did you mean 'tensorboard'?"
    monkeypatch.setattr(loggers, "find_spec", lambda _: None)
    with pytest.raises(MachineError, match="package tensorboard") as missing:
        train_model(TINY, log="tensorboard")
    assert missing.value.hint == 'pip install "seqvae[tensorboard]"'
    assert [path.name for path in (trained_home / "runs").iterdir() if path.is_dir()] == ["tiny-run"]


@pytest.mark.usefixtures("trained_home")
def test_the_command_goes_on_with_the_logs_of_a_run(
    seqvae: Seqvae, memory: type[Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda _: True)
    first = seqvae("train", "--data", "tiny", "--name", "told", "--log", "memory", "--log", "memory", *SMALL)
    assert first.code == 0, first.err
    assert first.err.count("log: cat ") == 1
    again = seqvae("train", "--resume", "told", "--epochs", "3")
    assert again.code == 0, again.err
    assert [log.step for log in memory.logs] == [0, 20]
    unknown = seqvae("train", "--log", "memry")
    assert unknown.code == 2
    assert "did you mean 'memory'?" in unknown.err


def test_the_help_names_every_logger(seqvae: Seqvae) -> None:
    page = seqvae("train", "--help").out
    assert all(name in page for name in loggers.LOGGERS)

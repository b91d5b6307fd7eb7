"""The step of a training in progress, as its run folder tells it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.runs import archive, current_step, watching
from seqvae_cli.runs.current_step import FILE, StepFile
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files
from seqvae_cli.training import session
from seqvae_cli.training.events import EvalEvent, StepEvent
from tests.cli.terminal import STEP
from tests.trainings import new_run


def test_a_step_is_written_at_most_once_a_second_and_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_text("{}")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    seconds = [0.0]
    file = StepFile(tmp_path, clock=lambda: seconds[-1])
    assert current_step.read(tmp_path) is None, "that of a killed training is removed"
    found = []
    for step, second in enumerate((0.5, 1.0, 1.9, 2.0)):
        seconds.append(second)
        file.write({"step": step})
        values = current_step.read(tmp_path)
        found.append(values["step"] if values else None)
    assert found == [None, 1, 1, 3]
    assert synced == []
    file.close()
    assert list(tmp_path.iterdir()) == []
    tmp_path.rmdir()
    seconds.append(9.0)
    file.write({"step": 5})
    assert not tmp_path.exists(), "a removed run does not come back in parts"


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"epoch": NaN}', "\x00"])
def test_a_file_that_cannot_be_read_is_no_step(tmp_path: Path, text: str) -> None:
    assert current_step.read(tmp_path) is None
    (tmp_path / FILE).write_text(text)
    assert current_step.read(tmp_path) is None
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    assert current_step.read(tmp_path) is None


def test_a_watcher_reads_the_steps_of_a_training(tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_step, "SECONDS", 0.0)
    run = new_run(tiny_corpus, "watched")
    seen = []
    for event in session.fit(run, tiny_corpus):
        look = next(watching.follow(run.path))
        if isinstance(event, StepEvent | EvalEvent):
            assert look.step is not None
            assert look.step["began"] > 0
            seen.append((event.epoch, event.step))
            shown = StepEvent.of_values(look.step)
            assert shown == event or (isinstance(event, EvalEvent) and (shown.epoch, shown.step) == seen[-1])
    assert len(seen) >= 4
    assert not (run.path / FILE).exists()
    (run.path / FILE).write_text("{}")
    packed = archive.Pack(Run(run.path))
    assert FILE not in packed.files
    assert next(watching.follow(run.path)).step is None, "nobody trains it"


def test_a_disk_that_takes_no_step_does_not_end_the_training(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current_step, "SECONDS", 0.0)
    refused = []

    def rename(source: Path, target: Path) -> Path:
        if Path(target).name == FILE:
            refused.append(source)
            raise OSError(28, "No space left on device")
        os.replace(source, target)  # noqa: PTH105
        return target

    monkeypatch.setattr(Path, "replace", rename)
    run = new_run(tiny_corpus, "full")
    assert [event for event in session.fit(run, tiny_corpus) if isinstance(event, EvalEvent)]
    assert refused
    assert not list(run.path.rglob(f"{files.TEMPORARY}*"))
    assert Run(run.path).status == "finished"


def test_values_of_a_step_are_checked() -> None:
    assert StepEvent.of_values(asdict(STEP)) == STEP
    odd = StepEvent.of_values({"step": -1, "steps": 10**299, "epoch": True, "phase": 3})
    assert (odd.step, odd.steps, odd.epoch, odd.phase) == (0, 0, 0, "")

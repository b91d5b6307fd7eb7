"""Stored evaluations: written sealed, one file a signature, and read back as they were."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.runs import evaluations
from seqvae_cli.runs.run import Run
from seqvae_cli.system import json_files
from tests.runs.test_registry import create

VALUES = {"split": "test", "iw_samples": 1, "iw_ppl": None, "bleu": 1.5, "signature": "K:1"}


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


@pytest.fixture
def run() -> Run:
    return create("a")


def test_what_is_written_is_read_back_a_file_a_signature(run: Run) -> None:
    path = evaluations.write(run, 20, VALUES)
    assert path == run.path / "evaluations" / f"{hashlib.sha256(b'K:1').hexdigest()[:16]}.json"
    kept = evaluations.read(path)
    assert kept.items() >= VALUES.items()
    assert kept["step"] == 20
    evaluations.write(run, 20, VALUES | {"signature": "K:2", "iw_samples": 2})
    evaluations.write(run, 20, VALUES | {"bleu": 7.0})
    assert sorted(value["bleu"] for value in evaluations.read_all(run, [])) == [1.5, 7.0]
    assert evaluations.read(path)["bleu"] == 7.0
    assert path in evaluations.paths(run.path)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(bleu=99.0),
        lambda value: value.pop("format"),
        lambda value: value.update(format=evaluations.EVALUATION_FORMAT + 1),
    ],
    ids=["changed", "no format", "newer"],
)
def test_a_damaged_evaluation_is_an_error_and_costs_only_itself(
    run: Run, change: Callable[[dict[str, Any]], object]
) -> None:
    damaged, whole = (evaluations.write(run, 20, VALUES | {"signature": name}) for name in "ab")
    rewritten(damaged, change)
    (run.path / "evaluations" / "notes.json").write_text("mine")
    with pytest.raises(DataError, match=damaged.name):
        evaluations.read(damaged)
    messages: list[str] = []
    assert evaluations.read_all(run, messages) == [evaluations.read(whole)]
    assert len(messages) == 1
    assert damaged.name in messages[0]


@pytest.mark.parametrize("key", ["split", "signature", "step", "recorded", "iw_samples"])
def test_an_evaluation_without_what_tells_it_apart_is_refused(run: Run, key: str) -> None:
    path = run.path / "evaluations" / f"{'0' * 16}.json"
    whole = {"format": evaluations.EVALUATION_FORMAT, "step": 20, "recorded": 0, **VALUES}
    json_files.write(path, whole, sealed=True)
    assert evaluations.read(path)["step"] == 20
    json_files.write(path, {name: value for name, value in whole.items() if name != key}, sealed=True)
    with pytest.raises(DataError, match="holds no evaluation"):
        evaluations.read(path)


def test_a_run_that_was_removed_does_not_come_back_in_parts(run: Run) -> None:
    shutil.rmtree(run.path)
    with pytest.raises(MachineError):
        evaluations.write(run, 20, VALUES)
    assert not run.path.exists()

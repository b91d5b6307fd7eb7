"""A training followed from its folder, until its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from seqvae_cli.errors import DataError, NotFoundError
from seqvae_cli.runs import watching
from seqvae_cli.runs.run import Run
from tests.runs.folders import create


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def in_training(run: Run, *events: Callable[[], object]) -> Iterator[watching.Look]:
    """Looks at a run whose lock is held; one event happens after each look, and after the last the run is finished."""
    with ExitStack() as training:
        training.enter_context(run.lock())
        run.start()
        pending = list(events)

        def wait(seconds: float) -> None:
            assert seconds == watching.SECONDS
            if pending:
                pending.pop(0)()
            else:
                run.update(status="finished", epoch=1, epochs=1)
                training.close()

        yield from watching.follow(run.path, wait)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("info", "end"),
    [
        ({"status": "finished", "epoch": 2, "epochs": 2}, "finished"),
        ({"status": "finished", "epoch": 2, "epochs": 3}, "stopped"),
        ({"status": "interrupted", "epoch": 2, "epochs": 3}, "interrupted"),
        ({"status": "diverged", "failure": "the loss is not finite"}, "diverged"),
        ({"status": "failed", "failure": "OSError()"}, "failed"),
        ({"status": "running"}, "killed"),
        ({"status": "created"}, "killed"),
    ],
)
def test_a_run_that_is_not_in_training_ends_at_once_and_stays_as_it_is(info: dict[str, object], end: str) -> None:
    run = create("one")
    with run.lock():
        run.update(**info)
    (run.path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    before, waits = contents(run.path), []
    looks = list(watching.follow(run.path, waits.append))
    assert [look.end for look in looks] == ["", "", end] if end == "killed" else [end]
    assert looks[-1].lines == run.metrics()
    assert len(waits) == len(looks) - 1
    assert contents(run.path) == before


@pytest.mark.usefixtures("home")
def test_epochs_come_as_they_are_written_and_half_a_line_is_waited_for() -> None:
    run = create("one")
    metrics = run.path / "metrics.jsonl"
    looks = in_training(
        run,
        lambda: metrics.write_text('{"epoch": 1}\n{"epo'),
        lambda: metrics.write_text('{"epoch": 1}\n{"epoch": 2}\n'),
        lambda: metrics.write_text('{"epoch": 1, "again": true}\n'),  # resumed from an older checkpoint
    )
    found = [([line["epoch"] for line in look.lines], look.end) for look in looks]
    assert found == [([], ""), ([1], ""), ([1, 2], ""), ([1], ""), ([1], "finished")]


@pytest.mark.usefixtures("home")
def test_a_killed_run_that_is_resumed_within_a_moment_is_followed_on() -> None:
    run = create("one")
    looks = watching.follow(run.path, lambda _: None)
    assert next(looks).end == ""
    with run.lock():
        run.start()
        assert [next(looks).end for _ in range(5)] == [""] * 5
        run.update(status="finished", epoch=3, epochs=3)
        assert next(looks).end == "", "whoever holds the lock may go on: a resume of a finished run does"
    assert [look.end for look in looks] == ["finished"]


@pytest.mark.usefixtures("home")
def test_damage_and_removal_are_told() -> None:
    run = create("one")
    metrics = run.path / "metrics.jsonl"
    with pytest.raises(DataError, match=r"metrics\.jsonl cannot be read"):
        list(in_training(run, lambda: metrics.write_text("{]\n")))
    metrics.write_text('{"epo')
    with pytest.raises(DataError, match=r"metrics\.jsonl cannot be read"):
        list(watching.follow(run.path, lambda _: None))  # nobody writes the rest
    looks = watching.follow(run.path, lambda _: None)
    next(looks)
    run.path.rename(run.path.with_name("two"))
    with pytest.raises(NotFoundError, match="removed while it was watched"):
        next(looks)


@pytest.mark.usefixtures("home")
def test_the_default_is_the_run_in_training_else_the_latest() -> None:
    with pytest.raises(NotFoundError):
        watching.default()
    first, second = create("first"), create("second")
    assert watching.default().name == "second"
    with first.lock():
        assert watching.default().name == "first"
        with second.lock():
            assert watching.default().name == "second"


def test_lines_of_a_run_are_the_fields_of_its_events(trained_home: Path) -> None:
    from dataclasses import asdict

    from seqvae_cli.training.events import EvalEvent

    for line in Run(trained_home / "runs" / "tiny-run").metrics():
        assert json.loads(json.dumps(asdict(EvalEvent.of_line(line)))) == line
    damaged = EvalEvent.of_line({"epoch": "x", "phase": 3, "best": 1, "elbo_ppl": None, "active_units": 1.5})
    assert (damaged.epoch, damaged.phase, damaged.best, damaged.active_units) == (0, "", False, 0)
    assert damaged.elbo_ppl == float("inf")

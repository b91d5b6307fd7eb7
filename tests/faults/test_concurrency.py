"""Rows 6 and 7: many trainings at once in one home, and two that want the same run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import HOLDER, Run, is_held
from seqvae_cli.system import files, json_files
from tests.conftest import SMALL, Seqvae
from tests.faults.matrix import assert_one_line, command, snapshot, still_loads, tries, wait_for
from tests.faults.nursery import Nursery
from tests.trainings import assert_same_run, fit, long_run

AT_ONCE = 8

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def leftovers(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.name.startswith(files.TEMPORARY)]


def assert_nothing_locked(home: Path) -> None:
    assert [lock for lock in home.rglob("*lock") if is_held(lock)] == []


@contextmanager
def watched(pool: ThreadPoolExecutor) -> Iterator[list[tuple[str, str]]]:
    """Lists the runs without a pause, and keeps those that could not be read."""
    over, damaged = threading.Event(), list[tuple[str, str]]()

    def watch() -> None:
        while not over.is_set():
            damaged.extend(registry.runs()[1])

    watching = pool.submit(watch)
    try:
        yield damaged
    finally:
        over.set()
    watching.result()


@pytest.mark.row(6)
@pytest.mark.parametrize("seed", tries(20, 1))
def test_eight_trainings_at_once_are_eight_whole_runs_and_the_list_never_fails(
    trained_home: Path, seqvae: Seqvae, shared_nursery: Nursery, seed: int
) -> None:
    others = snapshot(trained_home)
    epochs = 1 + seed % 2
    training = ["train", "--data", "tiny", *SMALL, "--epochs", str(epochs), "-q"]
    beside = subprocess.Popen(command("runs", "list", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with ThreadPoolExecutor() as pool, watched(pool) as damaged:
        shared_nursery.start(trained_home, *[training] * AT_ONCE)
        most = 0
        while not shared_nursery.ended(0.01):
            answer = seqvae("runs", "list", "--json")
            assert (answer.code, answer.err) == (0, "")
            assert len(answer.lines) >= most, "a run was lost"
            most = len(answer.lines)
            assert all(json.loads(line)["status"] not in ("failed", "diverged") for line in answer.lines)
        out, err = beside.communicate(timeout=60)
    assert most > 1
    assert damaged == [], "a run was seen half made"
    assert (beside.returncode, err) == (0, b"")
    assert all(json.loads(line)["run"] for line in out.splitlines())
    assert shared_nursery.wait() == [0] * AT_ONCE
    for number in range(AT_ONCE):
        assert "error:" not in shared_nursery.stderr(number)

    names = [f"tiny-default-{number + 1}" for number in range(AT_ONCE)]
    assert registry.names() == sorted([*names, "tiny-run"])
    runs = [registry.find(name) for name in names]
    assert [run.status for run in runs] == ["finished"] * AT_ONCE
    for run in runs:
        still_loads(run)
        assert_same_run(run, runs[0])  # the same settings: whatever one took from another would show
        assert len(run.metrics()) == epochs
    if epochs == 2:
        assert_same_run(runs[0], registry.find("tiny-run"))  # which was trained alone
    assert leftovers(trained_home) == []
    assert_nothing_locked(trained_home)
    assert seqvae("runs", "doctor").code == 0
    assert {name: snapshot(trained_home)[name] for name in others} == others


@pytest.mark.row(7)
@pytest.mark.parametrize("seed", tries(20, 1))
def test_of_two_resumes_one_goes_on_and_the_other_is_told_who(
    tiny_corpus: Corpus, trained_home: Path, uninterrupted: Run, shared_nursery: Nursery, seed: int
) -> None:
    run = long_run(tiny_corpus, "wanted")
    steps = iter(range(1 + 7 * seed))
    fit(run, tiny_corpus, stop=lambda: next(steps, None) is None)
    assert registry.find("wanted").status == "interrupted"
    others = snapshot(trained_home / "runs" / "tiny-run")

    pids = shared_nursery.start(trained_home, *[["train", "--resume", "wanted", "-q"]] * 2)
    wait_for(lambda: registry.find("wanted").status == "running")
    winner = json_files.read(run.path / HOLDER)["pid"]
    assert winner in pids
    os.kill(winner, signal.SIGSTOP)  # so that it cannot end while the other one waits
    loser = 1 - pids.index(winner)
    try:
        wait_for(lambda: bool(shared_nursery.stderr(loser)), seconds=20)
        assert registry.find("wanted").status == "running"
    finally:
        os.kill(winner, signal.SIGCONT)
    codes = shared_nursery.wait()
    assert (codes[1 - loser], codes[loser]) == (0, 5)
    told = shared_nursery.stderr(loser)
    assert_one_line(told, f"run wanted is being trained by process {winner} on {socket.gethostname()}")
    assert len(told.splitlines()) == 2
    assert "error:" not in shared_nursery.stderr(1 - loser)

    finished = registry.find("wanted")
    assert finished.status == "finished"
    still_loads(finished)
    assert_same_run(finished, uninterrupted)
    assert leftovers(trained_home) == []
    assert_nothing_locked(trained_home)
    assert snapshot(trained_home / "runs" / "tiny-run") == others

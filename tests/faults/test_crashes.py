"""Crashes: the process is killed, the machine stops in the middle of a save, the disk keeps half of what it was given.

What is on disk afterwards is the old state or the new one, and `--resume` ends with the bits of a run that never
stopped.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqvae_cli.data import corpus
from seqvae_cli.errors import DataError, NotFoundError
from seqvae_cli.runs import checkpoint, doctor, loading, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files
from seqvae_cli.training.events import WarningEvent
from tests.conftest import Seqvae
from tests.faults.matrix import snapshot, tries, wait_for
from tests.faults.nursery import Nursery
from tests.faults.unsafe_disk import PLACES, UnsafeDisk
from tests.preloaded import Preloaded
from tests.trainings import assert_same_run, fit, long_run, new_run

# Row 1


def survived(forked: Preloaded, uninterrupted: Run, others: dict[str, bytes]) -> None:
    """After a kill: the other run is as it was, and resuming ends with the bits of a run that nothing disturbed."""
    assert registry.find("killed").status == "interrupted"
    assert snapshot(registry.find("tiny-run").path) == others
    assert forked.run("train", "--resume", "auto", "-q").code == 0
    run = registry.find("killed")
    assert run.status == "finished"
    assert_same_run(uninterrupted, run)
    assert not list(run.path.rglob(f"{files.TEMPORARY}*"))


@pytest.mark.row(1)
@pytest.mark.parametrize("seed", tries(75, 1))
def test_kill_9_at_a_random_moment_then_resume_gives_the_very_bits(
    trained_home: Path, uninterrupted: Run, forked: Preloaded, shared_nursery: Nursery, seed: int
) -> None:
    run = long_run(corpus.find("tiny"), "killed")
    others = snapshot(trained_home / "runs" / "tiny-run")
    moments = random.Random(seed)
    (pid,) = shared_nursery.start(trained_home, ["train", "--resume", "killed", "-q"])
    epochs = moments.randrange(7)
    wait_for(lambda: registry.find("killed").status == "running" and len(run.metrics()) >= epochs)
    time.sleep(moments.uniform(0, 0.3))
    os.kill(pid, signal.SIGKILL)
    assert shared_nursery.wait() == [-signal.SIGKILL]
    survived(forked, uninterrupted, others)


WITHIN_A_SAVE = """
import os, signal, sys
from seqvae_cli.cli import boundary
from seqvae_cli.runs import checkpoint, loading

left = int(sys.argv[1])
write = checkpoint.write

def counted(name):
    real = getattr(os, name)
    def call(*arguments, **options):
        global left
        if name != "fsync":
            real(*arguments, **options)
        if saving:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        if name == "fsync":
            real(*arguments, **options)
    return call

saving = False
def watched(*arguments, **options):
    global saving
    saving = True
    try:
        return write(*arguments, **options)
    finally:
        saving = False

checkpoint.write = watched
for name in ("fsync", "replace", "unlink", "mkdir"):
    setattr(os, name, counted(name))
sys.exit(boundary.main(["train", "--resume", "killed", "-q"]))
"""
"""A training that sends itself SIGKILL at the n-th step of its saves."""


@pytest.mark.row(1)
@pytest.mark.parametrize("seed", tries(25, 1))
def test_kill_9_within_a_save_then_resume_gives_the_very_bits(
    trained_home: Path, uninterrupted: Run, forked: Preloaded, seed: int
) -> None:
    long_run(corpus.find("tiny"), "killed")
    others = snapshot(trained_home / "runs" / "tiny-run")
    step = random.Random(seed).randint(1, 250)
    killed = subprocess.run([sys.executable, "-c", WITHIN_A_SAVE, str(step)], capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    survived(forked, uninterrupted, others)


# Rows 2 and 3: one training, of which every operation on the disk is known


@pytest.fixture(scope="module")
def recorded(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, UnsafeDisk]]:
    """A training that saves after every step, and what it did to the disk."""
    home = tmp_path_factory.mktemp("recorded") / "home"
    shutil.copytree(tiny_home, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQVAE_HOME", str(home))
        tiny = corpus.find("tiny")
        run = new_run(tiny, "watched", train__save_every=1e-9)
        disk = UnsafeDisk(run.path)
        with disk.watched():
            fit(run, tiny)
        yield run, disk


def saved(disk: UnsafeDisk, after: int, kind: str) -> list[int]:
    """The checkpoints in `last` that are complete after so many operations: their numbers, by what was done to them."""
    found = [
        int(note.path.split("/")[1])
        for note in disk.notes[:after]
        if note.kind == kind
        and note.path.startswith("last/")
        and (kind != "rename" or note.path.endswith("/manifest.json"))
    ]
    return sorted(set(found))


def in_a_new_home(run: Run, home: Path) -> Path:
    """Where the run lies in another home with the same corpora and another run."""
    shutil.copytree(run.path.parent.parent / "corpora", home / "corpora")
    shutil.copytree(run.path.parent / "tiny-run", home / "runs" / "tiny-run")
    return home / "runs" / run.name


def number_of_newest(path: Path, damaged: list[str]) -> int | None:
    try:
        return int(checkpoint.newest(path / "last", damaged).name)
    except NotFoundError:
        return None


def resumes_exactly(quiet: Run, damaged: list[str]) -> None:
    """Resuming warns of what is damaged, and of nothing else, and gives the bits of the quiet run."""
    run = registry.find(quiet.name)
    bests = checkpoint.generations(run.path / "best")
    hurt = any(checkpoint.of_step(run.path / "best", step_of(path)) is None for path in bests)
    events = fit(run, corpus.find("tiny"), resume=True)
    told = [event.message for event in events if isinstance(event, WarningEvent)]
    assert hurt or not any("best one" in message for message in told)
    told = [message for message in told if "best one" not in message and "from the beginning" not in message]
    assert len(told) == len(damaged)
    assert all(message in warning for message, warning in zip(damaged, told, strict=True))
    assert_same_run(quiet, run)
    assert [finding for finding in doctor.examine(run.path) if checkpoint.DAMAGED not in finding.problem] == []


def step_of(path: Path) -> int:
    """What the manifest says, damaged or not; -1 where it says nothing."""
    try:
        return checkpoint.step_of(path)
    except (DataError, KeyError, TypeError):
        return -1


@pytest.mark.row(2)
@pytest.mark.parametrize("seed", tries(3, 1))
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("place", PLACES)
def test_a_crash_at_any_step_of_a_save_leaves_the_old_or_the_new(
    recorded: tuple[Run, UnsafeDisk], home: Path, place: str, when: str, seed: int
) -> None:
    run, disk = recorded
    steps = [index for index, note in enumerate(disk.notes) if note.kind == place and note.path.startswith("last")]
    after = random.Random(seed).choice(steps) + (when == "after")
    others = snapshot(run.path.parent / "tiny-run")
    disk.crash(in_a_new_home(run, home), after)
    complete = saved(disk, after, "rename")
    assert number_of_newest(home / "runs" / run.name, []) == (complete[-1] if complete else None)
    assert registry.find(run.name).status == "interrupted"
    resumes_exactly(run, [])
    assert snapshot(home / "runs" / "tiny-run") == others


@pytest.mark.row(3)
@pytest.mark.parametrize("seed", tries(100, 3))
def test_what_was_not_synced_may_be_lost_or_garbled_and_nothing_that_counts_is(
    recorded: tuple[Run, UnsafeDisk], home: Path, seed: int
) -> None:
    run, disk = recorded
    rng = random.Random(seed)
    after = rng.randrange(len(disk.notes) + 1)
    disk.crash(in_a_new_home(run, home), after, rng)
    damaged: list[str] = []
    found = number_of_newest(home / "runs" / run.name, damaged)
    done = saved(disk, after, "rename")
    sure = [number for number in done if is_synced(disk, after, number)]
    assert found in {*done[-1:], *sure[-1:]} or (not sure and found is None)
    resumes_exactly(run, damaged)


def is_synced(disk: UnsafeDisk, after: int, number: int) -> bool:
    """The manifest has its name, and the folder was synced since."""
    folder = f"last/{number:06d}"
    kinds = [note.kind for note in disk.notes[:after] if note.path in (folder, f"{folder}/manifest.json")]
    return "rename" in kinds and "sync_folder" in kinds[kinds.index("rename") :]


@pytest.mark.row(3)
@pytest.mark.parametrize("seed", tries(100, 3))
def test_where_the_disk_lied_about_a_sync_the_newest_checkpoint_that_verifies_is_used(
    recorded: tuple[Run, UnsafeDisk], home: Path, seed: int
) -> None:
    """From a chosen sync on the disk keeps nothing for sure of one save, and the machine stops at its end."""
    run, disk = recorded
    rng = random.Random(seed)
    number = rng.choice(saved(disk, len(disk.notes), "rename")[1:])
    folder = f"last/{number:06d}"
    steps = [index for index, note in enumerate(disk.notes) if note.path.startswith(folder)]
    renamed = next(index for index in steps if disk.notes[index].path == f"{folder}/manifest.json")
    syncs = [index for index in steps if disk.notes[index].kind.startswith("sync") and index <= renamed + 1]
    disk.crash(in_a_new_home(run, home), renamed + 2, rng, lies=(rng.choice(syncs), renamed + 2))
    damaged: list[str] = []
    assert number_of_newest(home / "runs" / run.name, damaged) in (number, number - 1)
    assert all(folder in message for message in damaged)
    resumes_exactly(run, damaged)


@pytest.mark.row(3)
def test_the_disk_of_these_tests_does_lose_and_garble(recorded: tuple[Run, UnsafeDisk], home: Path) -> None:
    """Were everything kept, the tests above would prove nothing."""
    _, disk = recorded
    newest = saved(disk, len(disk.notes), "rename")[-1]
    fates = set()
    for seed in range(20):
        target = home / str(seed)
        begin = next(index for index, note in enumerate(disk.notes) if note.path.startswith(f"last/{newest:06d}"))
        disk.crash(target, len(disk.notes), random.Random(seed), lies=(begin, len(disk.notes)))
        damaged: list[str] = []
        fates.add((number_of_newest(target, damaged) == newest, bool(damaged)))
    assert fates >= {(False, True), (False, False)}


@pytest.mark.row(2)
def test_a_new_run_is_there_whole_or_not_at_all(tiny_home: Path, home: Path, seqvae: Seqvae, tmp_path: Path) -> None:
    shutil.copytree(tiny_home, home)
    disk = UnsafeDisk(home / "runs")
    with disk.watched():
        new_run(corpus.find("tiny"), "new")
    appeared = set()
    for after in range(len(disk.notes) + 1):
        for seed in (None, *tries(5, 1)):
            target = tmp_path / f"{after}-{seed}"
            shutil.copytree(home / "corpora", target / "corpora")
            disk.crash(target / "runs", after, None if seed is None else random.Random(seed))
            seqvae.monkeypatch.setenv("SEQVAE_HOME", str(target))
            good, bad = registry.runs()
            assert bad == []
            names = {run.name for run in good}
            assert "tiny-run" in names
            appeared.add("new" in names)
            if "new" in names:
                loading.load_settings_and_tokenizer(registry.find("new"))
            shutil.rmtree(target)
    assert appeared == {True, False}

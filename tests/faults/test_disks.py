"""Disks that are full, folders that take nothing, links where files were expected: rows 5, 26 and 27."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from seqvae_cli.data import corpus
from seqvae_cli.runs import checkpoint, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files
from tests.conftest import SMALL, Seqvae, tiny_text
from tests.faults.matrix import (
    FULL,
    assert_one_line,
    command,
    files_limited,
    seqvae_process,
    snapshot,
    still_loads,
)
from tests.preloaded import Preloaded
from tests.trainings import new_run

TRAIN = ["train", "--data", "tiny", "--name", "new", *SMALL]


def no_leftovers(folder: Path) -> None:
    assert not [path for path in folder.rglob(f"{files.TEMPORARY}*") if path.suffix != ".lock"]


# Row 5: the disk is full


@pytest.mark.row(5)
@pytest.mark.parametrize("size", [0, 1000, 8000])
def test_a_training_that_cannot_save_leaves_the_other_runs_and_says_where(
    trained_home: Path, seqvae: Seqvae, size: int
) -> None:
    """No byte, not all of the small files, no weights: none of the three fits."""
    before = snapshot(trained_home)
    with files_limited(size):
        answer = seqvae(*TRAIN)
    assert answer.code == 5
    assert_one_line(answer.err, str(trained_home), "File too large")
    assert {name: snapshot(trained_home).get(name) for name in before} == before
    no_leftovers(trained_home)
    for name in set(registry.names()) - {"tiny-run"}:
        assert registry.find(name).status == "failed"
        assert not registry.find(name).has_checkpoint()


@pytest.mark.row(5)
def test_a_resume_that_cannot_save_keeps_the_last_checkpoint(trained_home: Path, seqvae: Seqvae) -> None:
    path = trained_home / "runs" / "tiny-run"
    before = snapshot(path)
    arguments = ["train", "--resume", "tiny-run", "--epochs", "4"]
    with files_limited(8000):
        answer = seqvae(*arguments)
    assert answer.code == 5
    assert_one_line(answer.err, str(path), "File too large")
    after = snapshot(path)
    assert {name for name in before if after[name] != before[name]} == {"run.json"}
    run = registry.find("tiny-run")
    still_loads(run)
    assert run.status == "failed"
    assert seqvae(*arguments).code == 0  # once there is space
    assert registry.find("tiny-run").status == "finished"


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=1m none "$SEQVAE_HOME" && cp -r "$0/." "$SEQVAE_HOME" || exit 77
"$@"
echo "rc $?"
PROGRAM sample new -n 1 -q && PROGRAM sample tiny-run -n 1 -q || exit 78
PROGRAM runs doctor
"""


@pytest.mark.row(5)
@pytest.mark.skipif(not FULL, reason="six processes on a disk of its own: make faults")
def test_a_disk_that_fills_up_while_training_keeps_the_checkpoint_before(trained_home: Path, tmp_path: Path) -> None:
    """A real one of 1 MB: the first epoch can be saved, the next cannot."""
    disk = tmp_path / "disk"
    disk.mkdir()
    program = " ".join(command())
    train = command(*TRAIN, "--set", "model.hidden_size=64", "--epochs", "5", "--set", "train.patience=0")
    script = ["unshare", "-m", "sh", "-c", ON_A_SMALL_DISK.replace("PROGRAM", program), str(trained_home), *train]
    if shutil.which("unshare") is None:
        pytest.skip("a disk of our own cannot be mounted: there is no unshare")
    environment = os.environ | {"SEQVAE_HOME": str(disk)}
    result = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if result.returncode in (1, 32, 77) and "rc" not in result.stdout:
        pytest.skip("a disk of our own cannot be mounted: no right to")
    assert "rc 5" in result.stdout, result.stdout + result.stderr
    assert result.returncode == 0, result.stdout + result.stderr
    assert_one_line(result.stderr, str(disk), "No space left", "free some space")


@pytest.mark.row(5)
def test_prepare_on_a_full_disk_leaves_no_half_corpus(home: Path, seqvae: Seqvae, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n".join(tiny_text()))
    with files_limited(200):
        answer = seqvae("prepare", str(tmp_path / "text.txt"))
    assert answer.code == 5
    assert_one_line(answer.err, str(home), "File too large")
    assert corpus.list_prepared() == []
    no_leftovers(home)


@pytest.mark.row(5)
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["encode", "the cat sees it", "-o", "codes.npy"], "codes.npy"),
        (["runs", "export", "tiny-run", "run.tar.gz"], "run.tar.gz"),
        (["runs", "plot", "-o", "curves.svg", "--only", "kl"], "curves.svg"),
    ],
)
@pytest.mark.usefixtures("trained_home")
def test_an_answer_that_does_not_fit_is_not_there_in_part(
    seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if name != "run.tar.gz":  # which is never overwritten
        (tmp_path / name).write_text("precious")
    before = snapshot(tmp_path)
    with files_limited(100):
        answer = seqvae(*arguments)
    assert answer.code == 5
    assert_one_line(answer.err, name, "File too large")
    assert snapshot(tmp_path) == before
    still_loads(registry.find("tiny-run"))


FULL_STDOUT = [["sample", "-n", "500"], ["runs", "list"], ["encode", "the cat"], ["runs", "path"]]


@pytest.mark.row(5)
@pytest.mark.parametrize("arguments", FULL_STDOUT, ids=lambda arguments: arguments[1])
def test_a_full_stdout_is_told(trained_home: Path, forked: Preloaded, arguments: list[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    before = snapshot(trained_home)
    with open("/dev/full", "w") as full:
        result = forked.run(*arguments, stdout=full.fileno())
    assert result.code == 5
    assert_one_line(result.err, "standard output", "No space left")
    assert snapshot(trained_home) == before


# Row 26: nothing can be written


FORBIDDEN = [TRAIN, ["train", "--resume", "tiny-run", "--epochs", "9"], ["encode", "the cat", "-o", "sealed/codes.npy"]]


@pytest.mark.row(26)
@pytest.mark.parametrize("arguments", FORBIDDEN, ids=lambda arguments: arguments[1])
def test_what_may_not_be_written_is_told_before_the_first_step(
    trained_home: Path, forked: Preloaded, tmp_path: Path, arguments: list[str]
) -> None:
    before = snapshot(trained_home)
    places = [trained_home / "runs", trained_home / "runs" / "tiny-run", tmp_path / "sealed"]
    places[-1].mkdir()
    for path in places:
        path.chmod(0o500)
    result = forked.run(*arguments, ordinary=True, cwd=tmp_path)
    reading = forked.run("sample", "-n", "1", ordinary=True)
    for path in places:
        path.chmod(0o700)
    assert result.code == 5
    assert_one_line(result.err, "Permission denied", "give yourself permission")
    assert any(str(path) in result.err for path in [*places, "error: sealed/codes.npy"])
    assert files.TEMPORARY not in result.err
    assert "epoch" not in result.err
    assert snapshot(trained_home) == before
    assert list(places[-1].iterdir()) == []
    assert reading.code == 0  # a home that may only be read


@pytest.mark.row(26)
@pytest.mark.parametrize("place", ["", "runs", "corpora"])
def test_a_file_where_a_folder_should_be(trained_home: Path, seqvae: Seqvae, tmp_path: Path, place: str) -> None:
    (tmp_path / "text.txt").write_text("\n".join(tiny_text()))
    path = trained_home / place
    shutil.rmtree(path)
    path.write_text("not a folder")
    needs = {"": ["runs", "list"], "runs": TRAIN, "corpora": ["prepare", str(tmp_path / "text.txt")]}
    for arguments in (needs[place], needs["corpora"] if place == "" else needs[place]):
        answer = seqvae(*arguments)
        assert answer.code == 5
        assert_one_line(answer.err, str(path))
    assert path.read_text() == "not a folder"


@pytest.mark.row(26)
def test_without_a_home_directory_everything_has_a_place(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("SEQVAE_HOME", "XDG_DATA_HOME")}
    environment["XDG_DATA_HOME"] = str(tmp_path / "data")
    environment.pop("HOME", None)
    (tmp_path / "text.txt").write_text("\n".join(tiny_text()))
    result = seqvae_process("prepare", str(tmp_path / "text.txt"), "--name", "homeless", env=environment)
    assert result.returncode == 0, result.stderr
    assert list((tmp_path / "data" / "seqvae" / "corpora").glob("homeless-*"))


# Row 27: links


@pytest.fixture
def elsewhere(trained_home: Path, tmp_path: Path) -> Run:
    """A run whose folder lies on another disk, with a link to it in the home."""
    (tmp_path / "far").mkdir()
    shutil.move(trained_home / "runs" / "tiny-run", tmp_path / "far" / "tiny-run")
    (trained_home / "runs" / "tiny-run").symlink_to(tmp_path / "far" / "tiny-run")
    return registry.find("tiny-run")


@pytest.mark.row(27)
def test_rm_through_a_link_moves_the_link_and_never_the_run(elsewhere: Run, seqvae: Seqvae, tmp_path: Path) -> None:
    before = snapshot(tmp_path / "far")
    assert seqvae("runs", "rm", "tiny-run").code == 0
    assert registry.names() == []
    assert snapshot(tmp_path / "far") == before
    assert seqvae("runs", "restore", "tiny-run").code == 0
    assert elsewhere.path.is_symlink()
    still_loads(registry.find("tiny-run"))


@pytest.mark.row(27)
def test_a_run_behind_a_link_is_trained_where_it_lies(elsewhere: Run, seqvae: Seqvae, tmp_path: Path) -> None:
    assert seqvae("train", "--resume", "tiny-run", "--epochs", "3").code == 0
    assert elsewhere.path.is_symlink()
    assert checkpoint.verify(checkpoint.newest(tmp_path / "far" / "tiny-run" / "last")) == 30


@pytest.mark.row(27)
@pytest.mark.usefixtures("trained_home")
def test_files_that_are_links_are_replaced_and_their_targets_kept(seqvae: Seqvae, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    run = registry.find("tiny-run")
    for path in (run.path / "metrics.jsonl", tmp_path / "codes.npy"):
        path.unlink(missing_ok=True)
        path.symlink_to(precious)
    assert seqvae("train", "--resume", "tiny-run", "--epochs", "3").code == 0
    assert seqvae("encode", "the cat sees it", "-o", str(tmp_path / "codes.npy")).code == 0
    assert precious.read_text() == "precious"
    assert len(registry.find("tiny-run").metrics()) == 3
    assert np.load(tmp_path / "codes.npy").shape == (1, 4)


@pytest.mark.row(27)
def test_links_under_temporary_names_and_among_the_checkpoints_lose_no_target(
    trained_home: Path, seqvae: Seqvae, tmp_path: Path
) -> None:
    far = tmp_path / "far"
    shutil.copytree(trained_home / "runs" / "tiny-run" / "last", far)
    before = snapshot(far)
    run = registry.find("tiny-run").path
    (run / f"{files.TEMPORARY}run.json-0000").symlink_to(far / "000002" / "manifest.json")
    (run / "last" / "000000").symlink_to(far / "000001")
    (trained_home / "runs" / f"{files.TEMPORARY}run-0000").symlink_to(far)
    (trained_home / "runs" / f"{files.TEMPORARY}run-0000.lock").touch()
    assert seqvae("train", "--resume", "tiny-run", "--epochs", "3").code == 0
    new_run(corpus.find("tiny"), "another")  # sweeps what is left beside the runs
    assert snapshot(far) == before
    assert not os.path.lexists(run / f"{files.TEMPORARY}run.json-0000")
    assert not os.path.lexists(trained_home / "runs" / f"{files.TEMPORARY}run-0000")

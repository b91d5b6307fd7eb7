"""Row 35: runs on another disk than the home, a clock that was set back, file names that are not UTF-8."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqvae_cli.data import corpus as corpora
from seqvae_cli.errors import MachineError
from seqvae_cli.runs import evaluations, registry, trash
from seqvae_cli.system import files, json_files
from tests.conftest import SMALL, Seqvae, tiny_text
from tests.faults.matrix import assert_one_line, snapshot
from tests.runs.folders import create

pytestmark = pytest.mark.row(35)

# Disks


@pytest.fixture(params=["another disk", "as if it were another disk"])
def apart(request: pytest.FixtureRequest, trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home, whose runs lie on another disk."""
    if request.param == "another disk":
        here = trained_home.stat().st_dev
        places = (Path("/dev/shm"), Path(tempfile.gettempdir()), Path(__file__).parent)
        others = [place for place in places if os.access(place, os.W_OK) and place.stat().st_dev != here]
        if not others:
            pytest.skip("needs a second disk")
        with tempfile.TemporaryDirectory(dir=others[0]) as folder:
            shutil.move(trained_home / "runs", f"{folder}/runs")
            (trained_home / "runs").symlink_to(f"{folder}/runs")
            yield trained_home
        return
    rename = Path.rename

    def within_a_disk(path: Path, target: Path) -> Path:
        if ("trash" in path.parts) != ("trash" in Path(target).parts):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", within_a_disk)
    yield trained_home


def test_a_run_on_another_disk_is_removed_and_restored(apart: Path, seqvae: Seqvae, tmp_path: Path) -> None:
    path = apart / "runs" / "tiny-run"
    (path / "link").symlink_to("run.json")
    (apart / "runs" / "linked").symlink_to(tmp_path)
    before = snapshot(path)
    for name in ("tiny-run", "linked"):
        answer = seqvae("runs", "rm", name)
        assert answer.code == 0, answer.err
    assert not [entry for entry in (apart / "runs").iterdir() if not entry.name.endswith(".lock")]
    (entry,) = [entry for entry in trash.trashed() if entry.name == "tiny-run"]
    assert snapshot(entry.path) == before
    for name in ("tiny-run", "linked"):
        answer = seqvae("runs", "restore", name)
        assert answer.code == 0, answer.err
    assert snapshot(path) == before
    assert (path / "link").readlink() == Path("run.json")
    assert (apart / "runs" / "linked").readlink() == tmp_path
    assert trash.trashed() == []
    assert not list(apart.rglob(f"{files.TEMPORARY}*"))


@pytest.mark.parametrize("moment", ["while it copies", "before the old one goes"])
def test_a_crash_between_two_disks_leaves_a_whole_run(
    moment: str, apart: Path, seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `kill` would leave: nothing is cleaned up."""
    path, taken = apart / "runs" / "tiny-run", files._copy
    before = snapshot(path)

    def copy(source: str, target: str) -> None:
        if moment == "while it copies" and source.endswith("manifest.json"):
            raise SystemExit(9)
        taken(source, target)

    def sync(folder: Path) -> None:
        if moment != "while it copies" and folder == trash.folder():
            raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_copy", copy)
        patch.setattr(files, "sync_directory", sync)
        patch.setattr(files, "_remove", lambda _: None)
        seqvae("runs", "rm", "tiny-run")
    assert snapshot(path) == before
    assert [snapshot(entry.path) for entry in trash.trashed()] == ([] if moment == "while it copies" else [before])
    assert seqvae("runs", "rm", "tiny-run").code == 0
    assert not path.exists()
    assert snapshot(trash.restore("tiny-run")) == before


def test_a_full_disk_for_the_trash_is_told_and_the_run_stays(
    apart: Path, seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(apart / "runs")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copy2", full)
    answer = seqvae("runs", "rm", "tiny-run")
    assert answer.code == 5
    assert_one_line(answer.err, str(apart / "trash"), "No space left")
    assert snapshot(apart / "runs") == before
    assert trash.trashed() == []


def test_a_run_is_exported_to_a_disk_without_hard_links(
    trained_home: Path, seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", without)
    file = trained_home.parent / "stick.tar.gz"
    assert seqvae("runs", "export", "tiny-run", str(file)).code == 0
    assert seqvae("runs", "import", str(file), "--name", "again").code == 0
    with pytest.raises(MachineError, match="exists"):
        files.write(file, b"", new=True)
    assert file.stat().st_size > 1000
    monkeypatch.setattr(Path, "replace", without)
    with pytest.raises(MachineError):
        files.write(file.with_name("other"), b"lost", new=True)
    assert not file.with_name("other").exists()
    assert not list(file.parent.glob(f"{files.TEMPORARY}*"))


# The clock


def test_latest_is_the_run_made_last_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    create("zero")
    for name, now in (("z", 5), ("y", 3), ("x", 4), ("w", 2**62)):
        monkeypatch.setattr("time.time_ns", lambda now=now: now)
        create(name).update(status="interrupted")
        assert registry.find("latest").name == registry.resumable().name == name
    assert [run.name for run in registry.runs()[0]] == ["zero", "z", "y", "x", "w"]


def test_a_run_from_the_end_of_time_leaves_room_for_others() -> None:
    create("x").update(created=2**63)
    create("y")
    assert [run.name for run in registry.runs()[0]] == ["x", "y"]


def test_restore_takes_the_run_removed_last_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for threads, now in ((1, 9), (2, 5), (3, 7)):
        monkeypatch.setattr("time.time_ns", lambda now=now: now)
        trash.discard(_with_threads(threads))
    assert [entry.removed for entry in trash.trashed()] == [9, 10, 11]
    trash.restore("x")
    assert registry.find("x").info["threads"] == 3


def _with_threads(threads: int) -> Path:
    run = create("x")
    run.update(threads=threads)
    return run.path


def test_the_evaluation_stored_last_counts_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    run = create("x")
    for signature, now in (("a", 9), ("b", 5)):
        monkeypatch.setattr("time.time_ns", lambda now=now: now)
        evaluations.write(run, 1, {"signature": signature, "split": "test", "iw_samples": 2})
    stored = {value["signature"]: value["recorded"] for value in evaluations.read_all(run, [])}
    assert stored["b"] > stored["a"]


# Names


@pytest.fixture
def latin(tmp_path: Path) -> Path:
    """A folder whose name is Latin-1."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this disk takes UTF-8 alone")
    return folder


@pytest.mark.parametrize("split", [False, True])
def test_a_text_whose_name_is_not_utf8_is_prepared(split: bool, latin: Path, seqvae: Seqvae) -> None:
    text = latin / os.fsdecode(b"na\xefve.txt")
    text.write_text("\n".join(tiny_text()))
    answer = seqvae("prepare", str(text), *(["--valid", str(text)] if split else []), "--name", "c")
    assert answer.code == 0, answer.err
    corpus = corpora.find("c")
    corpus.verify()
    assert text.name in corpus.info["source"]
    listed = seqvae("corpora", "--json")
    assert listed.code == 0
    assert json.loads(listed.out)["name"] == "c"


def test_every_command_takes_paths_that_are_not_utf8(latin: Path, seqvae: Seqvae) -> None:
    def name(suffix: str) -> str:
        return str(latin / os.fsdecode(b"\xe9" + suffix.encode()))

    def answered(*arguments: str) -> str:
        answer = seqvae(*arguments)
        assert answer.code == 0, answer.err
        return answer.out

    Path(name(".txt")).write_text("\n".join(tiny_text()))
    Path(name(".yaml")).write_text("seed: 1\n")
    answered("prepare", name(".txt"), "--name", "c")
    answered("train", *SMALL, "--epochs", "1", "--config", name(".yaml"), "--name", "r", "-v")
    answered("runs", "export", "r", name(".tar.gz"))
    exported = json.loads(answered("runs", "export", "r", name(".again.tar.gz"), "--json"))
    assert exported["file"] == name(".again.tar.gz")
    answered("runs", "import", name(".tar.gz"), "--name", "again")
    answered("encode", name(".txt"), "-o", name(".npy"))
    assert len(answered("decode", name(".npy")).splitlines()) == len(tiny_text())
    answered("runs", "rm", "again")
    answered("runs", "list", "--trash")
    answered("runs", "restore", "again")
    answered("runs", "doctor", "--json")
    for refused in (
        ["runs", "import", name(".none")],
        ["train", "--config", name(".none")],
        ["train", "--name", "\udce9"],
    ):
        answer = seqvae(*refused)
        assert answer.code in (2, 4)
        assert_one_line(answer.err, "\\udce9")


def test_a_home_whose_name_is_not_utf8_is_refused_before_any_work(
    latin: Path, seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained there, a run could not be read again: safetensors opens no such path."""
    monkeypatch.setenv("SEQVAE_HOME", str(latin / "home"))
    (tmp_path / "text.txt").write_text("\n".join(tiny_text()))
    for arguments in (["prepare", str(tmp_path / "text.txt")], ["train"], ["runs", "list"], ["sample"]):
        answer = seqvae(*arguments)
        assert answer.code == 5
        assert_one_line(answer.err, "caf\\udce9/home is not UTF-8", "SEQVAE_HOME")
    assert list(latin.iterdir()) == []


def test_a_value_with_a_name_that_is_not_utf8_is_written_as_json_and_read_back(tmp_path: Path) -> None:
    value = {"source": os.fsdecode(b"caf\xe9"), "text": "é\u2028"}
    json_files.write(tmp_path / "x.json", value, sealed=True)
    assert json_files.unseal(json_files.read(tmp_path / "x.json"), tmp_path) == value
    assert (tmp_path / "x.json").read_bytes().decode().count("é") == 1

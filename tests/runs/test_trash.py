"""The trash restores runs unchanged, and never deletes or overwrites."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqvae_cli.errors import MachineError, NotFoundError, SeqvaeError, UsageError
from seqvae_cli.runs import registry, trash
from seqvae_cli.runs.run import Run
from seqvae_cli.system import places
from tests.runs.folders import INVALID_NAMES, create, holder


def remove(name: str) -> Path:
    return trash.discard(trash.removable(name))


def test_a_removed_run_is_restored_unchanged() -> None:
    run = create("x")
    run.tag(["paper"])
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    target = remove("x")
    assert registry.names() == []
    assert target.parent == places.home() / "trash"
    (entry,) = trash.trashed()
    assert (entry.name, entry.path) == ("x", target)
    assert trash.restore("x") == run.path
    after = {path.name: path.read_bytes() for path in run.path.iterdir() if path.name != "lock"}
    assert after == {name: data for name, data in before.items() if name != "lock"}
    assert trash.trashed() == []


def test_restore_takes_the_last_removed_of_several_with_one_name() -> None:
    for seed in range(3):
        create("x").update(threads=seed)
        remove("x")
    assert len(trash.trashed()) == 3
    trash.restore("x")
    assert registry.find("x").info["threads"] == 2
    with pytest.raises(UsageError, match="'x' exists") as caught:
        trash.restore("x")
    assert "runs rm x" in caught.value.hint
    assert len(trash.trashed()) == 2
    remove("x")
    assert [Run(entry.path).info["threads"] for entry in trash.trashed()] == [0, 1, 2]


def test_restore_does_not_replace_a_broken_link_or_an_empty_folder(tmp_path: Path) -> None:
    create("x")
    target = remove("x")
    (places.runs() / "x").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError):
        trash.restore("x")
    (places.runs() / "x").unlink()
    (places.runs() / "x").mkdir()  # empty: a rename would replace it
    with pytest.raises(UsageError):
        trash.restore("x")
    assert target.is_dir()


def test_removing_a_linked_run_moves_the_link_and_keeps_the_target(tmp_path: Path) -> None:
    run = create("x")
    real = tmp_path / "elsewhere"
    run.path.rename(real)
    run.path.symlink_to(real)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in real.iterdir()}
    assert trash.size(run.path) == 0
    target = remove("x")
    assert target.is_symlink()
    assert target.readlink() == real
    assert registry.names() == []
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in real.iterdir()} == before
    trash.restore("x")
    assert (places.runs() / "x").is_symlink()
    assert registry.find("x").info == run.info


def test_a_broken_link_can_be_removed(tmp_path: Path) -> None:
    places.runs().mkdir(parents=True)
    (places.runs() / "x").symlink_to(tmp_path / "nowhere")
    assert remove("x").is_symlink()
    assert list(places.runs().iterdir()) == []


def test_a_run_in_training_cannot_be_removed() -> None:
    run = create("x")
    path = trash.removable("x")
    with holder(run):
        with pytest.raises(MachineError, match="being trained by process") as caught:
            trash.removable("x")
        assert caught.value.exit_code == 5
        with pytest.raises(MachineError, match="being trained by process"):
            trash.discard(path)  # its training began after the names were checked
        assert run.path.is_dir()
    assert trash.trashed() == []
    remove("x")


def test_a_damaged_run_can_be_removed_and_restored() -> None:
    run = create("x")
    (run.path / "run.json").write_text("{")
    remove("x")
    assert trash.restore("x") == run.path


@pytest.mark.parametrize("name", [*INVALID_NAMES, "latest", "best"], ids=lambda name: repr(name)[:12])
def test_bad_names_are_refused(name: str) -> None:
    create("x")
    with pytest.raises((UsageError, NotFoundError)):
        trash.removable(name)
    with pytest.raises((UsageError, NotFoundError)):
        trash.restore(name)
    assert registry.names() == ["x"]


def test_a_prefix_is_not_enough_and_the_full_name_is_in_the_hint() -> None:
    create("ptb-default-1")
    with pytest.raises(NotFoundError) as caught:
        trash.removable("ptb")
    assert "ptb-default-1" in caught.value.hint
    create("ptb-default-2")
    with pytest.raises(SeqvaeError) as several:
        trash.removable("ptb")
    assert several.value.exit_code == 3
    assert "ptb-default-1" in several.value.hint


def test_foreign_folders_in_the_trash_are_not_listed() -> None:
    create("x")
    remove("x")
    for name in ("notes.txt", "y", "z~", "../q~1", "Q~1", "x~1~2"):
        (trash.folder() / name.replace("/", "_")).mkdir()
    assert [entry.name for entry in trash.trashed()] == ["x"]


def test_an_empty_trash_has_nothing_to_restore() -> None:
    assert trash.trashed() == []
    with pytest.raises(NotFoundError):
        trash.restore("x")

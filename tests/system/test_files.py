"""Durable files: complete or absent, verified; machine errors name the path."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.system import files, json_files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Writing


def test_write_returns_the_digest_of_the_file(tmp_path: Path) -> None:
    blocks = [b"one", b"", b"two" * 100_000]
    for data in (b"".join(blocks), iter(blocks)):
        path = tmp_path / "new" / "folder" / "file"
        assert files.write(path, data) == hashlib.sha256(path.read_bytes()).hexdigest() == files.sha256(path)
        assert path.read_bytes() == b"".join(blocks)
        assert names(path.parent) == ["file"]


def test_a_header_is_written_last_and_counts_in_the_digest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with closing(files.DurableFile(path)) as file:
        file.write(b"head")
        file.write(b"body" * 100_000)
        file.write_start(b"HEAD")
        assert not path.exists()
        assert file.commit() == files.sha256(path) == hashlib.sha256(b"HEAD" + b"body" * 100_000).hexdigest()


def test_a_failing_source_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, b"old")

    def failing(error: BaseException) -> Iterator[bytes]:
        yield b"half of the new"
        raise error

    for error in (ValueError("bad block"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            files.write(path, failing(error))
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("place", ["open", "write", "fsync", "replace"])
def test_a_failure_at_any_step_leaves_the_old_file_and_names_the_path(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    files.write(path, b"old")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    real = open

    def opened(*arguments: Any, **options: Any) -> Any:
        file = real(*arguments, **options)
        return SimpleNamespace(write=refuse, close=file.close)

    with monkeypatch.context() as patch:
        if place == "open":
            patch.setattr("builtins.open", refuse)
        elif place == "write":
            patch.setattr(files, "open", opened, raising=False)
        elif place == "fsync":
            patch.setattr(os, "fsync", refuse)
        elif place == "replace":
            patch.setattr(Path, "replace", refuse)
        with pytest.raises(MachineError) as caught:
            files.write(path, b"new")
    assert str(path) in caught.value.message
    assert os.strerror(errno.ENOSPC) in caught.value.message
    assert files.TEMPORARY not in caught.value.message
    assert caught.value.hint == "free some space"
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_errors_of_the_data_source_are_not_attributed_to_the_file(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError(errno.EIO, "the source is broken")

    with pytest.raises(OSError, match="the source is broken"):
        files.write(tmp_path / "file", broken())
    assert names(tmp_path) == []


def test_messages_never_contain_a_temporary_name(tmp_path: Path) -> None:
    draft = tmp_path / f"{files.TEMPORARY}run-01"
    for named in (draft, draft / "best" / "1" / "file", draft / "best" / f"{files.TEMPORARY}file-02"):
        with pytest.raises(MachineError) as caught, files.machine_errors(draft / "best" / "file"):
            raise OSError(errno.EIO, "broken", str(named))
        assert caught.value.message.startswith(f"{tmp_path}: ")


def test_a_full_home_hints_at_seqvae_home(home: Path) -> None:
    with pytest.raises(MachineError) as caught, files.machine_errors(home / "runs" / "a"):
        raise OSError(errno.ENOSPC, "full")
    assert caught.value.hint == "free some space, or move the home with SEQVAE_HOME"


def test_the_file_is_synced_before_its_rename_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    synced: list[tuple[bool, bool]] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        synced.append((os.path.isdir(f"/proc/self/fd/{handle}"), path.exists()))  # noqa: PTH112
        fsync(handle)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to see what is synced")
    monkeypatch.setattr(os, "fsync", watched)
    files.write(path, b"data")
    assert synced == [(False, False), (True, True)]


def test_a_link_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"precious")
    link.symlink_to(target)
    files.write(link, b"new")
    assert target.read_bytes() == b"precious"
    assert not link.is_symlink()
    assert link.read_bytes() == b"new"


def test_a_file_in_place_of_a_folder_is_a_machine_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "below", tmp_path / "file" / "far" / "below", tmp_path / "folder"):
        with pytest.raises(MachineError) as caught:
            files.write(path, b"data")
        assert str(tmp_path) in caught.value.message
    assert names(tmp_path) == ["file", "folder"]
    assert names(tmp_path / "folder") == []


FULL = """
import resource, sys
from pathlib import Path
from seqvae_cli.system import files, json_files
from seqvae_cli.errors import MachineError

path = Path(sys.argv[1])
sys.dont_write_bytecode = True  # it would be cut, too
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # Python ignores SIGXFSZ
for blocks in ([b"x" * 2000], [b"x" * 600, b"x" * 600]):
    try:
        files.write(path, blocks)
    except MachineError as error:
        assert str(path.parent) in error.message, error.message
    else:
        raise SystemExit("written beyond the limit")
print(sorted(p.name for p in path.parent.iterdir()), path.read_bytes())
"""


def test_a_full_disk_is_a_machine_error_and_the_old_file_stays(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    (tmp_path / "file").write_bytes(b"old")
    result = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "file")], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stderr == ""
    assert result.stdout == "['file'] b'old'\n"


FORBIDDEN = """
import os, sys
from pathlib import Path
from seqvae_cli.system import files, json_files
from seqvae_cli.errors import MachineError

if os.geteuid() == 0:
    os.setuid(65534)  # permissions do not hold for root
try:
    files.write(Path(sys.argv[1]), b"data")
except MachineError as error:
    assert sys.argv[1] in error.message or os.path.dirname(sys.argv[1]) in error.message, error.message
    assert "permission" in error.hint
    print(error.exit_code)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_no_permission_is_a_machine_error_with_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    result = subprocess.run(
        [sys.executable, "-c", FORBIDDEN, str(folder / "file")], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.stdout, result.stderr) == ("5\n", "")
    assert names(folder) == []


# JSON


def test_json_survives_a_round_trip(tmp_path: Path) -> None:
    value = {"text": "naïve \u2028 ☃", "number": 0.1 + 0.2, "none": None, "list": [1, True]}
    digest = json_files.write(tmp_path / "file.json", value)
    assert json_files.read(tmp_path / "file.json") == value
    assert digest == files.sha256(tmp_path / "file.json")


def test_nan_is_rejected_in_json(tmp_path: Path) -> None:
    json_files.write(tmp_path / "file.json", 1)
    with pytest.raises(ValueError, match="JSON"):
        json_files.write(tmp_path / "file.json", {"loss": float("nan")})
    assert json_files.read(tmp_path / "file.json") == 1


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1 2", b"9" * 5000, b'{"a": 1} \0'],
    ids=lambda data: repr(data[:6]),
)
def test_invalid_json_is_a_data_error_with_the_path(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        json_files.read(path)
    assert str(path) in caught.value.message


def test_missing_json_is_a_data_error_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"file\.json is missing"):
        json_files.read(tmp_path / "file.json")


# Verifying and sweeping


def test_verify_names_the_file_that_differs(tmp_path: Path) -> None:
    digests = {name: files.write(tmp_path / name, name.encode() * 50) for name in ("a", "b", "c")}
    files.verify(tmp_path, digests)
    files.verify(tmp_path, {})
    original = (tmp_path / "b").read_bytes()
    for damaged in (original[:-1], original + b"\0", b"", original[:20] + b"c" + original[21:]):
        (tmp_path / "b").write_bytes(damaged)
        with pytest.raises(DataError, match="b is damaged"):
            files.verify(tmp_path, digests)
    (tmp_path / "b").unlink()
    with pytest.raises(DataError, match="b is missing"):
        files.verify(tmp_path, digests)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="b is missing"):
        files.verify(tmp_path, digests)


def test_sha256_reports_every_byte(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (3 << 20))
    heard: list[int] = []
    assert files.sha256(tmp_path / "file", heard.append) == hashlib.sha256(b"x" * (3 << 20)).hexdigest()
    assert sum(heard) == 3 << 20
    with pytest.raises(MachineError, match="none"):
        files.sha256(tmp_path / "none")


def test_sweep_deletes_unfinished_files_alone(tmp_path: Path) -> None:
    for name in (f"{files.TEMPORARY}file-1", f"{files.TEMPORARY}", "file", "tmp-file", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / f"{files.TEMPORARY}folder").mkdir()
    target = tmp_path / "file"
    (tmp_path / f"{files.TEMPORARY}link").symlink_to(target)
    files.sweep(tmp_path)
    files.sweep(tmp_path / "no such folder")
    assert names(tmp_path) == [".hidden", f"{files.TEMPORARY}folder", "file", "tmp-file"]


def test_a_durable_file_appears_on_commit(tmp_path: Path) -> None:
    data = [b"a" * 7, b"b" * (1 << 19), b"", b"c"]
    path = tmp_path / "file"
    digest = hashlib.sha256(b"".join(data)).hexdigest()
    for end in ("closed", "other", "committed"):
        file = files.DurableFile(path)
        for block in data:
            file.write(block)
        assert not path.exists()
        if end == "other":
            with pytest.raises(DataError, match="file is damaged"):
                file.commit("0" * 64)
        if end == "committed":
            assert file.commit(digest) == digest == files.sha256(path)
        file.close()
        assert names(tmp_path) == (["file"] if end == "committed" else [])


def test_unseal_detects_any_changed_value(tmp_path: Path) -> None:
    path, value = tmp_path / "file", {"b": [1, 2.5, None], "a": {"text": "ü"}}
    json_files.write(path, value, sealed=True)
    sealed = json_files.read(path)
    assert json_files.unseal(sealed, path) == value
    changed = [{**sealed, "b": [1, 2.5, 0]}, {**sealed, "c": 1}, value, {**sealed, "digest": None}, [], None]
    for other in changed:
        with pytest.raises(DataError, match="damaged"):
            json_files.unseal(other, path)


def test_new_folders_are_synced_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_directory", synced.append)
    files.make_folder(tmp_path / "a" / "b" / "c")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    files.make_folder(tmp_path / "a" / "b")
    assert len(synced) == 3


# Claims


def test_a_claimed_path_is_deleted_unless_it_was_renamed(tmp_path: Path) -> None:
    with files.claimed(tmp_path, "draft") as path:
        path.mkdir()
        (path / "part").write_bytes(b"")
        path.rename(tmp_path / "kept")
    with suppress(ZeroDivisionError), files.claimed(tmp_path, "draft") as path:
        path.mkdir()
        raise ZeroDivisionError
    assert names(tmp_path) == ["kept"]
    assert names(tmp_path / "kept") == ["part"]


def test_a_claim_leaves_what_others_call_temporary(tmp_path: Path) -> None:
    """Exports are made beside the files of a user."""
    (tmp_path / ".tmp-mine").mkdir()
    for name in (".tmp-mine.lock", ".tmp-mine/file"):
        (tmp_path / name).write_bytes(b"")
    with files.claimed(tmp_path, "export"):
        pass
    assert names(tmp_path) == [".tmp-mine", ".tmp-mine.lock"]
    assert names(tmp_path / ".tmp-mine") == ["file"]


def test_a_claim_sweeps_leftovers_of_a_crash_but_not_work_in_progress(tmp_path: Path) -> None:
    (tmp_path / f"{files.TEMPORARY}dead-1").mkdir()
    (tmp_path / f"{files.TEMPORARY}dead-1.lock").write_bytes(b"")
    with files.claimed(tmp_path, "alive") as alive:
        alive.write_bytes(b"data")
        with files.claimed(tmp_path, "other") as other:
            assert other != alive
        assert alive.read_bytes() == b"data"
        assert not (tmp_path / f"{files.TEMPORARY}dead-1").exists()
    assert names(tmp_path) == []

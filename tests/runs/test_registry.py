"""Run folders are created whole, found by name or alias, and listed even beside damaged ones."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seqvae_cli.errors import DataError, MachineError, NotFoundError, SeqvaeError, UsageError
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import NAME_RULE, Run
from seqvae_cli.system import files, places
from tests.runs.folders import CORPUS, INVALID_NAMES, KILLED, checkpointed, create, leftovers, listed

# Names


@pytest.mark.parametrize("name", INVALID_NAMES, ids=lambda name: repr(name)[:12])
def test_a_bad_name_is_wrong_usage_with_the_rule_and_no_escape_codes(name: str, home: Path) -> None:
    with pytest.raises(UsageError) as caught:
        create(name)
    assert caught.value.exit_code == 2
    assert NAME_RULE in caught.value.hint
    assert caught.value.message.isprintable()
    assert not list(home.rglob("*"))


@pytest.mark.parametrize(
    "name", [name for name in INVALID_NAMES if name not in registry.RESERVED], ids=lambda n: repr(n)[:12]
)
def test_find_refuses_a_bad_name(name: str) -> None:
    create("x")
    with pytest.raises(UsageError) as caught:
        registry.find(name)
    assert NAME_RULE in caught.value.hint
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", ["x", "0", "a" * 100, "a.b_c-d", "latest-1", "bestest"])
def test_a_good_name_is_used_unchanged(name: str) -> None:
    assert create(name).name == name
    assert registry.find(name).path == places.runs() / name


def test_a_taken_name_is_wrong_usage_and_the_run_there_stays(tmp_path: Path) -> None:
    run = create("x")
    before = (run.path / "run.json").read_bytes()
    (places.runs() / "file").write_bytes(b"")
    (places.runs() / "link").symlink_to(tmp_path / "nowhere")
    for name in ("x", "file", "link"):
        with pytest.raises(UsageError, match=f"'{name}'"):
            create(name)
    assert (run.path / "run.json").read_bytes() == before
    assert leftovers() == []


# Creating


def test_a_new_run_stores_its_config_tokenizer_and_corpus() -> None:
    run = create("x")
    assert (run.path / "config.yaml").read_text() == "seed: 0\n"
    assert (run.path / "tokenizer.json").read_bytes() == b"{}"
    files.verify(run.path, run.info["files"])
    assert run.info["corpus"] == CORPUS
    assert Run(run.path).info == run.info
    assert run.metrics() == []
    assert not run.has_checkpoint()


def test_numbers_go_on_from_the_highest() -> None:
    assert [create().name for _ in range(3)] == ["c-default-1", "c-default-2", "c-default-3"]
    create("c-default-10")
    create("c-default-x")
    create("c-default-99-b")
    assert create().name == "c-default-11"
    assert create(prefix="c.default").name == "c.default-1"


MANY = """
import sys
from seqvae_cli.runs import registry
corpus = {"name": "c", "folder": "c-0", "hash": "0"}
for _ in range(20):
    print(registry.create("c-default", config=sys.argv[1], tokenizer=b"{}", corpus=corpus).name, flush=True)
"""


def test_two_processes_creating_runs_get_distinct_names() -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", MANY, f"seed: {i}"], stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    made = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(made[0] + made[1]) == sorted(f"c-default-{i}" for i in range(1, 41))
    assert sorted(listed()) == sorted(made[0] + made[1])
    for i, names in enumerate(made):
        assert {(places.runs() / name / "config.yaml").read_text() for name in names} == {f"seed: {i}"}
    assert leftovers() == []


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_failed_create_leaves_nothing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    create("x")
    write, calls = files.write, 0

    def failing(path: Path, data: bytes) -> str:
        nonlocal calls
        calls += 1
        if calls == number:
            raise MachineError(f"{path}: no space left on device")
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", failing)
        with pytest.raises(MachineError):
            create("y")
    assert [path.name for path in places.runs().iterdir()] == ["x"]
    assert create("y").name == "y"


def test_the_draft_of_a_killed_create_is_invisible_and_swept_by_the_next() -> None:
    assert subprocess.run([sys.executable, "-c", KILLED], timeout=60, check=False).returncode == -signal.SIGKILL
    assert leftovers()
    assert registry.names() == []
    assert registry.runs() == ([], [])
    create("x")
    assert leftovers() == []


# Finding


def test_a_name_or_a_unique_prefix_finds_a_run() -> None:
    for name in ("x-1", "x-10", "x-11", "other"):
        create(name)
    assert registry.find("x-1").name == "x-1"  # the exact name beats the prefix
    assert registry.find("o").name == "other"
    assert registry.find("x-11").name == "x-11"
    with pytest.raises(UsageError) as caught:
        registry.find("x")
    assert "x-1, x-10, x-11" in caught.value.message
    with pytest.raises(NotFoundError) as missing:
        registry.find("ohter")
    assert missing.value.exit_code == 3
    assert "other" in missing.value.hint


def test_without_runs_nothing_is_found() -> None:
    for name in ("latest", "best", "x"):
        with pytest.raises(NotFoundError):
            registry.find(name)
    with pytest.raises(NotFoundError):
        registry.resumable()
    assert registry.runs() == ([], [])
    (places.home()).mkdir()
    places.runs().write_bytes(b"")
    assert registry.names() == []


def test_latest_is_the_run_created_last() -> None:
    for name in ("b", "c", "a"):
        create(name)
    registry.find("b").update(best_neg_elbo=1.0)
    assert listed() == ["b", "c", "a"]
    assert registry.find().name == registry.find("latest").name == "a"
    with pytest.raises(NotFoundError, match="checkpoint"):
        registry.find("latest", trained=True)
    checkpointed(registry.find("c"))
    assert registry.find("latest", trained=True).name == "c"


def test_best_is_the_lowest_on_the_corpus_of_the_latest() -> None:
    create("foreign", corpus=CORPUS | {"hash": "1" * 64}).update(best_neg_elbo=1.0)
    for name, value in {"a": 30.0, "b": 9.5, "c": 100.0}.items():
        create(name).update(best_neg_elbo=value)
    create("unvalidated")
    assert registry.find("best").name == "b"
    checkpointed(registry.find("a"))
    assert registry.find("best", trained=True).name == "a"
    create("new", corpus=CORPUS | {"hash": "2" * 64})
    with pytest.raises(NotFoundError, match="validated"):
        registry.find("best")


def test_resumable_is_the_latest_interrupted_run() -> None:
    for name, status in {"a": "interrupted", "b": "failed", "c": "finished", "d": "diverged"}.items():
        create(name).update(status=status)
    assert registry.resumable().name == "a"
    registry.find("c").update(status="interrupted")
    assert registry.resumable().name == "c"
    create("e").update(status="interrupted", weights_only=True)
    assert registry.resumable().name == "c", "weights alone cannot be resumed"


def test_a_damaged_run_can_be_located_by_name_or_prefix() -> None:
    run = create("x-1")
    (run.path / "run.json").unlink()
    assert registry.locate("x-1") == registry.locate("x") == run.path
    with pytest.raises(NotFoundError):
        registry.locate("y")
    with pytest.raises(UsageError):
        registry.locate("../x-1")


# Damage


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def described(**values: object) -> bytes:
    info = {"format": 1, "status": "finished", "created": 1, "corpus": CORPUS, "files": {}} | values
    return json.dumps(info).encode()


DAMAGE: dict[str, bytes | None] = {
    "missing": None,
    "empty": b"",
    "half": described()[:40],
    "binary": b"\xff\x00\xfe",
    "list": b"[]",
    "number": b"1",
    "nested": b"[" * 100_000,
    "no format": b"{}",
    "newer": described(format=999),
    "no status": described(status=None),
    "odd status": described(status="dancing"),
    "list as status": described(status=[]),
    "no corpus": described(corpus=None),
    "no hash": described(corpus={}),
    "odd hash": described(corpus={"hash": 5, "name": [], "folder": None}),
    "no time": described(created="yesterday"),
    "odd best": described(best_neg_elbo="low"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run_is_listed_as_damaged_beside_the_others(kind: str) -> None:
    create("good")
    bad = create("bad")
    data = DAMAGE[kind]
    if data is None:
        (bad.path / "run.json").unlink()
    else:
        (bad.path / "run.json").write_bytes(data)
    create("later").update(best_neg_elbo=5.0)
    good, damaged = registry.runs()
    assert [run.name for run in good] == ["good", "later"]
    assert [name for name, _ in damaged] == ["bad"]
    assert damaged[0][1]
    assert registry.names() == ["bad", "good", "later"]
    assert registry.find("latest").name == registry.find("best").name == "later"
    with pytest.raises(DataError) as caught:
        registry.find("bad")
    assert caught.value.exit_code == 4
    if kind == "newer":
        assert "999" in caught.value.message
        assert "upgrade" in caught.value.hint


def test_an_unreadable_run_is_listed_beside_the_others() -> None:
    create("good")
    as_folder(create("bad").path / "run.json")
    good, damaged = registry.runs()
    assert [run.name for run in good] == ["good"]
    assert [name for name, _ in damaged] == ["bad"]
    with pytest.raises(SeqvaeError):
        registry.find("bad")
    assert registry.find("latest").name == "good"


def test_foreign_files_and_folders_are_not_listed(tmp_path: Path) -> None:
    create("x")
    (places.runs() / "notes.txt").write_text("mine")
    (places.runs() / ".hidden").mkdir()
    (places.runs() / f"{files.TEMPORARY}draft").mkdir()
    (places.runs() / "Upper").mkdir()
    (places.runs() / "dangling").symlink_to(tmp_path / "nowhere")
    assert registry.names() == ["x"]
    assert registry.runs()[1] == []

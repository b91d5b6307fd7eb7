"""Run folders: names, finding, liveness, locks, and damage that stays where it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.errors import DataError, MachineError, NotFoundError, SeqvaeError, UsageError
from seqvae_cli.runs import registry
from seqvae_cli.system import files, places

CORPUS = {"name": "c", "folder": "c-0123456789ab", "hash": "0" * 64}


def create(name: str | None = None, *, prefix: str = "c-default", corpus: dict[str, Any] = CORPUS) -> registry.Run:
    return registry.create(prefix, config="seed: 0\n", tokenizer=b"{}", corpus=corpus, name=name)


def listed() -> list[str]:
    return [run.name for run in registry.runs()[0]]


def checkpointed(run: registry.Run) -> registry.Run:
    files.write_json(run.path / "last" / "000001" / "manifest.json", {})
    return run


def leftovers() -> list[str]:
    return [path.name for path in places.runs().iterdir() if path.name.startswith(files.TEMPORARY)]


# Names

BAD = [
    "../x",
    "/x",
    "x/y",
    ".",
    "..",
    ".x",
    "x\0",
    "x\n",
    "\nx",
    "-x",
    "_x",
    "x" * 101,
    "x" * 300,
    "\x1b[31mx",
    "X",
    "ä",
]
BAD += ["x y", "x\u202e", "~", "*", "latest", "best"]


@pytest.mark.parametrize("name", BAD, ids=lambda name: repr(name)[:12])
def test_a_bad_name_is_wrong_usage_with_the_rule_and_no_escape_codes(name: str, home: Path) -> None:
    with pytest.raises(UsageError) as caught:
        create(name)
    assert caught.value.exit_code == 2
    assert registry.NAME_RULE in caught.value.hint
    assert caught.value.message.isprintable()
    assert not list(home.rglob("*"))


@pytest.mark.parametrize("name", [name for name in BAD if name not in registry.RESERVED], ids=lambda n: repr(n)[:12])
def test_find_refuses_a_bad_name_likewise(name: str) -> None:
    create("x")
    with pytest.raises(UsageError) as caught:
        registry.find(name)
    assert registry.NAME_RULE in caught.value.hint
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", ["x", "0", "a" * 100, "a.b_c-d", "latest-1", "bestest"])
def test_a_good_name_is_taken_as_it_is(name: str) -> None:
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


def test_a_new_run_holds_what_it_was_given() -> None:
    run = create("x")
    assert (run.path / "config.yaml").read_text() == "seed: 0\n"
    assert (run.path / "tokenizer.json").read_bytes() == b"{}"
    files.verify(run.path, run.info["files"])
    assert run.info["corpus"] == CORPUS
    assert registry.Run(run.path).info == run.info
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


def test_two_processes_that_create_at_once_get_distinct_runs() -> None:
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
def test_a_create_that_fails_leaves_nothing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
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


KILLED = """
import os, signal
from seqvae_cli.runs import registry
from seqvae_cli.system import files
write = files.write
def dying(path, data):
    if path.name == "run.json":
        os.kill(os.getpid(), signal.SIGKILL)
    return write(path, data)
files.write = dying
registry.create("c", config="", tokenizer=b"{}", corpus={"name": "c", "folder": "c-0", "hash": "0"})
"""


def test_what_a_killed_create_left_is_invisible_and_swept_by_the_next() -> None:
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


def test_where_there_is_no_run_nothing_is_found() -> None:
    for name in ("latest", "best", "x"):
        with pytest.raises(NotFoundError):
            registry.find(name)
    with pytest.raises(NotFoundError):
        registry.resumable()
    assert registry.runs() == ([], [])
    (places.home()).mkdir()
    places.runs().write_bytes(b"")
    assert registry.names() == []


def test_latest_is_the_run_created_last_whatever_its_name() -> None:
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


# Liveness and locks

HOLD = """
import sys
from pathlib import Path
from seqvae_cli.runs import registry
run = registry.Run(Path(sys.argv[1]))
with run.lock():
    run.start()
    print("held", flush=True)
    sys.stdin.read()
    run.update(status="finished", holder=None)
"""


@contextmanager
def holder(run: registry.Run) -> Iterator[subprocess.Popen[str]]:
    """Another process that trains `run`, as far as others can see; it finishes when its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdin
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait(timeout=60)
        process.stdout.close()
        process.stdin.close()


def test_a_run_is_running_while_its_process_lives_and_interrupted_after_a_kill() -> None:
    run = create("x")
    assert run.status == "interrupted"  # nobody has it
    with holder(run) as process:
        assert registry.find("x").status == "running"
        assert run.locked()
        with pytest.raises(NotFoundError):
            registry.resumable()
        process.kill()
        process.wait(timeout=60)
        assert registry.Run(run.path).info["status"] == "running"
        assert registry.find("x").status == "interrupted"
        assert not run.locked()
        assert registry.resumable().name == "x"
    with run.lock():
        assert run.status == "running" or run.info["status"] == "created"


def test_a_run_that_ended_by_itself_keeps_its_status() -> None:
    run = create("x")
    with holder(run) as process:
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    assert registry.find("x").status == "finished"


def test_the_second_to_lock_a_run_is_told_who_has_it() -> None:
    run = create("x")
    with holder(run) as process:
        with pytest.raises(MachineError) as caught, run.lock():
            pytest.fail("two hold one lock")
        assert caught.value.exit_code == 5
        assert f"process {process.pid} on " in caught.value.message
        assert "run x" in caught.value.message
        assert caught.value.hint
    with run.lock():
        pass


def test_a_lock_survives_an_error_and_is_free_afterwards() -> None:
    run = create("x")
    for _ in range(2):
        with suppress(ZeroDivisionError), run.lock():
            assert run.locked()
            raise ZeroDivisionError
        assert not run.locked()


def test_those_who_only_look_never_see_each_other() -> None:
    run = create("x")
    run.update(status="running")
    with run.lock():
        pass
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            run.locked()

    others = [threading.Thread(target=look) for _ in range(2)]
    for other in others:
        other.start()
    try:
        seen = {registry.Run(run.path).status for _ in range(300)}
    finally:
        stop.set()
        for other in others:
            other.join()
    assert seen == {"interrupted"}


def test_resumable_is_the_latest_that_was_interrupted() -> None:
    for name, status in {"a": "interrupted", "b": "failed", "c": "finished", "d": "diverged"}.items():
        create(name).update(status=status)
    assert registry.resumable().name == "a"
    registry.find("c").update(status="interrupted")
    assert registry.resumable().name == "c"


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
def test_a_damaged_run_is_listed_as_such_and_hides_no_other(kind: str) -> None:
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


def test_a_run_that_the_machine_cannot_read_hides_no_other() -> None:
    create("good")
    as_folder(create("bad").path / "run.json")
    good, damaged = registry.runs()
    assert [run.name for run in good] == ["good"]
    assert [name for name, _ in damaged] == ["bad"]
    with pytest.raises(SeqvaeError):
        registry.find("bad")
    assert registry.find("latest").name == "good"


def test_strange_things_among_the_runs_are_no_runs(tmp_path: Path) -> None:
    create("x")
    (places.runs() / "notes.txt").write_text("mine")
    (places.runs() / ".hidden").mkdir()
    (places.runs() / f"{files.TEMPORARY}draft").mkdir()
    (places.runs() / "Upper").mkdir()
    (places.runs() / "dangling").symlink_to(tmp_path / "nowhere")
    assert registry.names() == ["x"]
    assert registry.runs()[1] == []


def test_metrics_are_the_lines_and_damage_is_a_data_error() -> None:
    run = create("x")
    (run.path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    assert run.metrics() == [{"epoch": 1}, {"epoch": 2}]
    (run.path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epo')
    with pytest.raises(DataError, match=r"metrics\.jsonl"):
        run.metrics()


def test_update_keeps_the_rest_and_is_on_disk() -> None:
    run = create("x")
    before = run.info
    run.start()
    run.update(epoch=3)
    again = registry.Run(run.path).info
    assert again == run.info
    assert again["holder"]["pid"] == os.getpid()
    assert {**before, **{k: again[k] for k in ("status", "holder", "failure", "updated", "epoch")}} == again


# Tags


def test_tags_are_sorted_kept_once_and_survive_every_update() -> None:
    run = create("x")
    assert run.tags() == []
    assert run.tag(["b", "a", "b"]) == run.tags() == ["a", "b"]
    snapshot = registry.Run(run.path)
    assert run.tag(["c"], remove=["a"]) == ["b", "c"]
    snapshot.update(status="finished")  # a training writes what it remembers
    assert registry.find("x").tags() == ["b", "c"]
    assert run.tag(remove=["b", "c"]) == []


@pytest.mark.parametrize("tag", [tag for tag in BAD if tag not in registry.RESERVED], ids=lambda tag: repr(tag)[:12])
def test_a_bad_tag_is_wrong_usage_with_the_rule(tag: str) -> None:
    run = create("x")
    for arguments in ({"add": ["good", tag]}, {"remove": [tag]}):
        with pytest.raises(UsageError) as caught:
            run.tag(**arguments)
        assert registry.NAME_RULE in caught.value.hint
        assert caught.value.message.isprintable()
    assert run.tags() == []


def test_removing_a_tag_that_is_not_there_names_the_nearest_and_changes_nothing() -> None:
    run = create("x")
    run.tag(["paper", "old"])
    with pytest.raises(UsageError) as caught:
        run.tag(["new"], remove=["papre"])
    assert "'paper'" in caught.value.hint
    assert run.tags() == ["old", "paper"]


@pytest.mark.parametrize("data", ["{", "{}", "5", '["a", 5]', '["Two Words"]', '["\\u001b[31m"]'])
def test_damaged_tags_are_a_data_error_and_are_not_written_over(data: str) -> None:
    run = create("x")
    (run.path / "tags.json").write_text(data)
    for act in (run.tags, lambda: run.tag(["a"])):
        with pytest.raises(DataError, match=r"tags\.json"):
            act()
    assert (run.path / "tags.json").read_text() == data
    assert listed() == ["x"]


def test_threads_that_tag_at_once_lose_nothing() -> None:
    run = create("x")
    tags = [f"t{i}" for i in range(8)]
    threads = [threading.Thread(target=registry.Run(run.path).tag, args=([tag],)) for tag in tags]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.tags() == tags


def test_a_lock_names_no_holder_where_the_run_is_damaged() -> None:
    run = create("x")
    with holder(run):
        (run.path / "run.json").write_text("{")
        with pytest.raises(MachineError, match="run x is being trained by process"), run.lock():
            pytest.fail("two hold one lock")


def test_a_damaged_run_can_be_located_by_name_or_prefix() -> None:
    run = create("x-1")
    (run.path / "run.json").unlink()
    assert registry.locate("x-1") == registry.locate("x") == run.path
    with pytest.raises(NotFoundError):
        registry.locate("y")
    with pytest.raises(UsageError):
        registry.locate("../x-1")

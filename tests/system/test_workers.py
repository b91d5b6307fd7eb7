"""Worker processes: answers in order, errors as with one process, and an end that leaves none."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.system import cores
from seqvae_cli.system.workers import Workers

# The workers import nothing for `eval`.
REFUSED = """(_ for _ in ()).throw(
    __import__("seqvae_cli.errors", fromlist=["errors"]).DataError("line 7 is bad", "mend it")
)"""
KILLED = "__import__('os').kill(__import__('os').getpid(), 9)"


def test_answers_come_in_order_and_errors_after_what_came_before() -> None:
    def read() -> Iterator[str]:
        yield from ("1", "2")
        raise DataError("line 3 is bad")

    with Workers(2, alone=3) as workers:
        here = "__import__('os').getpid()"
        pids = list(workers.map(eval, [here] * 20))
        assert pids[:3] == [os.getpid()] * 3
        assert os.getpid() not in pids[3:]
        assert list(workers.map(str, range(50))) == [str(i) for i in range(50)]
        assert list(workers.map(int, ())) == []
        slow_first = ["__import__('time').sleep(0.05) or 0", *map(str, range(1, 9))]
        assert list(workers.map(eval, slow_first)) == list(range(9))

        answers = workers.map(int, read())
        assert list(itertools.islice(answers, 2)) == [1, 2]
        with pytest.raises(DataError, match="line 3 is bad"):
            next(answers)

        answers = workers.map(eval, ["1", REFUSED, "3"])
        assert next(answers) == 1
        with pytest.raises(DataError, match="line 7 is bad") as refused:
            next(answers)
        assert refused.value.hint == "mend it"
        assert list(workers.map(eval, ["4"])) == [4], "an error of the work does not end a worker"

        with pytest.raises(MachineError, match="a worker process was killed by signal 9"):
            list(workers.map(eval, [KILLED] * 9))
    for pid in set(pids[3:]):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_at_most_three_items_a_worker_are_read_ahead() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    with Workers(2) as workers:
        for answer in workers.map(int, items()):
            assert len(read) <= answer + 6
    assert len(read) == 100


def test_one_process_does_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError("no processes here")

    monkeypatch.setattr(subprocess, "Popen", forbidden)
    with Workers(1) as workers:
        assert list(workers.map(str, range(3))) == ["0", "1", "2"]
    with Workers(8) as workers:
        assert list(workers.map(str, range(3))) == ["0", "1", "2"]
        assert workers.count == 1


def test_a_worker_ends_with_the_process_that_started_it() -> None:
    script = """
import os
from seqvae_cli.system.workers import Workers
with Workers(2) as workers:
    print(*set(workers.map(eval, ["__import__('os').getpid()"] * 20)), flush=True)
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (-9, ""), "its output ends when the last worker has ended, too"
    for pid in map(int, done.stdout.split()):
        assert (
            not Path(f"/proc/{pid}/cmdline").exists()
            or b"workers.serve" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        )


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"a/b": "max 100000", "a": "250000 100000"}, 3),
        ({"a/b": "50000 100000"}, 1),
        ({"a/b": "9900000 100000"}, 40),
        ({"a": "damaged"}, 40),
        ({}, 40),
    ],
)
def test_a_container_has_the_cores_whose_time_it_may_take(
    limits: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for folder, limit in limits.items():
        (tmp_path / folder / "cpu.max").write_text(f"{limit}\n")
    (tmp_path / "own").write_text("5:cpu:/other\n0::/a/b\n")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(40)), raising=False)
    assert cores.usable_cores() == expected

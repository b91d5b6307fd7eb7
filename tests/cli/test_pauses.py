"""Pauses of a source are marked; a source that flows, and a reader that is slow, have none."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from seqvae_cli.cli import boundary, pauses
from seqvae_cli.data.windows import PAUSE
from seqvae_cli.errors import MachineError


def test_a_pause_stands_where_the_source_waits_and_nothing_is_lost() -> None:
    more = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        yield 2
        assert more.wait(60)
        yield from range(3, 5000)

    found = pauses.with_pauses(source())
    first = [next(found), next(found), next(found)]
    while first[-1] is not PAUSE:  # 1 and 2 may come apart on a slow machine
        first.append(next(found))
    assert [item for item in first if item is not PAUSE] == [1, 2]
    more.set()
    assert [item for item in found if item is not PAUSE] == list(range(3, 5000))


def test_a_reader_that_takes_its_time_meets_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own time does not count as the source's: else every window after a slow one would be cut short."""
    now = 0.0
    monkeypatch.setattr(pauses, "SECONDS", 30.0)
    monkeypatch.setattr(pauses.time, "monotonic", lambda: now)
    found = []
    for item in pauses.with_pauses(iter(range(3 * pauses.AHEAD))):
        found.append(item)
        if len(found) % 100 == 0:
            now += 1000
    assert found == list(range(3 * pauses.AHEAD))


def test_what_reading_raises_is_raised_in_its_place() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("line 2")

    found = pauses.with_pauses(source())
    assert next(item for item in found if item is not PAUSE) == 1
    with pytest.raises(ValueError, match="line 2"):
        list(found)


def test_a_reader_that_leaves_frees_the_source() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    source = endless()
    found = pauses.with_pauses(source)
    next(found)
    del source
    found.close()  # type: ignore[attr-defined]
    del found
    assert closed.wait(60)


def test_standard_input_waits_though_another_program_made_it_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    there, to = os.pipe()
    with open(there, "rb") as stdin, open(to, "wb", buffering=0) as pipe:
        os.set_blocking(there, False)
        monkeypatch.setattr("sys.stdin", stdin)
        with pauses.standard_input() as file:
            threading.Timer(0.05, pipe.write, [b"a line\n"]).start()
            assert file.read(100) == b"a line\n"


def test_a_closed_standard_input_is_not_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    boundary._open_streams()
    with sys.stdin, pytest.raises(MachineError, match="standard input is closed"):
        pauses.standard_input()

"""Progress of streams: late, on a terminal alone, and never between the lines of an answer."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from seqvae_cli.cli import boundary, display, progress
from seqvae_cli.cli.commands import prepare
from tests.cli.terminal import Terminal
from tests.conftest import Seqvae, tiny_text

pytestmark = pytest.mark.usefixtures("fresh_display")


def shown_while(terminal: Terminal, work: Callable[[], None], **options: Any) -> str:
    """What a terminal shows in the first moments of a stream whose progress is due at once."""
    with progress.late_progress("encoding", 3_000_000, "bytes", **options) as advance:
        advance(1_200_000)
        work()
        deadline = time.monotonic() + 10
        while "1.2/3.0 MB" not in terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        return terminal.getvalue()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LATE_SECONDS", 0.0)


@pytest.mark.usefixtures("at_once")
def test_a_stream_into_a_file_shows_a_bar_in_bytes_that_disappears(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, terminal = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stdout", answer)
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = shown_while(terminal, lambda: display.out("the answer"))
    assert "encoding" in shown
    assert "1.2/3.0 MB" in shown
    assert answer.getvalue() == "the answer\n"
    assert terminal.getvalue().endswith("\x1b[2K")  # erased


@contextmanager
def streams(kind: str) -> Iterator[tuple[IO[str], IO[str]]]:
    """A stdout and a stderr beside which no bar may be drawn."""
    if kind == "terminal":
        screen = Terminal()
        yield screen, screen
    elif kind == "no terminal":
        yield io.StringIO(), io.StringIO()
    else:
        reader, writer = os.pipe()
        with os.fdopen(writer, "w") as pipe:
            yield pipe, Terminal()
        os.close(reader)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kind", ["terminal", "no terminal", "pipe"])
def test_no_bar_tears_an_answer_nor_fills_a_log(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a bar is drawn")

    with streams(kind) as (out, err):
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        monkeypatch.setattr(progress.threading, "Timer", refuse)
        with progress.late_progress("encoding", 10, "sentences") as advance:
            advance(3)
        if err is not out:
            assert err.getvalue() == ""  # type: ignore[attr-defined]
        if kind == "pipe":  # an answer that goes elsewhere may have one
            with pytest.raises(AssertionError), progress.late_progress("encoding", 10, "sentences", to_file=True):
                pass
            display.settings.quiet = True
            with progress.late_progress("encoding", 10, "sentences", to_file=True):
                pass


def test_what_is_soon_done_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "LATE_SECONDS", 3600.0)
    with progress.late_progress("encoding", 10, "sentences") as advance:
        advance(10)
    assert terminal.getvalue() == ""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """What each stream promised and told: description, total, unit, whether it goes to a file, units done."""
    found: list[list[Any]] = []

    @contextmanager
    def watch(description: str, total: int | None, unit: str, *, to_file: bool = False) -> Iterator[Any]:
        stream: list[Any] = [description, total, unit, to_file, 0]
        found.append(stream)

        def advance(count: int) -> None:
            stream[4] += count

        yield advance

    monkeypatch.setattr(progress, "late_progress", watch)
    return found


@pytest.mark.usefixtures("trained_home")
def test_every_stream_tells_all_of_its_work(seqvae: Seqvae, told: list[list[Any]], tmp_path: Path) -> None:
    files = [tmp_path / "one.txt", tmp_path / "two.txt"]
    files[0].write_text("Zoë likes it\n\nthe cat\n", encoding="utf-8")
    files[1].write_text("a dog\n" * 5)
    names, size = [str(path) for path in files], sum(path.stat().st_size for path in files)
    for command in ("encode", "score", "reconstruct"):
        assert seqvae(command, *names).code == 0
        assert told.pop()[1:] == [size, "bytes", False, size]
        assert seqvae(command, "-", stdin=b"the cat\n\na dog\n").code == 0
        assert told.pop()[1:] == [None, "sentences", False, 3]
    wide = tmp_path / "wide.txt"
    wide.write_text("the cat\na dog\n", encoding="utf-16")
    assert seqvae("encode", str(wide), "--encoding", "utf-16", "-o", str(tmp_path / "codes.npy")).code == 0
    assert told.pop()[1:] == [30, "bytes", True, 28]  # with a byte order mark of 2
    assert seqvae("decode", str(tmp_path / "codes.npy")).code == 0
    assert told.pop()[1:] == [None, "sentences", False, 2]
    assert seqvae("sample", "-n", "7").code == 0
    assert told.pop() == ["sampling", 7, "sentences", False, 7]
    assert told == []


@pytest.mark.parametrize(("source", "unit"), [("text", "bytes"), ("toy", "sentences")])
def test_prepare_counts_bytes_of_text_and_sentences_of_toy(
    seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_toy: int, source: str, unit: str
) -> None:
    stages = []

    @contextmanager
    def watch(description: str, total: int | None = None, unit: str = "items") -> Iterator[Any]:
        stages.append((description, total, unit))
        yield lambda _: None

    monkeypatch.setattr(prepare.display, "progress", watch)
    path = tmp_path / "notes.txt"
    path.write_text("\n".join(tiny_text()))
    assert seqvae("prepare", *([str(path)] if source == "text" else ["toy", "--sentences", "100"])).code == 0
    assert {found for _, _, found in stages} == {unit}
    assert ("encode", path.stat().st_size if source == "text" else 100 + 2 * small_toy, unit) in stages


@pytest.mark.usefixtures("trained_home")
def test_loading_is_told_on_a_terminal_and_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, terminal = io.StringIO(), Terminal()
    monkeypatch.setattr(progress, "LATE_SECONDS", 3600.0)  # no bar, however slow the machine is
    monkeypatch.setattr(sys, "stdout", answer)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert boundary.main(["sample", "-n", "2", "--max-len", "500"]) == 0
    assert terminal.getvalue() == "loading PyTorch ...\r\x1b[2Kloading the model ...\r\x1b[2K"
    assert len(answer.getvalue().splitlines()) == 2
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert boundary.main(["sample", "-n", "2", "--max-len", "500", "-q"]) == 0
    assert "loading" not in screen.getvalue()

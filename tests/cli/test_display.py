"""Only the answer goes to stdout; a terminal gets the pretty form, a pipe the plain one."""

from __future__ import annotations

import io
import json
import sys

import pytest

from seqvae_cli.cli import display, live
from tests.cli.terminal import EVAL, START, on_terminal

pytestmark = pytest.mark.usefixtures("fresh_display")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain café 😀 עברית", "plain café 😀 עברית"),
        ("a\x1b[31mb\x07\x9b\x7f", "a\\x1b[31mb\\x07\\x9b\\x7f"),
        ("a\nb\rc\td\0", "a\\nb\\rc\\td\\x00"),
        ("a\u2028b\u202ec\u2066", "a\\u2028b\\u202ec\\u2066"),
        ("\udc80", "\\udc80"),
        ("👩‍🚀 zero-width joiners stay", "👩‍🚀 zero-width joiners stay"),
    ],
)
def test_safe_escapes_control_characters_and_nothing_else(text: str, shown: str) -> None:
    assert display.safe(text) == shown


def test_out_is_raw_in_a_pipe_but_always_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    display.out("a\tb [bold]c[/bold] \x1b[1m " + "x" * 500)
    display.out("two\nlines\r")
    assert capsys.readouterr().out == "a\tb [bold]c[/bold] \x1b[1m " + "x" * 500 + "\ntwo\\nlines\\r\n"


def test_out_is_escaped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    display.out("a\tb\x1b[1m\n" + "x" * 500)
    assert terminal.getvalue() == "a\tb\\x1b[1m\\n" + "x" * 500 + "\n"


def test_json_round_trips_without_raw_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "café \x1b\x7f\x9b\u202e\u2028\n", "number": 0.1, "none": None}
    display.out_json(value)
    document = capsys.readouterr().out
    display.out_jsonl(value)
    line = capsys.readouterr().out
    assert json.loads(document) == json.loads(line) == value
    assert "café" in line
    assert line.count("\n") == 1
    assert not set("\x1b\x7f\x9b\u202e\u2028") & set(document + line)
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            display.out_jsonl([number])
    assert capsys.readouterr().out == ""


def test_commentary_goes_to_stderr_and_survives_a_broken_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    display.say("a\nb \x1b")
    display.warn("careful")
    assert capsys.readouterr() == ("", "a\nb \\x1b\nwarning: careful\n")

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(text)

    monkeypatch.setattr(sys, "stderr", Broken())
    display.say("nobody hears this")
    with live.TrainingView() as view:
        view.show(START)
        view.show(EVAL)


ROWS = [["a", 1.0, 12, None, True], ["name " * 40, 22.456, 3, "x", False]]


def test_a_piped_table_is_aligned_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    display.table("Title", ["name", "loss", "n", "note", "best"], ROWS)
    out = capsys.readouterr().out
    head, first, second = out.splitlines()
    assert head.split() == ["name", "loss", "n", "note", "best"]
    assert first.split() == ["a", "1.00", "12", "-", "yes"]
    assert second.startswith(("name " * 40).rstrip())
    assert first.index("1.00") + 4 == second.index("22.46") + 5 == head.index("loss") + 4
    assert out.isascii()


def test_a_table_on_a_terminal_has_a_title_and_folds_long_values(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    display.settings.color = False
    display.table("Title", ["name", "loss", "n", "note", "best"], [*ROWS, ["\x1b[31m", 1, 2, 3, 4]], note="a note")
    lines = terminal.getvalue().splitlines()
    assert lines[:2] == ["", "Title"]
    assert "a note" in lines[-1]
    assert max(map(len, lines)) <= 80
    assert sum(line.count("name") for line in lines) == 41
    assert "\x1b" not in terminal.getvalue()
    assert "\\x1b[31m" in terminal.getvalue()


def test_a_table_as_commentary(capsys: pytest.CaptureFixture[str]) -> None:
    display.table("", ["a"], [["1"]], answer=False)
    assert capsys.readouterr() == ("", "a\n1\n")
    display.settings.quiet = True
    display.table("", ["a"], [["1"]], answer=False)
    assert capsys.readouterr() == ("", "")


def test_numbers_that_round_to_zero_have_no_sign(capsys: pytest.CaptureFixture[str]) -> None:
    display.table("", ["a", "b", "c"], [[-0.0, -0.004, -0.006]])
    assert capsys.readouterr().out.splitlines()[1].split() == ["0.00", "0.00", "-0.01"]


def test_a_table_without_rows_shows_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    display.table("", ["a", "b"], [])
    assert capsys.readouterr().out == "a  b\n"


def test_pace_is_due_once_an_interval() -> None:
    now = 0.0
    pace = display.Pace(10, clock=lambda: now)
    passed = []
    for second in range(35):
        now = float(second)
        if pace.due():
            passed.append(second)
    assert passed == [10, 20, 30]


def test_plain_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with display.progress("download", total=3_000_000, unit="bytes") as advance:
        advance(1000)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(display, "PLAIN_SECONDS", 0.0)
    with display.progress("download \x1b", total=3_000_000, unit="bytes") as advance:
        advance(500)
        advance(1_499_500)
    with display.progress("reading", unit="sentences") as advance:
        advance(1234)
    assert capsys.readouterr().err.splitlines() == [
        "download \\x1b: 500 B of 3.0 MB (0%)",
        "download \\x1b: 1.5 MB of 3.0 MB (50%)",
        "reading: 1,234 sentences",
    ]
    display.settings.quiet = True
    with display.progress("reading", unit="sentences") as advance:
        advance(1234)
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_leaves_stdout_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    answer = io.StringIO()
    monkeypatch.setattr(sys, "stdout", answer)
    for total, unit in ((10, "sentences"), (None, "bytes")):
        with display.progress("working [b]", total=total, unit=unit) as advance:
            advance(5)
            display.out("the answer")
    assert answer.getvalue() == "the answer\n" * 2
    assert "working [b]" in terminal.getvalue()

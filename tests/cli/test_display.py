"""Only the answer goes to stdout; a terminal gets the pretty form, a pipe the plain one."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace

import pytest

from seqvae_cli.cli import display, live
from seqvae_cli.training.events import (
    CollapseEvent,
    EndEvent,
    EvalEvent,
    PlateauEvent,
    StartEvent,
    StepEvent,
    WarningEvent,
)

START = StartEvent("toy-1", "toy", 1234567, "cpu", "float32", 2, 40, 3, 6, 100, 0)
STEP = StepEvent(1, 10, 4000, 0.5, 0.00025, 98.123, 17.25, 106.75, 123456.7)
EVAL = EvalEvent(
    *(1, 100, 0.5, 0.00025, 12345.6, 98.1, 17.2, 115.3),
    *(97.5, 16.5, 114.25, 123.456, 5.0, 32, (16.5 / 32,) * 32, True),
)


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _fresh_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "settings", display.Settings())
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Puts a terminal in place of both streams; in the test itself, since pytest sets its own after the fixtures."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


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
    assert lines[0].strip() == "Title"
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


def test_training_in_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with live.TrainingView() as view:
        for event in (START, STEP, STEP, EVAL, replace(EVAL, epoch=2, best=False), PlateauEvent(2, 0.000125, 1)):
            view.show(event)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 4  # no step yet: ten seconds have not passed
    assert "run toy-1: 1,234,567 parameters" in lines[0]
    assert lines[0].endswith("40 epochs of 100 steps (the first 3 as an autoencoder, the next 6 of annealing)")
    assert "validation -ELBO 114.25" in lines[1]
    assert lines[1].endswith("best")
    assert lines[2].startswith("epoch 2/40 ")
    assert not lines[2].endswith("best")
    assert "learning rate 0.00013, weights of epoch 1" in lines[3]


@pytest.mark.parametrize(
    ("pretrain", "annealing", "said"),
    [
        (0, 0, "100 steps"),
        (0.5, 0, "100 steps (the first 0.5 as an autoencoder)"),
        (0, 12.251, "100 steps (the first 12.25 of annealing)"),
        (1200, 0, "100 steps (the first 1200 as an autoencoder)"),
    ],
)
def test_the_first_line_names_the_phases(
    pretrain: float, annealing: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with live.TrainingView() as view:
        view.show(replace(START, pretrain=pretrain, annealing=annealing))
    assert capsys.readouterr().err.rstrip().endswith(said)


def test_a_resumed_training_names_the_phases_until_they_are_over(capsys: pytest.CaptureFixture[str]) -> None:
    with live.TrainingView() as view:
        view.show(replace(START, step=899))
        view.show(replace(START, step=900))
    within, after = capsys.readouterr().err.splitlines()
    assert within.endswith("(the first 3 as an autoencoder, the next 6 of annealing), from step 899")
    assert after.endswith("40 epochs of 100 steps, from step 900")


def test_a_step_is_a_plain_line_when_it_is_due(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "PLAIN_SECONDS", 0.0)
    with live.TrainingView() as view:
        view.show(STEP)
    assert capsys.readouterr().err.startswith("epoch 1  step 10/4000  -ELBO 106.75 = 98.12 + KL 17.25 ")


def test_quiet_training_shows_only_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    display.settings.quiet = True
    with live.TrainingView() as view:
        for event in (
            START,
            STEP,
            EVAL,
            PlateauEvent(1, 0.1, 1),
            CollapseEvent(1, 0.01, 0.0),
            CollapseEvent(2, 8.0, 0.01),
        ):
            view.show(event)
        view.show(WarningEvent("odd \x1b[31m"))
    warnings = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in warnings] == ["warning", "hint", "warning", "warning"]
    assert "posterior is collapsing" in warnings[0]
    assert "--free-bits" in warnings[1]
    assert "--preset default, pretrain, free-bits or mdr" in warnings[1]
    assert warnings[3] == "warning: odd \\x1b[31m"


def test_the_live_table_fits_80_columns_and_keeps_all_epochs_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    display.settings.color = False
    monkeypatch.setattr(live, "REDRAW_SECONDS", 0.0)
    with live.TrainingView() as view:
        view.show(START)
        for epoch in range(1, 61):
            view.show(replace(STEP, epoch=epoch, step=epoch * 1000 - 500, steps=60_000))
            view.show(replace(EVAL, epoch=epoch, step=epoch * 1000, best=epoch <= 3))
            screen = terminal.getvalue().split("\x1b[1A")[-1].splitlines()
            assert len(screen) <= 24
        view.show(CollapseEvent(60, 0.02, 0.01))
        before = len(terminal.getvalue())
    lines = [line.rstrip() for line in terminal.getvalue().replace("\x1b[2K", "").replace("\x1b[?25l", "").splitlines()]
    assert [line for line in lines if len(line.rpartition("\x1b[1A")[2]) > 80] == []
    last = terminal.getvalue()[before:]
    for epoch in (1, 2, 4, 59, 60):
        assert f" {epoch} {epoch}000 " in " ".join(last.split())
    assert "3* " in last
    assert "2* " not in last
    assert all(name in terminal.getvalue() for _, name in live.COLUMNS)


def test_the_best_epoch_stays_visible() -> None:
    view = live.TrainingView()
    for epoch in range(1, 31):
        view.show(replace(EVAL, epoch=epoch, best=epoch <= 3))
    assert list(view.table(5).columns[0].cells) == ["3*", "27 ", "28 ", "29 ", "30 "]
    view.show(replace(STEP, epoch=31))
    assert list(view.table(5).columns[0].cells) == ["3*", "28 ", "29 ", "30 ", "31 "]
    assert len(list(view.table(None).columns[0].cells)) == 31


def test_an_epoch_repeated_after_a_resume_is_shown_once() -> None:
    view = live.TrainingView()
    for epoch in (1, 2, 3, 2):
        view.show(replace(EVAL, epoch=epoch))
    assert [row.epoch for row in view.rows] == [1, 2]


def test_the_view_closes_when_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)

    def train() -> None:
        with live.TrainingView() as view:
            view.show(START)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert terminal.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is visible again


@pytest.mark.parametrize(
    ("seconds", "took"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (61.0, "1 min 1 s"), (3660.0, "1 h 1 min")]
)
def test_summary(seconds: float, took: str) -> None:
    text = live.summary(EndEvent("finished", 30, 3000, 12, 101.256, seconds))
    assert text == f"finished after 30 epochs, 3000 steps, {took}; best epoch 12, validation -ELBO 101.26"


def test_a_held_rate_has_its_own_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with live.TrainingView() as view:
        view.show(CollapseEvent(2, 8.0, 0.01))
    hint = capsys.readouterr().err.splitlines()[1]
    assert "--pretrain" in hint
    assert "--min-rate" not in hint


def test_counts_of_one_are_singular(capsys: pytest.CaptureFixture[str]) -> None:
    with live.TrainingView() as view:
        view.show(replace(START, threads=1, epochs=1, steps_per_epoch=1))
    assert "1 thread), 1 epoch of 1 step" in capsys.readouterr().err
    assert live.summary(EndEvent("stopped", 4, 1, 3, 101.256, 7.0)).startswith("stopped early, without a better")

"""`runs watch` as its user sees it, and the sparklines of the live table."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.cli import display, epoch_table, live, sparklines
from seqvae_cli.cli.watching import WatchView, verdict
from seqvae_cli.runs import watching
from seqvae_cli.runs.run import Run
from seqvae_cli.runs.watching import Look
from tests.cli.terminal import EVAL, START, STEP, Terminal, on_terminal
from tests.conftest import Seqvae

LINES = [json.loads(json.dumps(asdict(replace(EVAL, epoch=number, step=100 * number)))) for number in range(1, 6)]
CODES = r"\x1b\[[\d;?]*[A-Za-z]"


@pytest.fixture
def run(trained_home: Path) -> Run:
    return Run(trained_home / "runs" / "tiny-run")


def test_a_finished_run_is_shown_as_lines_and_as_json(run: Run, seqvae: Seqvae) -> None:
    answer = seqvae("runs", "watch")
    assert answer.code == 0
    first, second, end = answer.lines
    assert first.startswith("epoch 1/2  step 10  train -ELBO ")
    assert second.startswith("epoch 2/2 ")
    assert end.startswith("tiny-run: finished after 2 epochs, 20 steps, ")
    assert answer.err == "run tiny-run on tiny: 2 epochs, cpu (float32, 1 thread)\n"
    answer = seqvae("runs", "watch", "tiny-run", "--json")
    assert [json.loads(line) for line in answer.lines] == run.metrics()
    assert end in answer.err


def test_wrong_names_are_answered_as_everywhere(trained_home: Path, seqvae: Seqvae) -> None:
    assert trained_home.is_dir()
    assert seqvae("runs", "watch", "tiny-rnu").code == 3
    assert seqvae("runs", "watch", "../x").code == 2


def test_ctrl_c_ends_the_watching_alone(run: Run, seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path) -> Iterator[Look]:
        yield Look(Run(path), [])
        raise KeyboardInterrupt

    before = (run.path / "run.json").read_bytes()
    monkeypatch.setattr(watching, "follow", interrupted)
    answer = seqvae("runs", "watch")
    assert answer.code == 130
    assert answer.err.splitlines()[-1].startswith("no longer watching tiny-run")
    assert (run.path / "run.json").read_bytes() == before


@pytest.mark.usefixtures("fresh_display")
def test_on_a_terminal_the_table_of_train_follows_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_terminal(monkeypatch)
    with WatchView() as view:
        assert "waiting for the first step" in screen.getvalue()
        view.look(Look(run, []))
        assert "step 0/?" in " ".join(re.sub(CODES, "", screen.getvalue()).split())
        view.look(Look(run, LINES[:4]))
        assert [row.epoch for row in view.rows] == [1, 2, 3, 4]
        assert "validation KL" in screen.getvalue()
        view.look(Look(run, LINES[:2]))  # resumed from an older checkpoint
        assert [row.epoch for row in view.rows] == [1, 2]
        view.look(Look(run, [*LINES[:2], {**LINES[2], "neg_elbo": 99.875}]))
    assert "99.88" in screen.getvalue().rpartition("\x1b[2K")[2]


@pytest.mark.usefixtures("fresh_display")
def test_the_step_of_the_training_is_shown_until_its_epoch_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def frame() -> str:
        return " ".join(re.sub(CODES, "", screen.getvalue().rpartition("\x1b[1A")[2]).split())

    screen = on_terminal(monkeypatch)
    step = asdict(replace(STEP, epoch=3, step=210, steps=500)) | {"began": time.time() - 3700}
    with WatchView() as view:
        view.look(Look(run, LINES[:2]))
        assert view.steps == 200, "two epochs of 100 steps, as run.json has them"
        view.look(Look(run, LINES[:2], "", step))
        assert view.current == epoch_table.Row.of(replace(STEP, epoch=3, step=210))
        assert "step 210/500 " in frame()
        assert " 1:01:4" in frame()
        monkeypatch.setattr(view, "_changed", time.monotonic() - 75)
        view.look(Look(run, LINES[:2], "", step))
        assert "no step for 0:01:15" in frame()
        view.look(Look(run, LINES[:3], "", step))
        assert view.current is None, "the epoch has ended"
        assert "step 300/500 " in frame()
        assert "no step for" not in frame()
        for began in (None, "x", -1e308, 10**299, 1e300):
            view.look(Look(run, LINES[:3], "", step | {"epoch": 4, "began": began}))
        assert view.current is not None
        view.look(Look(run, LINES[:3]))
        assert view.current is None, "the training is over"


@pytest.mark.usefixtures("fresh_display")
@pytest.mark.parametrize("columns", [40, 60, 80, 100, 112, 120, 133, 160])
def test_no_number_of_the_table_is_cut_at_any_width(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    screen = on_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(columns))
    with live.TrainingView() as view:
        view.show(START)
        for epoch in range(1, 6):
            view.show(replace(EVAL, epoch=epoch, step=123456 * epoch))
    last = re.sub(CODES, "", screen.getvalue().rpartition("\x1b[1A")[2])
    assert "…" not in last
    assert "123.46" in last, "the validation"
    assert max(map(len, last.splitlines())) <= columns
    assert ("mutual information" in last) == (columns >= 160)


@pytest.mark.usefixtures("fresh_display")
def test_a_terminal_that_becomes_narrow_keeps_no_pieces_of_the_wide_table(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "160")
    with live.TrainingView() as view:
        view.show(START)
        view.show(EVAL)
        for columns in (160, 60, 60):
            assert view._live is not None
            view._live.console.width = columns
            lines = sum(max(1, math.ceil(width / columns)) for width in view._widths)
            before = len(screen.getvalue())
            view.show(EVAL)
            assert screen.getvalue()[before:].count("\x1b[1A") == lines - 1, "up to the first line that it has become"


@pytest.mark.usefixtures("fresh_display")
def test_epochs_are_said_once_and_repeated_ones_again(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with WatchView(json=True) as view:
        for lines in (LINES[:1], LINES[:3], LINES[:3], [*LINES[:2], {**LINES[2], "rate": 1.5}]):
            view.look(Look(run, lines))
    assert [json.loads(line)["epoch"] for line in capsys.readouterr().out.splitlines()] == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("end", "info", "said"),
    [
        ("stopped", {}, "tiny-run: stopped early, without a better validation -ELBO, after 5 epochs, 500 steps"),
        ("interrupted", {}, "; to go on: seqvae train --resume tiny-run"),
        ("diverged", {"failure": "not finite after step 9"}, "diverged after 5 epochs: not finite after step 9"),
        ("failed", {"failure": "OSError()"}, "failed after 5 epochs: OSError(); to go on: seqvae train --resume"),
        ("killed", {}, "ended after 5 epochs without a final status: it was killed"),
    ],
)
def test_the_verdict_says_how_it_ended(run: Run, end: str, info: dict[str, Any], said: str) -> None:
    run.info |= info
    assert said in verdict(Look(run, LINES, end))


@pytest.mark.usefixtures("fresh_display")
def test_a_run_with_odd_values_is_shown_nevertheless(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.info |= {"seconds": "x", "best_epoch": [], "best_neg_elbo": None, "precision": [], "device": {}}
    odd: list[Any] = [None, [], "x", True, -1, 10**299, -1e308, 1e308]
    on_terminal(monkeypatch)
    with WatchView() as view:
        view.look(Look(run, [dict.fromkeys(LINES[0], value) for value in odd] * 2))
        assert view.rows
    assert verdict(Look(run, [{"epoch": "y"}], "finished")).startswith("tiny-run: finished after 1 epoch, 0 steps, 0 s")


def drawn(screen: Terminal) -> list[str]:
    return [line for line in screen.getvalue().splitlines() if any(block in line for block in sparklines.BLOCKS)]


@pytest.mark.usefixtures("fresh_display")
@pytest.mark.parametrize(
    ("columns", "lines", "encoding", "shown"),
    [
        ("80", "24", "utf-8", True),
        ("79", "24", "utf-8", False),
        ("80", "14", "utf-8", False),
        ("80", "24", "ascii", False),
    ],
)
def test_sparklines_stand_below_the_table_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, columns: str, lines: str, encoding: str, shown: bool
) -> None:
    screen = on_terminal(monkeypatch)
    monkeypatch.setattr(screen, "encoding", encoding, raising=False)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", lines)
    view = live.TrainingView()
    view.__enter__()
    view.show(START)
    for epoch in range(1, 31):
        view.show(replace(EVAL, epoch=epoch, neg_elbo=100.0 - epoch))
        frame = re.sub(CODES, "", screen.getvalue().rpartition("\x1b[1A")[2]).splitlines()
        assert len(frame) <= int(lines)
        assert max(map(len, frame)) <= int(columns)
    assert bool(drawn(screen)) == shown
    assert "validation -ELBO  " in screen.getvalue() or not shown


def test_off_a_terminal_there_are_no_sparklines(capsys: pytest.CaptureFixture[str]) -> None:
    display.settings.color = False
    with live.TrainingView() as view:
        for epoch in range(1, 6):
            view.show(replace(EVAL, epoch=epoch))
    assert not set(sparklines.BLOCKS) & set(capsys.readouterr().err)


def rows(*validations: tuple[str, float, float]) -> list[epoch_table.Row]:
    return [
        epoch_table.Row.of(replace(EVAL, epoch=number, phase=phase, neg_elbo=elbo, rate=rate))
        for number, (phase, elbo, rate) in enumerate(validations, 1)
    ]


@pytest.mark.usefixtures("fresh_display")
def test_a_sparkline_compares_only_what_is_comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    console = display.console(on_terminal(monkeypatch))
    trained = [("annealing", 60.0, 40.0), ("", 31.0, 8.0), ("", 30.0, 4.0), ("", 30.5, 0.0)]
    elbo, rate = (str(line) for line in sparklines.of_rows(rows(*trained), console))
    assert elbo.split() == ["validation", "-ELBO", "██▁▅", "30.50"]
    assert rate.split() == ["validation", "KL", "█▅▃▁", "0.00"]
    pretrained = [("autoencoder", 500.0, 300.0), ("autoencoder", 1e9, float("inf"))]
    assert [str(line) for line in sparklines.of_rows(rows(*pretrained, *trained), console)] == [elbo, rate]
    assert sparklines.of_rows(rows(*pretrained, *trained[:2]), console) == []


def test_blocks_rise_with_the_value_and_stay_on_the_scale() -> None:
    assert sparklines.blocks(range(8), 0, 8) == sparklines.BLOCKS
    assert sparklines.blocks([-5, 99], 0, 8) == "▁█"
    assert sparklines.blocks([3, 3], 3, 3) == "▁▁"
    assert sparklines.blocks([-1e308, 1e308], -1e308, 1e308) == "▁▁"
    assert sparklines.blocks([1, float("nan"), float("inf")], 0, 1) == "█  "
    values = [5.0, 1.0, 4.0, 2.0]
    assert sparklines.blocks(values, 1, 5) == sparklines.blocks([10 * value + 7 for value in values], 17, 57)

"""`seqvae doctor` as its user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from seqvae_cli.system import runtime, speed
from tests.cli.terminal import on_terminal
from tests.conftest import Seqvae


@pytest.fixture(autouse=True)
def known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {torch.float32: 1234.56, torch.bfloat16: None}
    monkeypatch.setattr(speed, "gflops", lambda _, precision: speeds[precision])
    monkeypatch.setattr(runtime, "set_threads", lambda _: 1)


def test_the_report_has_what_a_maintainer_asks_for(home: Path, seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_LOGS", "a\x1b[31m\nb")
    answer = seqvae("doctor")
    assert (answer.code, answer.err) == (0, "")
    shown = dict(line.split(maxsplit=1) for line in answer.lines[1:])
    assert shown["torch"] == torch.__version__
    assert shown["float32"].startswith("1,234.6 GFLOP/s")
    assert shown["bfloat16"].startswith("not possible")
    assert shown["home"] == str(home)
    assert shown["terminal"] == "none: pipes or files"
    assert shown["$TORCH_LOGS"] == "a\\x1b[31m\\nb"
    report = json.loads(seqvae("doctor", "--json").out)
    assert report["devices"][0]["float32"] == 1234.56
    assert report["problems"] == []
    assert not home.exists()


def test_a_problem_is_a_warning_with_what_to_do(home: Path, seqvae: Seqvae) -> None:
    home.write_text("")
    answer = seqvae("doctor", "--json")
    assert answer.code == 0
    warning, hint = answer.err.splitlines()
    (problem,) = json.loads(answer.out)["problems"]
    assert (warning, hint) == (f"warning: {problem['problem']}", f"hint: {problem['advice']}")
    assert "not usable" in seqvae("doctor").out


@pytest.mark.usefixtures("fresh_display")
def test_on_a_terminal_it_tells_size_and_colours(seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqvae_cli.cli import boundary

    screen = on_terminal(monkeypatch)
    assert boundary.main(["doctor"]) == 0
    lines = screen.getvalue().splitlines()
    assert any(line.split()[:2] == ["size", "80"] for line in lines)
    assert any(line.split() == ["colours", "256"] for line in lines)
    assert seqvae  # the streams are put back

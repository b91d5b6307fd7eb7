"""`seqvae runs plot` as a user types it, on a tiny trained run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seqvae_cli import app, registry

pytestmark = pytest.mark.usefixtures("trained_home")
PNG = b"\x89PNG\r\n\x1a\n"

Plot = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def plot(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plot:
    """Runs the program in an empty folder; gives the exit code, stdout and stderr."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*arguments: str) -> tuple[int, bytes, str]:
        code = app.main(["runs", "plot", *arguments])
        captured = capsysbinary.readouterr()
        return code, captured.out, captured.err.decode()

    return call


def copy_run(name: str, lines: list[str] | None = None) -> None:
    """A run beside `tiny-run`; `lines` take the place of its metrics."""
    path = registry.find("tiny-run").path
    shutil.copytree(path, path.parent / name)
    if lines is not None:
        (path.parent / name / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))


def here() -> list[str]:
    return sorted(os.listdir())  # noqa: PTH208


def test_the_latest_run_becomes_a_picture_with_its_name_here(plot: Plot) -> None:
    pytest.importorskip("matplotlib")
    code, out, err = plot()
    assert (code, out, err) == (0, b"", "written: tiny-run.png\n")
    assert here() == ["tiny-run.png"]
    assert Path("tiny-run.png").read_bytes().startswith(PNG)


def test_several_runs_one_panel_and_json(plot: Plot) -> None:
    pytest.importorskip("matplotlib")
    copy_run("other")
    code, out, err = plot("tiny-run", "other", "tiny", "--only", "kl", "--json", "-q")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert answer == {
        "path": str(Path("runs-kl.png").absolute()),
        "runs": ["tiny-run", "other"],
        "panels": ["kl"],
    }
    assert Path(answer["path"]).read_bytes().startswith(PNG)


def test_the_output_takes_the_format_of_its_ending_and_replaces_what_is_there(plot: Plot) -> None:
    pytest.importorskip("matplotlib")
    Path("old.SVG").write_text("old")
    code, _, err = plot("-o", "old.SVG", "--only", "elbo")
    assert (code, err) == (0, "written: old.SVG\n")
    assert Path("old.SVG").read_bytes().startswith(b"<?xml")
    assert plot("-o", "new.pdf", "--only", "elbo")[0] == 0
    assert Path("new.pdf").read_bytes().startswith(b"%PDF")
    assert here() == ["new.pdf", "old.SVG"]


def test_a_dash_sends_the_png_alone_to_stdout(plot: Plot) -> None:
    pytest.importorskip("matplotlib")
    code, out, err = plot("-o", "-", "--only", "kl")
    assert (code, err) == (0, "")
    assert out.startswith(PNG)
    assert here() == []


def test_text_draws_in_the_terminal_without_matplotlib(plot: Plot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "40")
    code, out, err = plot("--text")
    assert (code, err) == (0, "")
    lines = out.decode("ascii").splitlines()
    assert len(lines) <= 39
    assert max(map(len, lines)) == 99  # two panels of 48 and the gap between
    assert "A=tiny-run" in lines
    assert b"\x1b" not in out
    assert here() == []


def test_without_matplotlib_a_picture_says_what_to_install(plot: Plot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = plot()
    assert (code, out) == (5, b"")
    assert "matplotlib" in err
    assert "pip install 'seqvae[plot]'" in err
    assert here() == []


def test_a_run_without_a_finished_epoch_says_what_to_do(plot: Plot) -> None:
    copy_run("empty", [])
    code, _, err = plot("tiny-run", "empty")
    assert code == 3
    assert "run empty has no finished epoch" in err
    assert "--resume empty" in err
    with registry.find("empty").lock():
        registry.find("empty").start()
        assert "wait" in plot("empty")[2]


def test_more_than_eight_runs_are_too_many(plot: Plot) -> None:
    names = [f"more-{i}" for i in range(9)]
    for name in names:
        copy_run(name)
    code, _, err = plot(*names, "--text")
    assert code == 2
    assert "9 runs" in err
    assert plot(*names[:8], names[0], "--text")[0] == 0  # a run named twice is one


def test_gaps_are_drawn_and_a_run_of_nothing_but_gaps_is_bad_data(plot: Plot) -> None:
    pytest.importorskip("matplotlib")
    copy_run("gaps", ['{"epoch": 1, "rate": null}', '{"epoch": 2}', '{"epoch": 3, "rate": 5}', "{}"])
    assert plot("gaps", "--only", "kl")[0] == 0
    assert plot("gaps", "--only", "kl", "--text")[0] == 0
    code, _, err = plot("gaps", "--only", "elbo")
    assert code == 4
    assert "gaps" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nothing"], 3, "nothing"),
        (["../x"], 2, "../x"),
        (["-o", "x.gif"], 2, ".svg"),
        (["-o", "png"], 2, ".svg"),
        (["-o", "nowhere/x.png"], 2, "nowhere"),
        (["-o", "-", "--json"], 2, "--json"),
        (["--text", "--json"], 2, "--json"),
        (["--text", "-o", "x.png"], 2, "--output"),
        (["--only", "k1"], 2, "did you mean 'kl'"),
    ],
)
def test_wrong_usage_gets_one_clear_line(plot: Plot, arguments: list[str], code: int, words: str) -> None:
    answer = plot(*arguments)
    assert answer[:2] == (code, b"")
    assert words in answer[2]
    assert here() == []


def test_a_picture_is_not_sent_to_a_terminal(plot: Plot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, err = plot("-o", "-")
    assert (code, out) == (2, b"")
    assert "--text" in err


def test_help_has_examples(plot: Plot) -> None:
    code, out, _ = plot("--help")
    assert code == 0
    assert b"seqvae runs plot best --only kl" in out

"""`seqvae runs plot` as a user types it, on a tiny trained run."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seqvae_cli.cli import boundary
from seqvae_cli.data import corpus as corpora
from seqvae_cli.data.toy import build as toy_build
from seqvae_cli.runs import registry
from tests.trainings import new_run

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
        code = boundary.main(["runs", "plot", *arguments])
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
    assert 'pip install "seqvae[plot]"' in err
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
        (["--color", "length"], 2, "--color goes with --latent alone"),
        (["--split", "valid"], 2, "--split goes with --latent alone"),
        (["--latent", "--only", "kl"], 2, "--only"),
        (["--latent", "--text"], 2, "seqvae eval --diagnose"),
        (["--latent", "tiny-run", "other"], 2, "one run, not 2"),
        (["--latent", "nothing"], 3, "nothing"),
        (["--latent", "--color", "topic"], 2, "known colours: length"),
        (["--latent", "--color", ""], 2, "known colours: length"),
        (["--latent", "--split", "dev"], 2, "known: train, valid, test"),
        (["--latent", "-o", "x.gif"], 2, ".svg"),
        (["--latent", "-o", "-", "--json"], 2, "--json"),
    ],
)
def test_wrong_usage_gets_one_clear_line(plot: Plot, arguments: list[str], code: int, words: str) -> None:
    answer = plot(*arguments)
    assert answer[:2] == (code, b"")
    assert words in answer[2]
    assert here() == []


def test_the_latent_space_of_a_run_is_one_picture(plot: Plot) -> None:
    pytest.importorskip("matplotlib")
    assert plot("--latent") == (0, b"", "written: tiny-run-latent.png\n")
    assert here() == ["tiny-run-latent.png"]
    first = Path("tiny-run-latent.png").read_bytes()
    assert first.startswith(PNG)
    assert plot("tiny", "--latent", "--color", "length", "--split", "train", "-o", "-", "-q") == (0, first, "")
    code, out, err = plot("--latent", "--split", "train", "--json", "-q", "-o", "x.svg")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    shares = answer.pop("variance")
    assert answer == {
        "path": str(Path("x.svg").absolute()),
        "runs": ["tiny-run"],
        "panels": ["rates", "means"],
        "split": "train",
        "data": None,
        "sentences": 80,
        "total": 80,
        "color": "length",
        "components": [1, 2],
    }
    assert 1 >= shares[0] >= shares[1] >= 0
    assert Path("x.svg").read_bytes().startswith(b"<?xml")


def test_the_latent_space_of_a_run_of_older_metrics_is_drawn_without_rates(plot: Plot) -> None:
    pytest.importorskip("matplotlib")
    copy_run("old", ['{"epoch": 1, "rate": 3.0}', '{"epoch": 2, "rate": 4.0, "rate_by_dimension": null}'])
    assert plot("old", "--latent", "-o", "old.png")[0] == 0
    copy_run("none", [])
    assert plot("none", "--latent", "-o", "none.png")[0] == 0
    assert Path("old.png").read_bytes().startswith(PNG)
    assert len(Path("none.png").read_bytes()) < len(plot("--latent", "-o", "-")[1])


def test_the_latent_space_needs_the_corpus_of_the_run(plot: Plot) -> None:
    folder = corpora.find("tiny").path
    folder.rename(folder.with_name("tiny-" + "0" * 12))
    code, out, err = plot("--latent")
    assert (code, out) == (3, b"")
    assert f"no prepared corpus '{folder.name}'" in err
    folder.with_name("tiny-" + "0" * 12).rename(folder)
    words = folder / "valid.tokens.bin"
    words.write_bytes(bytes(len(words.read_bytes())))
    code, out, err = plot("--latent")
    assert (code, out) == (4, b"")
    assert "valid.tokens.bin" in err
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


def test_the_star_phases_and_entropy_are_those_of_the_run(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqvae_cli.cli.commands.runs import plot as command

    monkeypatch.setattr(toy_build, "HELD_OUT", 60)
    toy = toy_build.prepare_toy(sentences=100).corpus
    run = new_run(toy, "on-toy", train__epochs=4, train__pretrain=1.5, objective__kl_warmup=2, train__aggressive=True)
    lines = [{"epoch": epoch, "mutual_information": mi} for epoch, mi in enumerate((0, 1, 2, 2), 1)]
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run.update(best_epoch=3, epochs=4)
    drawn = command._history(registry.find("on-toy"))
    assert (drawn.best_epoch, drawn.corpus, drawn.entropy) == (3, "toy", toy.entropy)
    scale = 0.5 * 4 / 3.5  # pretraining and annealing take half of the epochs
    assert [dataclasses.astuple(phase) for phase in drawn.phases] == [
        ("pretraining", 0.0, pytest.approx(1.5 * scale)),
        ("annealing", pytest.approx(1.5 * scale), pytest.approx(3.5 * scale)),
        ("aggressive", pytest.approx(1.5 * scale), 4),
    ]
    run.update(epochs=9, schedule_epochs=4, stretched_from=4)  # resumed with --keep-schedule
    assert command._history(registry.find("on-toy")).phases == drawn.phases
    cycles = new_run(toy, "cycles", train__epochs=4, train__pretrain=1, objective__kl_schedule="cyclical")
    (cycles.path / "metrics.jsonl").write_text('{"epoch": 1}\n')
    assert len(command._history(cycles).phases) == 5
    cycles.update(epochs=9, stretched_from=4)  # the cycles until the resume were shorter
    assert [phase.name for phase in command._history(registry.find("cycles")).phases] == ["pretraining"]
    shutil.rmtree(toy.path)
    (run.path / "config.yaml").write_text("train: {}\n")
    bare = command._history(registry.find("on-toy"))
    assert (bare.entropy, bare.phases, bare.best_epoch) == (None, (), 3)
    assert trained_home.is_dir()


@pytest.mark.usefixtures("small_toy")
def test_runs_of_two_corpora_on_one_axis_get_the_warning_of_compare(
    plot: Plot, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    other = toy_build.prepare_toy(sentences=100).corpus
    run = new_run(other, "on-toy", train__epochs=1)
    shutil.copy(registry.find("tiny-run").path / "metrics.jsonl", run.path)
    code, _, err = plot("tiny-run", "on-toy", "--text")
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("warning: these runs were trained on different corpora: ")
    assert boundary.main(["runs", "compare", "tiny-run", "on-toy"]) == 0
    assert capsysbinary.readouterr().err.decode().startswith(err.partition(": their")[0])
    assert plot("tiny-run", "--text")[2] == ""

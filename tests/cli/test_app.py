"""The command tree: options of every command, help with headings, completion. Most commands are fakes."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli import __version__
from seqvae_cli.cli import app, display, headings
from tests.cli.conftest import Run
from tests.conftest import Seqvae


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [False, False, True, False]),
        (["-q"], [True, False, True, False]),
        (["--quiet"], [True, False, True, False]),
        (["-v"], [False, True, True, False]),
        (["--verbose", "--no-color", "--debug"], [False, True, False, True]),
    ],
)
def test_shared_options_go_before_and_after_the_command(run: Run, options: list[str], expected: list[bool]) -> None:
    for arguments in ([*options, "sample"], ["sample", *options], ["sample", "-n", "7", *options, "settings"]):
        code, out, _ = run(*arguments)
        assert code == 0
        assert json.loads(out)[:4] == expected


def test_shared_options_reach_the_commands_of_a_group_and_are_forgotten_afterwards(run: Run) -> None:
    assert run("runs", "-q", "list", "--no-color") == (0, "a-run\n", "")
    assert (display.settings.quiet, display.settings.color) == (True, False)
    assert run("runs", "list")[0] == 0
    assert display.settings == display.Settings()


def test_quiet_and_verbose(run: Run) -> None:
    warning = "warning: warned\nhint: do this\n"
    assert run("sample", "chatter") == (0, "answer\n", f"said\n{warning}")
    assert run("sample", "chatter", "-q") == (0, "answer\n", warning)
    assert run("sample", "chatter", "-v") == (0, "answer\n", f"said\ndetailed\n{warning}")


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"seqvae {__version__}\n", "")


def test_help_of_the_program_lists_the_commands_in_groups_and_imports_none(run: Run) -> None:
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    groups = out[: out.index("Options:")]
    assert groups.endswith(
        "\nSentences:\n  sample  Does something.\n  broken  Cannot be imported.\n"
        "\nRuns:\n  runs    Looks after runs.\n\n"
    )
    assert "seqvae_fake_sample" not in sys.modules
    options, output = out[len(groups) :].split("Output:")
    for option in ("--version", "--install-completion"):
        assert option in options
    for option in ("-q, --quiet", "-v, --verbose", "--no-color", "--debug", "-h, --help"):
        assert option in output


def test_help_of_a_command_keeps_the_lines_of_its_example(run: Run) -> None:
    code, out, _ = run("sample", "-h")
    assert code == 0
    assert "  Example:\n      seqvae sample lines -n 3\n      seqvae sample settings\n" in out
    assert "--debug" in out
    assert "--install-completion" not in out


def test_without_arguments_the_help_is_shown_on_stderr(run: Run) -> None:
    code, out, err = run("runs")
    assert (code, out) == (2, "")
    assert err.startswith("Usage: seqvae runs ")
    assert re.search(r"Commands:\n  list  List runs\.\n  show  Show a run\.\n", err)
    assert run()[2].startswith("Usage: seqvae ")


def test_a_command_is_imported_when_it_is_called(run: Run) -> None:
    assert run("sample")[0] == 0
    assert "seqvae_fake_runs" not in sys.modules
    assert "seqvae_fake_broken" not in sys.modules


def test_shell_completion_names_commands_and_options(start: Callable[..., subprocess.Popen[str]]) -> None:
    for words, expected in (
        ("sa", "sample"),
        ("sample --num", "--number"),
        ("sample --mode w", "word"),
        ("runs l", "list"),
    ):
        out, err = start(*words.split(), env={"_SEQVAE_COMPLETE": "bash"}).communicate(timeout=30)
        assert (out.split(), err) == ([expected], "")


def test_every_real_command_leaves_the_shared_options_alone() -> None:
    group = app.program()
    assert list(app.COMMANDS) == group.list_commands(None)

    def options(command: Any) -> list[str]:
        return [option for parameter in command.params for option in parameter.opts if option.startswith("-")]

    def check(command: Any) -> None:
        names = options(command)
        assert len(names) == len(set(names)), f"{command.name}: an option twice"
        assert {"-q", "--quiet", "-v", "--verbose", "--no-color", "--debug"} <= set(names)
        for below in getattr(command, "commands", {}).values():
            check(below)

    for name in app.COMMANDS:
        check(group.get_command(None, name))


def leaves() -> dict[str, Any]:
    """Every real command, those of a group by both words."""
    group, found = app.program(), {}
    for name in app.COMMANDS:
        command: Any = group.get_command(None, name)
        below = getattr(command, "commands", None)
        found |= {f"{name} {sub}": one for sub, one in below.items()} if below else {name: command}
    return found


def sections(command: Any) -> dict[str, headings.Rows]:
    """What the help of a command shows under each heading."""
    return headings.options(command, command.make_context("seqvae", [], resilient_parsing=True))


LEAVES = leaves()


def test_every_option_stands_under_a_known_heading_the_shared_ones_under_the_last() -> None:
    for name, command in LEAVES.items():
        found = sections(command)
        assert tuple(found) == headings.ORDER, name
        last = [option.rpartition("--")[2] for option, _ in found[headings.OUTPUT]]
        assert last[-6:] == ["json", "quiet", "verbose", "no-color", "debug", "help"], name
        assert sum(map(len, found.values())) >= len(last), name


def test_a_command_with_more_than_a_dozen_options_has_headings() -> None:
    for name, command in LEAVES.items():
        found = sections(command)
        own = [rows for title, rows in found.items() if title not in ("Arguments", headings.OUTPUT) and rows]
        assert max(map(len, own), default=0) <= 15, name
        if sum(map(len, own)) > 12:
            assert len(own) >= 3, name


def test_the_settings_of_train_have_the_heading_that_people_look_under() -> None:
    found = {title: " ".join(option for option, _ in rows) for title, rows in sections(LEAVES["train"]).items() if rows}
    assert list(found) == [headings.DATA_AND_RUN, *headings.SETTINGS, headings.RUNTIME, headings.OUTPUT]
    assert found[headings.DATA_AND_RUN].startswith("--data ")
    for title, option in (
        (headings.DATA_AND_RUN, "--preset"),
        ("Training", "--epochs"),
        ("Learning rate", "--patience"),
        ("Model", "--hidden-size"),
        ("Latent code", "--latent-size"),
        ("Objective", "--kl-schedule"),
        (headings.RUNTIME, "--seed"),
    ):
        assert option in found[title]


def test_what_two_commands_share_is_declared_once() -> None:
    """No literal help text of an option appears twice in the modules of the commands."""
    folder = Path(app.__file__).parent / "commands"
    seen: dict[str, str] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("typer.Option", "typer.Argument"):
                continue
            text = next((ast.unparse(word.value) for word in node.keywords if word.arg == "help"), "")
            where = f"{path.relative_to(folder)}:{node.lineno}"
            assert text, f"{where}: an option without help"
            assert text not in seen, f"{where} and {seen[text]} declare {text}: move it to cli.options"
            seen[text] = where
    assert seen


def test_every_module_of_a_command_is_listed() -> None:
    folder = Path(app.__file__).parent / "commands"
    files = {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert files | packages == set(app.COMMANDS)


def test_every_help_names_ranges_and_defaults_in_one_way(seqvae: Seqvae) -> None:
    page = " ".join(seqvae("sample", "--help").out.split())
    assert "-n, --number INTEGER Sentences. [1 or more; default 10]" in page
    assert "--top-p FLOAT" in page
    assert "add up to p [0.001 to 1; default 1]" in page
    assert "--seed INTEGER Seed of all noise. [0 or more; default 0]" in page
    assert "--start TEXT Words" in page
    for command in ("prepare", "eval", "sample", "interpolate", "encode", "decode", "train"):
        text = seqvae(command, "--help").out
        assert not re.search(r"<=x|x>=|default: |<(int|float|str|path|list)\b", text), command

"""What users of other tools type is answered with what it is called here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.cli import app, names
from seqvae_cli.errors import meant
from tests.conftest import Seqvae

GROUP = app.program()
RUNS = list(getattr(GROUP.get_command(None, "runs"), "commands", {}))


def hint(seqvae: Seqvae, *arguments: str) -> str:
    answer = seqvae(*arguments)
    assert (answer.code, answer.out) == (2, "")
    error, line = answer.err.splitlines()
    assert error.startswith("error: no such ")
    return line


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("help", "--help"),
        ("generate", "sample"),
        ("plot", "runs plot"),
        ("import", "runs import"),
        ("list", "runs list"),
        ("ls", "runs list"),
        ("rm", "runs rm"),
        ("compare", "runs compare"),
        ("show", "runs show"),
        ("test", "eval"),
        ("evaluate", "eval"),
        ("fit", "train"),
        ("trian", "train"),
        ("runs delete", "runs rm"),
        ("runs lsit", "runs list"),
    ],
)
def test_a_command_of_another_name_is_answered_with_ours(seqvae: Seqvae, typed: str, command: str) -> None:
    assert hint(seqvae, *typed.split()) == f"hint: did you mean {command!r}?"


def test_an_unknown_command_is_answered_with_all_there_are(seqvae: Seqvae) -> None:
    assert hint(seqvae, "frobnicate") == f"hint: known: {', '.join(app.COMMANDS)}"
    assert hint(seqvae, "runs", "frobnicate") == f"hint: known: {', '.join(RUNS)}"


def test_every_name_leads_to_a_command_that_exists_and_is_none_itself() -> None:
    assert names.RUNS.split() == RUNS
    for group, known in (("", list(app.COMMANDS)), ("runs", RUNS)):
        for typed, command in names.COMMANDS[group].items():
            assert not meant(typed, known) or meant(typed, known) == command, typed
            first, *below = command.split()
            assert first in known or first in ("--help", "--version")
            assert not below or below[0] in RUNS or below == ["--resume"]


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["train", "--learning_rate", "1"], "--lr"),
        (["train", "--dataset", "ptb"], "--data"),
        (["train", "--epoch", "3"], "--epochs"),
        (["sample", "--temp", "1"], "--temperature"),
        (["sample", "--gpu"], "--device"),
        (["sample", "--epochs", "1"], ""),
        (["train", "--frobnicate", "x"], ""),
    ],
)
def test_an_option_of_another_name_is_answered_with_one_of_the_command(
    seqvae: Seqvae, arguments: list[str], option: str
) -> None:
    page = f"seqvae {arguments[0]} --help"
    assert hint(seqvae, *arguments) == (f"hint: did you mean {option}? see {page}" if option else f"hint: {page}")


def test_every_other_name_of_an_option_leads_to_one_of_some_command() -> None:
    commands: list[Any] = [GROUP.get_command(None, name) for name in app.COMMANDS]
    contexts = [command.make_context("seqvae", [], resilient_parsing=True) for command in commands]
    options = {
        option
        for command, context in zip(commands, contexts, strict=True)
        for parameter in command.get_params(context)
        for option in parameter.opts
    }
    assert set(names.OPTIONS.values()) <= options
    assert not set(names.OPTIONS) & options


def test_a_mistyped_file_is_answered_with_the_file_beside_it(
    seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.txt").write_text("a\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "news.txt").write_text("a\n")
    for typed, found in (("revews.txt", "reviews.txt"), ("data/nwes.txt", "data/news.txt"), ("ptbb", "ptb")):
        answer = seqvae("prepare", typed)
        assert answer.code == 4
        assert answer.err == f"error: {typed} does not exist\nhint: did you mean {found!r}?\n"
    for typed in ("nothing.txt", "nowhere/ptb.txt"):
        assert "did you mean" not in seqvae("prepare", typed).err

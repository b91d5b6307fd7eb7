"""Row 29: whatever a command line says, it is answered with an exit code of ours."""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from seqvae_cli.cli import app, boundary
from seqvae_cli.data import download
from seqvae_cli.errors import MachineError
from seqvae_cli.runs import watching
from seqvae_cli.system import speed
from tests.faults.mutations import CountTries, content, fill, fuzzed_home, no_disk, survive

__all__ = ["fuzzed_home", "no_disk"]  # fixtures


WORDS = ["the cat sees it", "sentences.txt", "codes.npy", "codes.jsonl", "settings.yaml", "run.tar.gz", "nowhere/x.npy"]
WORDS += [
    "-",
    "--",
    "",
    " ",
    "half",
    "ha",
    "few",
    "latest",
    "best",
    "auto",
    "cpu",
    "cuda",
    "cuda:9",
    "tpu",
    "word",
    "char",
]
WORDS += ["valid", "linear", "paper", "curves.svg", "train.lr=1", "train.lr=!!int ''", "seed=[", "x=1", "=", "train=1"]
WORDS += [
    "0",
    "1",
    "2",
    "-1",
    "0.5",
    "1.5",
    "nan",
    "inf",
    "-inf",
    "1e-9",
    "1_0",
    "٣",
    "0x1",
    "\udc80",
    "a\0b",
    "\x1b[2J",
]
WORDS += ["utf-16", "idna", "rot13", "../x", "x" * 300]
VALUES = st.sampled_from(WORDS) | st.sampled_from(WORDS) | st.text(max_size=5).filter(lambda text: "/" not in text)
NEVER = {"--debug", "--install-completion", "--show-completion"}
"""A traceback is what `--debug` is for; the others would change the shell's settings."""


def commands() -> dict[str, tuple[list[str], int]]:
    """Every command with its flags and the number of its arguments."""
    group = app.program()
    found = {}
    for name in app.COMMANDS:
        command: Any = group.get_command(None, name)
        below = getattr(command, "commands", None) or {"": command}
        for sub, leaf in below.items():
            params = leaf.get_params(leaf.make_context(name, [], resilient_parsing=True))
            flags = [flag for param in params for flag in (*param.opts, *param.secondary_opts) if flag.startswith("-")]
            arguments = sum(not param.opts[0].startswith("-") for param in params)
            found[f"{name} {sub}".strip()] = (sorted(set(flags) - NEVER), arguments)
    return found


@st.composite
def command_lines(draw: st.DrawFn, known: dict[str, tuple[list[str], int]]) -> list[str]:
    """A command with arguments, and flags of it that mostly have a value; seldom anything else."""
    name = draw(st.sampled_from(sorted(known)))
    flags, arguments = known[name]
    words = name.split()
    words += draw(st.lists(VALUES, min_size=max(0, arguments - draw(st.integers(0, 1))), max_size=arguments + 1))
    for _ in range(draw(st.integers(0, 4))):
        words.append(draw(st.sampled_from(flags) | st.sampled_from(flags) | VALUES))
        if draw(st.booleans()):
            words.append(draw(VALUES))
    if not draw(st.integers(0, 9)):
        words.insert(draw(st.integers(0, len(words))), draw(VALUES | st.sampled_from(sorted(flags))))
    return words


def run_program(words: list[str], stdin: bytes) -> tuple[int, str]:
    """Exit code and stderr."""
    streams = [io.TextIOWrapper(io.BytesIO(data), encoding="utf-8") for data in (stdin, b"", b"")]
    with pytest.MonkeyPatch.context() as patch:
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        code = boundary.main(words)
        streams[2].flush()
        return code, streams[2].buffer.getvalue().decode()  # type: ignore[attr-defined]


def answered(words: list[str], stdin: bytes) -> None:
    code, told = run_program(words, stdin)
    assert code in (0, 2, 3, 4, 5, 6), told
    assert "Traceback" not in told
    errors = [line for line in told.splitlines() if line.startswith("error:")]
    assert len(errors) == (code not in (0, 2, 4)) or (code in (2, 4) and len(errors) <= 1), (
        told
    )  # help and doctor: none


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in with files of every kind that commands read. Nothing is downloaded, parsers are made once."""
    monkeypatch.setattr("seqvae_cli.web.server.serve", lambda *_: None)  # it would serve until Ctrl-C
    path = tmp_path / "desk"
    fill(
        path,
        {
            "sentences.txt": b"the cat sees it\n\na dog likes people\n" * 10,
            "codes.jsonl": b"[1, 2]\nnull\n[0.5, -1e3]\n",
            "settings.yaml": b"train:\n  lr: 0.1\n",
        },
    )
    monkeypatch.chdir(path)

    def refuse(*_: object, **__: object) -> None:
        raise MachineError("no network here")

    monkeypatch.setattr(download, "fetch", refuse)
    monkeypatch.setattr(speed, "gflops", lambda *_: 1.0)
    monkeypatch.setattr(watching, "SECONDS", 0)
    build = app.Commands.get_command
    built: dict[str, Any] = {}

    def once(self: Any, context: Any, name: str) -> Any:
        built[name] = built.get(name) or build(self, context, name)
        return built[name]

    monkeypatch.setattr(app.Commands, "get_command", once)
    return path


STDIN = st.sampled_from(
    [b"", b"the cat sees it\n\nx y z\n", b"[1, 2]\nnull\n", b"[1]", b"\xff\xfe", b"\0"]
) | st.binary(max_size=20)


@pytest.mark.row(29)
@pytest.mark.usefixtures("desk")
def test_any_command_line_is_answered_in_an_empty_home(home: Path, count_tries: CountTries) -> None:
    def attempt(drawn: tuple[list[str], bytes]) -> None:
        answered(*drawn)
        shutil.rmtree(home, ignore_errors=True)

    count_tries(survive(st.tuples(command_lines(commands()), STDIN), attempt))


@pytest.mark.row(29)
def test_any_command_line_is_answered_where_there_is_a_run(
    fuzzed_home: Path, home: Path, desk: Path, count_tries: CountTries
) -> None:
    """But for those that would train, or draw pictures, each of which takes long."""
    known = {name: found for name, found in commands().items() if name not in ("train", "runs plot")}
    members, paper = content(fuzzed_home), content(desk)

    def attempt(drawn: tuple[list[str], bytes]) -> None:
        fill(home, members)
        answered(*drawn)
        fill(desk, paper)
        os.chdir(desk)

    count_tries(survive(st.tuples(command_lines(known), STDIN), attempt, part=10))

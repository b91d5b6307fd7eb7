"""What users can rely on everywhere: the rules of the command line, held over every command there is."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.cli import app, boundary
from tests import fake_hub
from tests.conftest import SMALL, TINY, Answer, Seqvae, tiny_text

TEXT = b"the cat sees the sea\na dog likes it\n"
CODES = b"[0.1, 0.2, 0.3, 0.4]\n[0, 0, 0, 0]\n"

CALLS: dict[str, tuple[list[str], bytes]] = {
    "prepare": (["-", "--name", "piped"], "\n".join(tiny_text()).encode()),
    "train": (["--data", "tiny", "--name", "again", *SMALL, "--latent-size", "0"], b""),
    "prior": (["tiny-run"], b""),
    "sweep": (["small.yaml"], b""),
    "eval": (["tiny-run", "--samples", "2"], b""),
    "corpora": ([], b""),
    "presets": ([], b""),
    "sample": (["-n", "3"], b""),
    "reconstruct": (["-"], TEXT),
    "score": (["-"], TEXT),
    "interpolate": (["the cat sees", "a dog likes it", "--steps", "3"], b""),
    "traverse": (["the cat sees", "--top", "1", "--steps", "2", "--threads", "1"], b""),
    "arithmetic": (["the cat sees", "-", "a dog sees", "+", "-", "--threads", "1"], TEXT),
    "neighbours": (["-", "-n", "2"], TEXT),
    "map": (["-o", "map.tsv", "--method", "pca"], b""),
    "encode": (["-"], TEXT),
    "decode": (["-"], CODES),
    "play": (["--no-open"], b""),
    "serve": ([], b""),
    "export": (["tiny-run", "--format", "safetensors", "-o", "weights", "--threads", "1"], b""),
    "runs list": ([], b""),
    "runs show": ([], b""),
    "runs compare": ([], b""),
    "runs best": ([], b""),
    "runs watch": ([], b""),
    "runs tag": (["tiny-run", "kept"], b""),
    "runs rm": (["tiny-run"], b""),
    "runs restore": (["gone"], b""),
    "runs path": ([], b""),
    "runs plot": (["-o", "curves.svg"], b""),
    "runs export": (["tiny-run", "run.tar.gz"], b""),
    "runs import": (["carried.tar.gz", "--name", "carried"], b""),
    "runs push": (["tiny-run", "me/new"], b""),
    "runs pull": (["me/sentences", "--name", "pulled"], b""),
    "runs doctor": ([], b""),
    "doctor": ([], b""),
}
"""A call of each command that works in the tests' home, and what it reads."""

STREAMS = {
    "corpora",
    "presets",
    "sample",
    "encode",
    "decode",
    "reconstruct",
    "score",
    "arithmetic",
    "neighbours",
    "runs list",
    "runs watch",
}
"""Commands whose JSON may be several lines, a document each."""


def every_command() -> Iterator[str]:
    group = app.program()
    for name in app.COMMANDS:
        below: dict[str, Any] = getattr(group.get_command(None, name), "commands", {})
        yield from (f"{name} {sub}" for sub in below) if below else (name,)


@pytest.fixture(scope="session")
def ready_home(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_home` with a run in the trash, beside an archive of a run; made once."""
    path = tmp_path_factory.mktemp("ready") / "home"
    shutil.copytree(tiny_home, path)
    archive = str(path.parent / "carried.tar.gz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQVAE_HOME", str(path))
        for arguments in (["export", "tiny-run", archive], ["import", archive, "--name", "gone"], ["rm", "gone"]):
            assert boundary.main(["runs", *arguments, "-q"]) == 0
    return path


@pytest.fixture(scope="session")
def hub(tiny_home: Path) -> Iterator[fake_hub.Hub]:
    """A local hub with a run; made once."""
    with fake_hub.serving() as hub:
        hub.lfs = False
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {"SEQVAE_HOME": str(tiny_home), **hub.environment}.items():
                patch.setenv(name, value)
            assert boundary.main(["runs", "push", "tiny-run", "me/sentences", "-q"]) == 0
        yield hub


@pytest.fixture
def ready(
    ready_home: Path,
    hub: fake_hub.Hub,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seqvae: Seqvae,
) -> Seqvae:
    """A home in which every call works, a folder to work in, and a local hub."""
    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(ready_home, home)
    shutil.copy(ready_home.parent / "carried.tar.gz", tmp_path)
    settings = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in (TINY | {"model.latent_size": 0}).items())
    plan = f"data: tiny\nsettings:\n{settings}space:\n  train.lr: [0.001, 0.002]\ntrials: 1\n"
    (tmp_path / "small.yaml").write_text(plan)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("seqvae_cli.web.server.serve", lambda *_: None)  # it would serve until Ctrl-C
    return seqvae


def call(seqvae: Seqvae, command: str, *more: str) -> Answer:
    arguments, stdin = CALLS[command]
    return seqvae(*command.split(), *arguments, *more, stdin=stdin)


def test_the_table_has_every_command() -> None:
    assert list(CALLS) == list(every_command())


@pytest.mark.parametrize("command", CALLS)
def test_help_has_an_example(seqvae: Seqvae, command: str) -> None:
    answer = seqvae(*command.split(), "--help")
    assert answer.code == 0
    assert answer.err == ""
    assert "Example" in answer.out
    assert f"seqvae {command}" in answer.out
    assert all(option in answer.out for option in ("--json", "--quiet", "--no-color", "--help"))


@pytest.mark.parametrize("command", CALLS)
def test_the_answer_is_on_stdout_and_plain(ready: Seqvae, command: str) -> None:
    """Off a terminal, and whatever NO_COLOR says: no escape codes, no carriage returns."""
    answer = call(ready, command)
    assert answer.code == 0, answer.err
    for text in (answer.out, answer.err):
        assert "\x1b" not in text
        assert "\r" not in text


@pytest.mark.parametrize("command", CALLS)
def test_json_has_stdout_to_itself(ready: Seqvae, command: str) -> None:
    answer = call(ready, command, "--json")
    assert answer.code == 0, answer.err
    documents = [json.loads(line) for line in answer.lines] if command in STREAMS else [json.loads(answer.out)]
    assert documents
    for line in answer.err.splitlines():
        assert not line.startswith(("{", "["))


@pytest.mark.parametrize("command", CALLS)
def test_quiet_leaves_the_same_answer_and_nothing_else(ready: Seqvae, command: str) -> None:
    answer = call(ready, command, "--json", "--quiet")
    assert answer.code == 0
    assert answer.err == ""
    assert answer.out


@pytest.mark.parametrize("command", CALLS)
def test_colour_is_refused_where_it_is_forced_and_forbidden(
    ready: Seqvae, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    answer = call(ready, command)
    assert answer.code == 0
    assert "\x1b[3" not in answer.out + answer.err  # no colour; bold and the like may stay


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("command", CALLS)
def test_a_reader_that_leaves_early_ends_it_quietly(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arguments, stdin = CALLS[command]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        code = boundary.main([*command.split(), *arguments, "--json", "--quiet"])
        monkeypatch.undo()
    assert code == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", CALLS)
def test_an_unknown_option_is_wrong_usage_in_two_lines(seqvae: Seqvae, command: str) -> None:
    answer = seqvae(*command.split(), "--no-such-option")
    assert answer.code == 2
    assert answer.out == ""
    assert "--no-such-option" in answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.splitlines()) <= 2


@pytest.mark.usefixtures("trained_home")
@pytest.mark.parametrize(
    ("arguments", "code", "nearest"),
    [
        (["smaple"], 2, "sample"),
        (["runs", "lsit"], 2, "list"),
        (["train", "--preset", "defualt"], 2, "default"),
        (["train", "--set", "train.epoch=1"], 2, "train.epochs"),
        (["train", "--data", "tyni"], 3, "tiny"),
        (["eval", "tiny-rnu"], 3, "tiny-run"),
        (["sample", "-r", "tiny-rnu"], 3, "tiny-run"),
        (["runs", "show", "tiny-rnu"], 3, "tiny-run"),
        (["runs", "best", "--by", "iw_pl"], 2, "iw_ppl"),
        (["prepare", "ptbb"], 4, "ptb"),
        (["presets", "defualt"], 2, "default"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_nearest(
    seqvae: Seqvae, arguments: list[str], code: int, nearest: str
) -> None:
    answer = seqvae(*arguments)
    assert answer.code == code
    assert nearest in answer.err.replace(arguments[-1], "")
    assert "Traceback" not in answer.err

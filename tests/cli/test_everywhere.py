"""What users can rely on everywhere: the rules of the command line, held over every command there is."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.cli import app, boundary
from tests import fake_hub
from tests.conftest import SMALL, TINY, Answer, Seqvae, tiny_text
from tests.offline import refuse_network

TEXT = b"the cat sees the sea\na dog likes it\n"
CODES = b"[0.1, 0.2, 0.3, 0.4]\n[0, 0, 0, 0]\n"

CALLS: dict[str, tuple[list[str], bytes]] = {
    "prepare": (["-", "--name", "piped"], "\n".join(tiny_text()).encode()),
    "train": (["--data", "tiny", "--name", "again", *SMALL, "--latent-size", "0"], b""),
    "prior": (["tiny-run", "--components", "2", "--threads", "1"], b""),
    "sweep": (["small.yaml"], b""),
    "eval": (["tiny-run", "--samples", "2", "--threads", "1"], b""),
    "corpora": ([], b""),
    "presets": ([], b""),
    "sample": (["-n", "3", "--threads", "1"], b""),
    "reconstruct": (["-", "--threads", "1"], TEXT),
    "score": (["-", "--threads", "1"], TEXT),
    "interpolate": (["the cat sees", "a dog likes it", "--steps", "3", "--threads", "1"], b""),
    "traverse": (["the cat sees", "--top", "1", "--steps", "2", "--threads", "1"], b""),
    "arithmetic": (["the cat sees", "-", "a dog sees", "+", "-", "--threads", "1"], TEXT),
    "neighbours": (["-", "-n", "2", "--threads", "1"], TEXT),
    "map": (["-o", "map.tsv", "--method", "pca", "--threads", "1"], b""),
    "encode": (["-", "--threads", "1"], TEXT),
    "decode": (["-", "--threads", "1"], CODES),
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
    "runs plot": (["-o", "curves.svg", "--only", "kl"], b""),
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


VARYING = {
    "prepare": {"created", "prepared_at"},
    "train": {"seconds"},
    "play": {"url"},
    "serve": {"url", "token"},
    "runs rm": {"path"},
    "doctor": {"float32", "bfloat16", "free"},
}
"""What two calls of a command answer differently: times, tokens, speeds, the place in the trash."""

ASKING = {"runs push", "runs pull"}
"""Commands that ask a hub; no other may ask the network."""


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


@dataclass
class Ready:
    """Calls a command in a home in which it works, and a folder to work in: each time as they were."""

    command: str
    seqvae: Seqvae
    template: Path
    folder: Path

    def furnish(self) -> None:
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.template, self.folder / "home")
        shutil.copy(self.template.parent / "carried.tar.gz", self.folder)
        settings = "".join(
            f"  {key}: {json.dumps(value)}\n" for key, value in (TINY | {"model.latent_size": 0}).items()
        )
        plan = f"data: tiny\nsettings:\n{settings}space:\n  train.lr: [0.001, 0.002]\ntrials: 1\n"
        (self.folder / "small.yaml").write_text(plan)

    def __call__(self, *more: str) -> Answer:
        arguments, stdin = CALLS[self.command]
        self.furnish()
        return self.seqvae(*self.command.split(), *arguments, *more, stdin=stdin)


@pytest.fixture
def ready(
    command: str,
    ready_home: Path,
    hub: fake_hub.Hub,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seqvae: Seqvae,
) -> Iterator[Ready]:
    """No command asks the network; two ask a hub, here a local one."""
    import huggingface_hub

    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("seqvae_cli.web.server.serve", lambda *_: None)  # it would serve until Ctrl-C
    assert home == tmp_path / "home"
    huggingface_hub.close_session()  # a connection that is open already would not be noticed
    with pytest.MonkeyPatch.context() as patch:
        asked = refuse_network(patch, ("127.0.0.1", hub.server_port) if command in ASKING else None)
        yield Ready(command, seqvae, ready_home, tmp_path)
    assert asked == []


def documents(command: str, answer: Answer) -> list[Any]:
    """The JSON of an answer, without what no two answers share."""

    def lasting(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key not in VARYING.get(command, ())}

    texts = answer.lines if command in STREAMS else [answer.out]
    return [json.loads(text, object_pairs_hook=lasting) for text in texts]


def test_the_table_has_every_command() -> None:
    assert list(CALLS) == list(every_command())


@pytest.mark.parametrize("page", ["", *{command.split()[0]: "" for command in CALLS if " " in command}, *CALLS])
def test_help_has_an_example_and_fits_eighty_columns(
    seqvae: Seqvae, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    answer = seqvae(*page.split(), "--help")
    assert answer.code == 0
    assert answer.err == ""
    assert all(option in answer.out for option in ("--quiet", "--no-color", "--help"))
    if page:
        assert "Example" in answer.out
        assert f"seqvae {page}" in answer.out
    else:
        assert "..." not in answer.out.partition("COMMAND [ARGS]...")[2], "a summary is cut"
    if page in CALLS:
        assert "--json" in answer.out
    assert max(map(len, answer.lines)) <= 80
    assert not [line for line in answer.lines[1:] if line.endswith(("...", "…"))], "a sentence is cut"
    if page == "train":
        assert not [line for line in answer.lines if line.endswith("-") and "Mises-" not in line], "a name is broken"


@pytest.mark.parametrize("command", CALLS)
def test_the_answer_is_plain_off_a_terminal_even_where_colour_is_forced(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No escape codes, no carriage returns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    answer = ready()
    assert answer.code == 0, answer.err
    for text in (answer.out, answer.err):
        assert "\x1b" not in text
        assert "\r" not in text


@pytest.mark.parametrize("command", CALLS)
def test_json_has_stdout_to_itself_and_quiet_leaves_the_same_answer_and_nothing_else(
    ready: Ready, command: str
) -> None:
    loud, quiet = ready("--json"), ready("--json", "--quiet")
    assert loud.code == 0, loud.err
    assert documents(command, loud)
    for line in loud.err.splitlines():
        assert not line.startswith(("{", "["))
    assert quiet.code == 0, quiet.err
    assert quiet.err == ""
    assert documents(command, quiet) == documents(command, loud)


@pytest.mark.parametrize("command", CALLS)
def test_a_reader_that_leaves_early_ends_it_quietly(
    ready: Ready, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready.furnish()
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

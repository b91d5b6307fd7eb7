"""Safe to use on data of strangers and on shared machines: no network, no terminal tricks, no loose permissions."""

from __future__ import annotations

import io
import os
import pty
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqvae_cli.cli import boundary
from seqvae_cli.errors import MachineError
from seqvae_cli.runs import registry
from seqvae_cli.system import files, places
from tests.conftest import SMALL, Answer, Seqvae, tiny_text
from tests.offline import refuse_network
from tests.preloaded import Preloaded

# No network


def test_a_download_asks_the_network_and_says_that_there_is_none(
    seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tests/cli/test_everywhere.py asks of every command, of which none does."""
    tried = refuse_network(monkeypatch)
    answer = seqvae("prepare", "ptb")
    assert tried
    assert answer.code == 4
    assert "--from" in answer.err
    assert "Traceback" not in answer.err


# Terminal escape codes in data

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "bell\x07",
    "back\x08\x08",
    "\x9b31mcsi",
    "\x9d0;osc\x9c",
    "del\x7f",
    "\u202eesrever",
    "\u2066isolate",
    "line\u2028separator",
    "\x1bPq#dcs\x1b\\",
]
LABEL = "la\x1b[31mbel\x9b2J"
"""The name of a column."""
SENTENCES = [" ".join(HOSTILE[i:] + HOSTILE[: i % 5]) for i in range(len(HOSTILE))]
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
DRAWING = re.compile(r"\x1b\[\?25[lh]|\x1b\[\d*[AK]|\r")
"""What a live display without colour needs: hide and show the cursor, go up, clear a line, go to its start."""


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined, no-any-return]


def on_a_terminal(*arguments: str, stdin: bytes = b"") -> Answer:
    """Runs the program with a terminal for stdout and stderr."""
    out, err = Terminal(), Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm-256color")
        patch.setenv("COLUMNS", "200")
        patch.setenv("NO_COLOR", "1")
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        code = boundary.main(list(arguments))
        return Answer(code, out.shown, err.shown)


def assert_harmless(text: str) -> None:
    """Nothing in `text` steers a terminal but what draws the live display."""
    found = CONTROL.search(DRAWING.sub("", text))
    assert found is None, f"{text[max(0, found.start() - 60) : found.end() + 20]!r}"


@pytest.fixture(scope="module")
def hostile_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose path, corpus and text hold escape codes, with a run that learned them. Made once, on a terminal."""
    folder = tmp_path_factory.mktemp("hostile") / "ho\x1b[31mme\u202e"
    folder.mkdir()
    (folder / "te\x1b[2J\x07xt.txt").write_text("\n".join(SENTENCES * 4), encoding="utf-8")
    rows = [f'"{sentence}",{i % 2}\n' for i, sentence in enumerate(SENTENCES)]
    (folder / "table.csv").write_text("".join([f"text,{LABEL}\n", *rows]), encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQVAE_HOME", str(folder / "home"))
        prepared = on_a_terminal("prepare", str(folder / "te\x1b[2J\x07xt.txt"), "--tokenizer", "whitespace")
        assert prepared.code == 0, prepared.err
        trained = on_a_terminal("train", "--name", "wild", *SMALL, "-v")
        assert trained.code == 0, trained.err
        wild = registry.find("wild")
        wild.update(failure=HOSTILE[0], device=HOSTILE[1], corpus={**wild.info["corpus"], "name": HOSTILE[2]})
        for answer in (prepared, trained):
            assert_harmless(answer.out + answer.err)
    return folder


@pytest.fixture
def hostile(hostile_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / hostile_home.name
    shutil.copytree(hostile_home, folder)
    monkeypatch.setenv("SEQVAE_HOME", str(folder / "home"))
    monkeypatch.chdir(folder)
    return folder


TEXT = "\n".join([*SENTENCES[:3], "new\x1b[8mword \x9bhere", "", "\x1b[5m"]).encode()
QUICK = ["--max-len", "12", "--threads", "1"]
SHOWN: list[tuple[list[str], bytes]] = [
    (["prepare", "te\x1b[2J\x07xt.txt", "--tokenizer", "whitespace"], b""),
    (["prepare", "te\x1b[2J\x07xt.txt", "--name", "again", "--json"], b""),
    (["prepare", "-", "--name", "piped"], TEXT * 9),
    (["eval", "wild", "--samples", "2", "--threads", "1"], b""),
    (["eval", "wild", "--samples", "2", "--threads", "1", "--json"], b""),
    (["sample", "-n", "8", *QUICK], b""),
    (["sample", "-n", "8", *QUICK, "--json"], b""),
    (["interpolate", *SENTENCES[:2], *QUICK], b""),
    (["interpolate", *SENTENCES[:2], *QUICK, "--json"], b""),
    (["interpolate", "new\x1b[8mword a", "\x9bb c", *QUICK], b""),
    (["encode", "-", "--threads", "1"], TEXT),
    (["decode", "-", *QUICK], b"[1, 2, 3, 4]\n" * 9),
    (["decode", "-", *QUICK, "--json"], b"[1, 2, 3, 4]\n" * 9),
    (["reconstruct", "-", *QUICK], TEXT),
    (["reconstruct", "-", *QUICK, "--json"], TEXT),
    (["score", "-", "--threads", "1"], TEXT),
    (["score", *SENTENCES[:2], "--threads", "1", "--json"], b""),
    (["neighbours", SENTENCES[0], "-n", "2", "--among", "table.csv", "--label", LABEL, "--threads", "1"], b""),
    (["neighbours", "table.csv", "-n", "1", "--label", LABEL, "--json", "--threads", "1"], b""),
    (["map", "--data", "table.csv", "--color", LABEL, "--threads", "1", "-o", "a\x1b[31m.svg"], b""),
    (["traverse", SENTENCES[0], "--steps", "2", *QUICK], b""),
    (["arithmetic", SENTENCES[0], "-", SENTENCES[1], "+", SENTENCES[2], *QUICK], b""),
    (["runs", "list"], b""),
    (["runs", "list", "--json"], b""),
    (["runs", "show", "wild"], b""),
    (["runs", "show", "wild", "--json"], b""),
    (["runs", "compare"], b""),
    (["runs", "path"], b""),
    (["runs", "doctor"], b""),
    (["runs", "export", "wild", "a\x1b[31m.tar.gz"], b""),
    (["runs", "plot", "wild", "-o", "a\x1b[31m.svg", "--only", "kl"], b""),
    (["runs", "rm", "wild"], b""),
]


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(("arguments", "stdin"), SHOWN, ids=[" ".join(words[:2]) for words, _ in SHOWN])
def test_no_escape_code_of_the_data_reaches_a_terminal(arguments: list[str], stdin: bytes) -> None:
    answer = on_a_terminal(*arguments, "-v", stdin=stdin)
    assert answer.code == 0, answer.err
    assert answer.out or answer.err
    assert_harmless(answer.out + answer.err)


ESCAPE = "\x1b[31mx\x9b2J\x07\u202e"
REFUSED = [
    [ESCAPE],
    [f"--{ESCAPE}"],
    ["runs", ESCAPE],
    ["sample", f"--{ESCAPE}"],
    ["sample", "-r", ESCAPE],
    ["sample", "-n", ESCAPE],
    ["sample", "--start", ESCAPE],
    ["sample", "--device", ESCAPE],
    ["encode", "a b", "--encoding", ESCAPE],
    ["encode", "a b", "-o", f"{ESCAPE}.x"],
    ["encode", f"nowhere/{ESCAPE}.txt"],
    ["eval", "--split", ESCAPE],
    ["interpolate", "a", "b", "--path", ESCAPE],
    ["train", "--name", ESCAPE],
    ["train", "--data", ESCAPE],
    ["train", "--preset", ESCAPE],
    ["train", "--lr", ESCAPE],
    ["train", "--resume", ESCAPE],
    ["train", "--set", ESCAPE],
    ["train", "--set", f"{ESCAPE}=1"],
    ["train", "--set", f"train.lr={ESCAPE}"],
    ["train", "--config", f"{ESCAPE}.yaml"],
    ["train", "--config", "bad\x1b[31m.yaml"],
    ["prepare", ESCAPE],
    ["prepare", "nul\x1b[31m.txt"],
    ["prepare", "nul\x1b[31m.txt", "--name", ESCAPE],
    ["prepare", "nul\x1b[31m.txt", "--tokenizer", ESCAPE],
    ["runs", "tag", "wild", ESCAPE],
    ["runs", "rm", ESCAPE],
    ["runs", "restore", ESCAPE],
    ["runs", "best", "--by", ESCAPE],
    ["runs", "best", "--data", ESCAPE],
    ["runs", "import", f"{ESCAPE}.tar.gz"],
    ["runs", "export", "wild", f"nowhere{ESCAPE}/x"],
    ["decode", f"{ESCAPE}.jsonl"],
    ["decode", "bad\x1b[31m.yaml"],
]


@pytest.mark.parametrize("arguments", REFUSED, ids=[" ".join(words).replace(ESCAPE, "E")[:30] for words in REFUSED])
def test_no_error_message_echoes_an_escape_code(hostile: Path, arguments: list[str]) -> None:
    (hostile / "bad\x1b[31m.yaml").write_text("'\\e[31mkey': 1\n")
    (hostile / "nul\x1b[31m.txt").write_bytes(b"a\0\x1b[31m")
    answer = on_a_terminal(*arguments)
    assert answer.code in (2, 3, 4, 5), answer.err
    assert DRAWING.sub("", answer.err).count("error: ") == 1
    assert_harmless(answer.out + answer.err)


@pytest.mark.parametrize("damage", [{"format": 9}, {"status": HOSTILE[0]}, None])
def test_no_damaged_run_echoes_an_escape_code(hostile: Path, damage: dict[str, object] | None) -> None:
    run = registry.find("wild")
    if damage is None:
        (run.path / "run.json").write_bytes(b"\x1b[31m\x07")
        (run.path / "tags.json").write_bytes(b'["\\u001b[31m"]')
    else:
        run.update(**damage)
    (run.path / f"{files.TEMPORARY}\x1b[31m").touch()
    (places.runs() / f"{files.TEMPORARY}\x1b[31m").touch()
    for arguments in (["runs", "list"], ["runs", "doctor"], ["runs", "show", "wild"], ["sample", "-r", "wild"]):
        answer = on_a_terminal(*arguments)
        assert answer.code in (0, 4)
        assert_harmless(answer.out + answer.err)
    assert hostile.is_dir()


@pytest.mark.usefixtures("hostile")
def test_a_pipe_gets_the_very_bytes(seqvae: Seqvae) -> None:
    answer = seqvae("sample", "-n", "8", *QUICK)
    assert answer.code == 0
    assert "\x1b" in answer.out
    assert {word for line in answer.out.split("\n") for word in line.split(" ") if word} <= {*HOSTILE, "<unk>"}


@pytest.mark.usefixtures("hostile")
def test_a_real_terminal_is_not_steered_either(forked: Preloaded) -> None:
    ours, theirs = pty.openpty()
    arguments = ["reconstruct", *QUICK, *SENTENCES[:2], "new\x1b[8mword", "--no-color"]
    process = forked.start(*arguments, streams=[theirs] * 3)
    os.close(theirs)
    shown = b"".join(everything(ours)).decode()
    assert process.wait().code == 0, shown
    assert "\\x1b" in shown
    assert_harmless(shown)


def everything(terminal: int) -> Iterator[bytes]:
    try:
        while block := os.read(terminal, 4096):
            yield block
    except OSError:  # how Linux says that the other side is closed
        pass
    finally:
        os.close(terminal)


# Permissions and temporary files


@pytest.mark.parametrize("mask", [0o077, 0o002], ids=oct)
def test_everything_honours_the_umask(mask: int, tmp_path: Path, home: Path, seqvae: Seqvae) -> None:
    (tmp_path / "text.txt").write_text("\n".join(tiny_text()))
    before = os.umask(mask)
    try:
        for arguments in (
            ["prepare", str(tmp_path / "text.txt"), "--name", "tiny"],
            ["train", "--data", "tiny", "--name", "mine", *SMALL],
            ["eval", "mine", "--samples", "2"],
            ["runs", "tag", "mine", "kept"],
            ["runs", "export", "mine", str(tmp_path / "mine.tar.gz")],
            ["runs", "import", str(tmp_path / "mine.tar.gz"), "--name", "again"],
            ["encode", "the cat", "-o", str(tmp_path / "codes.npy")],
            ["runs", "rm", "again"],
        ):
            assert seqvae(*arguments).code == 0
    finally:
        os.umask(before)
    made = [tmp_path / "mine.tar.gz", tmp_path / "codes.npy", home, *home.rglob("*")]
    assert len(made) > 30
    modes = {path: oct(path.stat().st_mode & 0o777) for path in made}
    expected = {path: oct((0o777 if path.is_dir() else 0o666) & ~mask) for path in made}
    assert modes == expected


@pytest.fixture
def guessed(monkeypatch: pytest.MonkeyPatch) -> str:
    """The ending of every temporary name, known beforehand."""
    monkeypatch.setattr(secrets, "token_hex", lambda count: "0" * 2 * count)
    return "0" * 8


@pytest.mark.parametrize("kind", ["link", "dangling", "file", "folder"])
def test_nothing_planted_under_a_temporary_name_is_followed_or_changed(kind: str, guessed: str, tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", tmp_path / "target.json"
    victim.write_text("precious")
    target.write_text("old")
    planted = tmp_path / f"{files.TEMPORARY}target.json-{guessed}"
    plant(planted, victim, kind)
    with pytest.raises(MachineError, match=re.escape(str(tmp_path))):
        files.write(target, b"new")
    assert victim.read_text() == "precious"
    assert target.read_text() == "old"
    assert not (tmp_path / "nobody").exists()
    assert os.path.lexists(planted)  # whose it is may remove it
    if kind == "file":
        assert planted.read_text() == "precious, too"


def plant(path: Path, victim: Path, kind: str) -> None:
    match kind:
        case "link":
            path.symlink_to(victim)
        case "dangling":
            path.symlink_to(victim.parent / "nobody")
        case "file":
            path.write_text("precious, too")
        case "folder":
            path.mkdir()
            (path / "file").write_text("precious, too")


@pytest.mark.parametrize("ending", ["", ".lock"])
@pytest.mark.parametrize("kind", ["link", "dangling"])
@pytest.mark.parametrize(
    ("folder", "stem", "arguments"),
    [
        ("runs", "run", ["train", "--data", "tiny", *SMALL, "--epochs", "1"]),
        ("runs", "import", ["runs", "import", "tiny.tar.gz", "--name", "again"]),
        ("cache", "text", ["prepare", "-", "--name", "other"]),
    ],
    ids=["train", "import", "prepare"],
)
def test_no_draft_is_made_through_a_planted_link(
    folder: str,
    stem: str,
    arguments: list[str],
    kind: str,
    ending: str,
    guessed: str,
    trained_home: Path,
    tmp_path: Path,
    seqvae: Seqvae,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert seqvae("runs", "export", "tiny-run", "tiny.tar.gz").code == 0
    victims = tmp_path / "victims"
    victims.mkdir()
    (victims / "file").write_text("precious")
    (trained_home / folder).mkdir(exist_ok=True)
    planted = trained_home / folder / f"{files.TEMPORARY}{stem}-{guessed}{ending}"
    plant(planted, victims / "file" if ending else victims, kind)
    answer = seqvae(*arguments, stdin="\n".join(tiny_text()).encode())
    assert answer.code in (0, 5), answer.err
    assert "Traceback" not in answer.err
    assert [(path.name, path.read_text()) for path in victims.iterdir()] == [("file", "precious")]
    assert not (tmp_path / "nobody").exists()


# Names of runs


@pytest.mark.parametrize("name", ["../corpora", "/etc", ""])
def test_no_run_name_leaves_the_home(name: str, trained_home: Path, tmp_path: Path, seqvae: Seqvae) -> None:
    archive = str(tmp_path / "tiny.tar.gz")
    assert seqvae("runs", "export", "tiny-run", archive).code == 0
    before = sorted(tmp_path.rglob("*"))
    for arguments in (
        ["train", "--data", "tiny", "--name", name, *SMALL],
        ["train", "--resume", name],
        ["runs", "import", archive, "--name", name],
        ["runs", "show", name],
        ["runs", "path", name],
        ["runs", "export", name, str(tmp_path / "x.tar.gz")],
        ["runs", "rm", name],
        ["runs", "restore", name],
        ["runs", "tag", name, "x"],
        ["runs", "doctor", name],
        ["sample", name],
        ["eval", "-r", name],
    ):
        answer = seqvae(*arguments)
        assert answer.code == 2, (arguments, answer.err)
    assert sorted(tmp_path.rglob("*")) == before
    assert trained_home.is_dir()

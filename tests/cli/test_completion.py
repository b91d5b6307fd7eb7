"""Completion: what is offered, and how the real shells take it."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqvae_cli.cli import app, boundary, completion, shells
from seqvae_cli.config import options, outline, presets
from seqvae_cli.config.options import Flag
from seqvae_cli.data.tokenizers.patterns import PATTERNS
from seqvae_cli.latent.neighbours import METRICS
from seqvae_cli.plotting.maps.methods import METHODS
from tests.conftest import Seqvae
from tests.runs.folders import create


@pytest.fixture
def filled(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home with two runs, a corpus and what is neither, beside a folder for PATH with the program."""
    create("toy-default-1").tag(["paper", "draft"])
    create("names.v2_b")
    (home / "runs" / "not a run $(touch hurt)").mkdir()
    corpus = home / "corpora" / "toy-0123456789ab"
    corpus.mkdir(parents=True)
    (corpus / "corpus.json").write_text('{"labels": ["mood"], "toy": {"factors": {"topic": [], "tense": []}}}')
    (home / "corpora" / "half-0123456789ab").mkdir()
    program = tmp_path / "bin" / "seqvae"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom seqvae_cli.__main__ import main\nsys.exit(main())\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    (work / "text.txt").write_text("a\n")
    monkeypatch.chdir(work)
    return home


def offered(*words: str) -> list[str]:
    return list(completion.completions(words)[0])


def test_the_outline_is_the_schema() -> None:
    def as_flag(setting: outline.Setting) -> tuple[object, ...]:
        names = (setting.flags[0] + "/" + setting.flags[1],) if setting.is_switch else setting.flags
        return setting.key, names, "|".join(setting.choices)

    def known(flag: Flag) -> tuple[object, ...]:
        return flag.key, flag.names, flag.kind if "|" in flag.kind else ""

    assert list(map(as_flag, outline.settings())) == list(map(known, options.flags()))
    for setting, flag in zip(outline.settings(), options.flags(), strict=True):
        assert setting.description
        assert flag.help.startswith(setting.description)


@pytest.mark.usefixtures("filled")
def test_commands_options_and_values_are_offered() -> None:
    assert offered("") == list(app.COMMANDS)
    assert offered("runs", "ex") == ["export"]
    assert offered("train", "--preset", "") == presets.names()
    assert offered("train", "--preset=v") == ["--preset=vamp", "--preset=vmf"]
    assert offered("train", "--posterior", "") == ["gaussian", "vmf"]
    assert offered("train", "--data", "") == ["toy", "toy-0123456789ab"]
    assert offered("train", "--resume", "") == ["auto", "names.v2_b", "toy-default-1", "latest", "best"]
    assert offered("sample", "-r", "na") == ["names.v2_b"]
    assert offered("runs", "compare", "toy-default-1", "n") == ["names.v2_b"]
    assert offered("eval", "--split", "t") == ["train", "test"]
    assert offered("score", "--format", "j") == ["jsonl"]
    assert offered("map", "--method", "") == list(METHODS)
    assert offered("neighbours", "--metric", "") == list(METRICS)
    assert offered("neighbours", "--split", "v") == offered("map", "--split", "v") == ["valid"]
    assert offered("map", "--color", "") == ["length", "mood", "topic", "tense"]
    assert offered("runs", "plot", "--color", "t") == ["topic", "tense"]
    assert offered("runs", "list", "--tag", "") == offered("runs", "tag", "latest", "") == ["draft", "paper"]
    assert offered("prepare", "--pattern", "") == list(PATTERNS)
    assert completion.completions(["map", "--projector", ""]) == ({}, True)
    assert offered("prepare", "--tokenizer-of", "t") == ["toy-default-1", "toy", "toy-0123456789ab"]
    assert {"auto", "cpu"} <= set(offered("sample", "--device", ""))
    assert "--bidirectional" in offered("train", "--bi")
    assert "--no-bidirectional" in offered("train", "--no-bi")
    assert offered("sample", "--gre", "--greedy", "--gr") == [], "it is given already"
    assert offered("runs", "tag", "--", "--re") == [], "options are over"
    assert completion.completions(["prepare", ""]) == ({"ptb": "", "toy": ""}, True)
    assert completion.completions(["sample", "-n", ""]) == ({}, False)


def test_what_is_damaged_hides_nothing_else(filled: Path) -> None:
    for number, damaged in enumerate(("[]", "{", '{"labels": 3}', '{"toy": []}')):
        corpus = filled / "corpora" / f"a-{number:012}"
        corpus.mkdir()
        (corpus / "corpus.json").write_text(damaged)
    (filled / "runs" / "names.v2_b" / "tags.json").write_text("{")
    assert offered("map", "--color", "m") == ["mood"]
    assert offered("runs", "list", "--tag", "p") == ["paper"]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    "words", [["nonsense", ""], ["runs", "nonsense", "-"], ["--no-such", "x", ""], ["x" * 5000], []]
)
def test_what_is_wrong_is_answered_with_nothing_or_commands(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert completion.answer("zsh", words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert {line.partition("\t")[0] for line in out.splitlines()} <= set(app.COMMANDS)


def test_an_error_is_never_written_into_the_prompt(home: Path, seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shells.VARIABLE, "bash")
    for make in (home.mkdir, lambda: (home.rmdir(), home.write_text("a file"))):
        answer = seqvae("sample", "-r", "")
        assert (answer.code, answer.err, answer.lines) in ((0, "", ["latest", "best"]), (0, "", []))
        make()
    assert seqvae("sample", "-r", "").out == ""
    monkeypatch.setenv(shells.VARIABLE, "complete_bash")  # a script of an older version
    assert (seqvae("").code, seqvae("").out) == (0, "")


@pytest.mark.parametrize(
    ("words", "joined", "cut"),
    [
        (["train", "--preset", "=", "bow"], ["train", "--preset=bow"], 9),
        (["train", "--preset", "="], ["train", "--preset="], 9),
        (["--device", "cuda", ":", "1"], ["--device", "cuda:1"], 5),
        (["show", '"to'], ["show", "to"], 0),
        (["show", ""], ["show", ""], 0),
        ([], [], 0),
    ],
)
def test_words_that_bash_has_split_are_joined(words: list[str], joined: list[str], cut: int) -> None:
    assert completion._joined(words) == (joined, cut)


def test_a_completion_loads_nothing_slow(filled: Path) -> None:
    script = """
import sys
from seqvae_cli.cli import app, boundary
for words in ("train --data ", "train --p", "sample -r ", "train --posterior ", "map --color ", "--"):
    words = words.split(" ")
    assert boundary.main(words) == 0
for name in app.COMMANDS:
    assert boundary.main([name, "--"]) == 0
slow = {"torch", "numpy", "pydantic", "rich", "yaml", "safetensors", "matplotlib"} & set(sys.modules)
sys.exit(f"loaded: {slow}" if slow else 0)
"""
    environment = os.environ | {shells.VARIABLE: "fish"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "toy-default-1\t\n" in done.stdout
    assert filled.is_dir()


def shell(name: str, script: str) -> list[str]:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    plain = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
    done = subprocess.run([name, *plain, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.usefixtures("filled")
def test_bash_completes(tmp_path: Path) -> None:
    lines = shell(
        "bash",
        """
        eval "$(seqvae --show-completion)"
        complete -p seqvae
        offer() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _seqvae_completion "$1"; echo "${COMPREPLY[*]}"; }
        offer seqvae train --preset bowman-
        offer seqvae train --preset = bowman-
        offer seqvae prepare t
        offer seqvae map --color to
        offer seqvae train --data none
        """,
    )
    assert lines == [
        "complete -o default -F _seqvae_completion seqvae",
        "bowman-inputless",
        "bowman-inputless",
        "toy text.txt",
        "topic",
        "",
    ]
    assert not (tmp_path / "work" / "hurt").exists()


def test_bash_quotes_what_it_inserts(filled: Path, tmp_path: Path) -> None:
    """Names of columns, which may come with a corpus of others."""
    labels = ["star rating", "x;touch hurt", "y$(touch hurt)", "z\x1b[31m"]
    info = json.dumps({"labels": labels})
    (filled / "corpora" / "toy-0123456789ab" / "corpus.json").write_text(info)
    lines = shell(
        "bash",
        """
        eval "$(seqvae --show-completion)"
        offer() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _seqvae_completion "$1"; echo "${COMPREPLY[*]}"; }
        for start in st x y z le; do offer seqvae map --color $start; done
        """,
    )
    assert lines == [r"star\ rating", r"x\;touch\ hurt", r"y\$\(touch\ hurt\)", "", "length"]
    assert not (tmp_path / "work" / "hurt").exists()


@pytest.mark.usefixtures("filled")
def test_fish_completes() -> None:
    lines = shell(
        "fish",
        """
        seqvae --show-completion | source
        for words in "train --preset bowman-" "train --preset=bowman-" "runs show " "prepare t" \
                "neighbours --metric k" "eval --spl"
            set line "seqvae $words"
            complete -C $line
            echo
        end
        """,
    )
    assert lines == [
        *("bowman-inputless", "", "--preset=bowman-inputless", ""),
        *("names.v2_b", "toy-default-1", "latest", "best", ""),
        *("toy", "text.txt", "", "kl", "", "--split\ttrain, valid or test", ""),
    ]


def screen_of(descriptor: int, until: str, seconds: float = 60) -> str:
    """What a terminal has shown when `until` appears in it."""
    shown, end = b"", time.monotonic() + seconds
    while until.encode() not in shown:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"no {until!r} in {shown!r}"
        shown += os.read(descriptor, 4096)
    return shown.decode(errors="replace")


@pytest.mark.usefixtures("filled")
def test_zsh_completes_at_its_prompt_from_the_first_tab(tmp_path: Path) -> None:
    (written,) = shell("zsh", "seqvae -q --install-completion; :")
    assert written == str(tmp_path / ".zfunc" / "_seqvae")
    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"PS1": "> ", "TERM": "xterm"}
        os.execvp("zsh", ["zsh", "-f", "-i"])
    try:
        os.write(terminal, b"fpath+=(~/.zfunc); autoload -Uz compinit; compinit -u -D; PS1='ready''>'\n")
        screen_of(terminal, "ready>")
        for typed, completed in (
            (b"seqvae train --preset bowman-i", "bowman-inputless"),
            (b"seqvae runs show n", "names.v2_b"),
            (b"seqvae train --posterior=v", "--posterior=vmf"),
            (b"seqvae map --method um", "umap"),
            (b"seqvae score te", "text.txt"),
        ):
            os.write(terminal, b"\x15" + typed + b"\t")  # the line before is deleted
            assert "error" not in screen_of(terminal, completed)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


@pytest.mark.parametrize("name", shells.SHELLS)
def test_each_script_goes_to_the_place_where_its_shell_looks(
    name: str, tmp_path: Path, seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shells, "shell_at_hand", lambda: name)
    answer = seqvae("--install-completion")
    (path,) = map(Path, answer.lines)
    assert path.read_text() == shells.SHELLS[name].script == seqvae("--show-completion").out
    assert (str(path.parent) in answer.err) == (name != "fish")
    assert answer.err.endswith("a new shell completes seqvae\n")


def test_another_shell_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("tcsh", "/bin/tcsh"))
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert shells.shell_at_hand() == "fish"
    monkeypatch.setenv("SHELL", "/bin/sh")
    assert boundary.main(["--show-completion"]) == 2
    assert capsys.readouterr().err.startswith("error: no completion for the shell 'tcsh'\nhint: ")

"""The edge of the program: messages and exit codes, pipes, signals, streams. The commands are fakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seqvae_cli import errors
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SeqvaeError", 1),
        ("UsageError", 2),
        ("NotFoundError", 3),
        ("DataError", 4),
        ("CheckpointError", 4),
        ("MachineError", 5),
        ("DivergedError", 6),
    ],
)
def test_an_error_ends_with_its_exit_code_one_line_and_one_hint(run: Run, name: str, code: int) -> None:
    assert getattr(errors, name).exit_code == code
    expected = "error: bad \\x1b]0;title\\x07name\\nand more\nhint: mend \\x9b it\n"
    assert run("sample", name) == (code, "", expected)


@pytest.mark.parametrize(
    ("what", "code", "message"),
    [
        ("memory", 5, "error: out of memory\nhint: lower --batch-size"),
        ("allocator", 5, "error: out of memory: [enforce fail]"),
        ("file", 5, "error: /no/such/file: No such file or directory"),
        ("interrupt", 130, "error: interrupted\n"),
        ("exit", 130, ""),
        ("bug", 1, "error: this is a bug in seqvae: KeyError: 'x\\x1b[31m'\nhint: --debug"),
    ],
)
def test_other_exceptions(run: Run, what: str, code: int, message: str) -> None:
    found, out, err = run("sample", what)
    assert (found, out) == (code, "")
    assert err.startswith(message)
    assert err.count("\n") <= 2
    assert "\x1b" not in err


def test_memory_of_the_device_is_told_without_importing_torch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    before = sys.modules.get("torch")
    try:
        code, _, err = run("sample", "device")
    finally:
        sys.modules.pop("torch", None)
        if before is not None:
            sys.modules["torch"] = before
    assert code == 5
    assert err.startswith("error: out of memory: tried to allocate 2 GiB\nhint: lower --batch-size")


def test_debug_shows_the_traceback_before_the_message(run: Run) -> None:
    for arguments in (["--debug", "sample", "DataError"], ["sample", "DataError", "--debug"]):
        code, out, err = run(*arguments)
        assert (code, out) == (4, "")
        assert err.startswith("Traceback (most recent call last):\n")
        assert err.endswith("hint: mend \\x9b it\n")
        assert "\x1b" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smaple"], "error: no such command: 'smaple'\nhint: did you mean 'sample'?\n"),
        (["x\x1b[31m"], "error: no such command: 'x\\x1b[31m'\nhint: known: sample, runs, broken\n"),
        (["runs", "lsit"], "error: no such command: 'runs lsit'\nhint: did you mean 'runs list'?\n"),
        (["runs", "show"], "error: missing argument 'name'\nhint: seqvae runs show --help\n"),
        (["sample", "--numbr", "3"], "error: no such option: --numbr\nhint: did you mean --number? see"),
        (["sample", "--count", "3"], "error: no such option: --count\nhint: did you mean --number? see"),
        (["sample", "--init", "3"], "error: no such option: --init\nhint: seqvae sample --help\n"),
        (["sample", "-n"], "error: option '-n' requires an argument\nhint: seqvae sample --help\n"),
        (["sample", "-n", "0"], "error: --number takes a whole number from 1 to 1000000, not '0'\nhint: seqvae"),
        (["sample", "-n", "1.5"], "error: --number takes a whole number from 1 to 1000000, not '1.5'\n"),
        (["sample", "--temperature", "nan"], "error: --temperature takes a number of at least 0.0, not 'nan'\n"),
        (["sample", "--mode", "\x1b[1m"], "error: invalid value for '--mode': "),
        (["sample", "a", "b\x1b"], "error: got unexpected extra argument(s) (b"),
        (["sample", "-q", "-v"], "error: --quiet and --verbose exclude each other\n"),
        (["-q", "sample", "-v"], "error: --quiet and --verbose exclude each other\n"),
        (["--nothing"], "error: no such option: --nothing\nhint: seqvae --help\n"),
    ],
)
def test_wrong_usage_is_two_plain_lines(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 2
    assert "\x1b" not in err


def test_infinity_is_checked_against_the_range(run: Run) -> None:
    assert run("sample", "-n", "inf")[0] == 2


def test_sigterm_handler_of_the_caller_comes_back(run: Run) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run("sample")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_closed_pipe_ends_quietly(start: Callable[..., subprocess.Popen[str]]) -> None:
    for number in ("5", "1000000"):
        process = start("sample", "lines", "-n", number)
        assert process.stdout is not None
        assert process.stderr is not None
        if number != "5":
            assert process.stdout.readline() == "sentence 0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 0
        process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
@pytest.mark.parametrize(
    "arguments", [["sample", "lines", "-n", "3"], ["sample", "lines", "-n", "9999"], ["--version"]]
)
def test_a_full_device_is_exit_code_5(start: Callable[..., subprocess.Popen[str]], arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        process = start(*arguments, stdout=full)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 5
    assert err == (
        "error: cannot write to standard output: No space left on device\nhint: write to a disk with free space\n"
    )


def test_a_closed_stdout_is_exit_code_5(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("sample", preexec_fn=lambda: os.close(1), stdout=None)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.splitlines()[0]) == (5, "error: standard output is closed")


def test_a_closed_stderr_leaves_the_answer_clean(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("sample", "chatter", preexec_fn=lambda: os.close(2), stderr=None)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "answer\n")


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 130, "ready\nerror: interrupted\n"),
        (signal.SIGTERM, 143, "ready\nerror: stopped by SIGTERM\n"),
    ],
)
def test_signals(start: Callable[..., subprocess.Popen[str]], number: int, code: int, message: str) -> None:
    process = start("sample", "sleep", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert process.stderr is not None
    ready = process.stderr.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, ready + err) == (code, "", message)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_pipes_are_utf_8_whatever_the_encoding(start: Callable[..., subprocess.Popen[str]], encoding: str) -> None:
    process = start("sample", "unicode", env={"PYTHONIOENCODING": encoding}, encoding="utf-8")
    assert process.communicate(timeout=30) == ('café 😀\n"café"\n', "")
    assert process.returncode == 0


def test_a_terminal_keeps_its_encoding_and_takes_any_text(start: Callable[..., subprocess.Popen[str]]) -> None:
    shown = on_terminal(start, "sample", "unicode", PYTHONIOENCODING="ascii")
    assert shown == 'caf\\xe9 \\U0001f600\r\n"caf\\u00e9"\r\n'


def on_terminal(start: Callable[..., subprocess.Popen[str]], *arguments: str, **env: str) -> str:
    """What a terminal shows of stdout and stderr together."""
    import pty

    master, slave = pty.openpty()
    process = start(*arguments, stdout=slave, stderr=slave, env={"TERM": "xterm-256color", "COLUMNS": "80", **env})
    os.close(slave)
    shown = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not block:
            break
        shown += block
    process.wait(timeout=30)
    os.close(master)
    return shown.decode()


def test_colour_is_for_terminals_that_want_it(start: Callable[..., subprocess.Popen[str]]) -> None:
    assert "\x1b[1;31merror:\x1b[0m bad \\x1b]0;" in on_terminal(start, "sample", "DataError")
    assert "\x1b" in on_terminal(start, "sample", "table")
    for env, option in (({"NO_COLOR": "1"}, []), ({"TERM": "dumb"}, []), ({}, ["--no-color"])):
        assert "\x1b" not in on_terminal(start, "sample", "DataError", *option, **env)
        assert "\x1b" not in on_terminal(start, "sample", "table", *option, **env)
    assert "\x1b" in on_terminal(start, "sample", "DataError", NO_COLOR="")

"""The program's frame: options of every command, messages and exit codes, pipes, signals. The commands are fakes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli import __version__, errors
from seqvae_cli.cli import app, display

FAKE = '''
import sys
import time
from typing import Annotated, Literal

import typer

from seqvae_cli import errors
from seqvae_cli.cli import display

app = typer.Typer()


class OutOfMemoryError(RuntimeError):
    pass


@app.command()
def sample(
    what: Annotated[str, typer.Argument(help="What to do.")] = "settings",
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=1000000, help="How many.")] = 10,
    temperature: Annotated[float, typer.Option(min=0.0, help="Temperature.")] = 1.0,
    mode: Annotated[Literal["word", "char"], typer.Option(help="Mode.")] = "word",
) -> None:
    """Do something.

    Example:
        seqvae sample lines -n 3
        seqvae sample settings
    """
    if what == "settings":
        settings = display.settings
        display.out_json([settings.quiet, settings.verbose, settings.color, settings.debug, number])
    elif what == "lines":
        for index in range(number):
            display.out(f"sentence {index}")
    elif what == "sleep":
        display.say("ready")
        time.sleep(30)
    elif what == "chatter":
        display.say("said")
        display.detail("detailed")
        display.warn("warned", "do this")
        display.out("answer")
    elif what == "table":
        display.table("Title", ["name", "value"], [["caf\\u00e9", 1.0]])
    elif what == "unicode":
        display.out("caf\\u00e9 \\U0001f600")
        display.out_json("caf\\u00e9")
    elif what == "memory":
        raise MemoryError
    elif what == "allocator":
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    elif what == "device":
        sys.modules["torch"] = sys.modules[__name__]
        raise OutOfMemoryError("tried to allocate 2 GiB")
    elif what == "file":
        open("/no/such/file")
    elif what == "interrupt":
        raise KeyboardInterrupt
    elif what == "exit":
        raise typer.Exit(130)
    elif what == "bug":
        raise KeyError("x\\x1b[31m")
    else:
        raise getattr(errors, what)("bad \\x1b]0;title\\x07name\\nand more", "mend \\x9b it")
'''

GROUP = '''
import typer

app = typer.Typer(help="Look after runs.", no_args_is_help=True)


@app.command("list")
def list_runs() -> None:
    """List runs."""
    typer.echo("a-run")


@app.command()
def show(name: str) -> None:
    """Show a run."""
'''


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Puts two fake commands into the table: one plain, one a group."""
    (tmp_path / "seqvae_fake_sample.py").write_text(FAKE, encoding="utf-8")
    (tmp_path / "seqvae_fake_runs.py").write_text(GROUP, encoding="utf-8")
    (tmp_path / "seqvae_fake_broken.py").write_text("raise RuntimeError('imported without need')", encoding="utf-8")
    table = {name: f"seqvae_fake_{name}" for name in ("sample", "runs", "broken")}
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(app, "COMMANDS", table)
    for module in table.values():
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return table


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(fakes: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the program in this process: exit code, stdout, stderr."""
    assert app.COMMANDS is fakes

    def run_here(*arguments: str) -> tuple[int, str, str]:
        code = app.main(arguments)
        return code, *capsys.readouterr()

    return run_here


@pytest.fixture
def start(fakes: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the program in a process of its own."""
    script = tmp_path / "program.py"
    script.write_text(
        f"import sys\nfrom seqvae_cli.cli import app\napp.COMMANDS = {fakes!r}\nsys.exit(app.main())\n",
        encoding="utf-8",
    )

    def start_there(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "PYTHONUTF8")}
        return subprocess.Popen(
            [sys.executable, str(script), *arguments], text=True, env=inherited | (env or {}), **streams
        )

    return start_there


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
        (["x\x1b[31m"], "error: no such command: 'x\\x1b[31m'\nhint: known: broken, runs, sample\n"),
        (["runs", "lsit"], "error: no such command 'lsit'. Did you mean 'list'?\nhint: seqvae runs --help\n"),
        (["runs", "show"], "error: missing argument 'name'\nhint: seqvae runs show --help\n"),
        (["sample", "--numbr", "3"], "error: no such option: --numbr\nhint: did you mean --number? see"),
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


def test_help_of_the_program_lists_the_commands_in_order(run: Run, fakes: dict[str, str]) -> None:
    del fakes["broken"]
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert re.search(r"sample +Do something\.\n +runs +Look after runs\.", out)
    for option in (
        "--version",
        "-q, --quiet",
        "-v, --verbose",
        "--no-color",
        "--debug",
        "-h, --help",
        "--install-completion",
    ):
        assert option in out


def test_help_of_a_command_keeps_the_lines_of_its_example(run: Run) -> None:
    code, out, _ = run("sample", "-h")
    assert code == 0
    assert "  Example:\n      seqvae sample lines -n 3\n      seqvae sample settings\n" in out
    assert "--debug" in out
    assert "--install-completion" not in out


def test_without_arguments_the_help_is_shown_on_stderr(run: Run, fakes: dict[str, str]) -> None:
    code, out, err = run("runs")
    assert (code, out) == (2, "")
    assert err.startswith("Usage: seqvae runs ")
    del fakes["broken"]
    assert run()[2].startswith("Usage: seqvae ")


def test_a_command_is_imported_when_it_is_called(run: Run) -> None:
    assert run("sample")[0] == 0
    assert "seqvae_fake_runs" not in sys.modules
    assert "seqvae_fake_broken" not in sys.modules


def test_shell_completion_names_commands_and_options(start: Callable[..., subprocess.Popen[str]]) -> None:
    for words, expected in (("seqvae sa", "sample"), ("seqvae sample --num", "--number"), ("seqvae runs l", "list")):
        env = {
            "_SEQVAE_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        out, err = start(env=env).communicate(timeout=30)
        assert (out.split(), err) == ([expected], "")


def test_sigterm_handler_of_the_caller_comes_back(run: Run) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run("sample")
    assert signal.getsignal(signal.SIGTERM) is before


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


def test_ascii_stdout_takes_any_text(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("sample", "unicode", env={"PYTHONIOENCODING": "ascii"})
    assert process.communicate(timeout=30) == ('caf\\xe9 \\U0001f600\n"caf\\u00e9"\n', "")
    assert process.returncode == 0


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

"""Fake commands in the program's frame: one plain, one a group, one that must not be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.cli import app, boundary, display

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
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, app.Listed]:
    """Puts three fake commands into the table, in two groups."""
    (tmp_path / "seqvae_fake_sample.py").write_text(FAKE, encoding="utf-8")
    (tmp_path / "seqvae_fake_runs.py").write_text(GROUP, encoding="utf-8")
    (tmp_path / "seqvae_fake_broken.py").write_text("raise RuntimeError('imported without need')", encoding="utf-8")
    table = {
        "sample": app.Listed("Sentences", "Does something.", "seqvae_fake_sample"),
        "runs": app.Listed("Runs", "Looks after runs.", "seqvae_fake_runs"),
        "broken": app.Listed("Sentences", "Cannot be imported.", "seqvae_fake_broken"),
    }
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(app, "COMMANDS", table)
    for listed in table.values():
        monkeypatch.delitem(sys.modules, listed.module, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return table


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(fakes: dict[str, app.Listed], capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the program in this process: exit code, stdout, stderr."""
    assert app.COMMANDS is fakes

    def run_here(*arguments: str) -> tuple[int, str, str]:
        code = boundary.main(arguments)
        return code, *capsys.readouterr()

    return run_here


@pytest.fixture
def start(fakes: dict[str, app.Listed], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the program in a process of its own."""
    script = tmp_path / "program.py"
    script.write_text(
        "import sys\n"
        "from seqvae_cli.cli import app, boundary\n"
        "from seqvae_cli.cli.app import Listed\n"
        f"app.COMMANDS = {fakes!r}\n"
        "sys.exit(boundary.main())\n",
        encoding="utf-8",
    )

    def start_there(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "PYTHONUTF8")}
        return subprocess.Popen(
            [sys.executable, str(script), *arguments], text=True, env=inherited | (env or {}), **streams
        )

    return start_there


@pytest.fixture
def fresh_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the display as at start, on a terminal of 80 columns without colour variables."""
    monkeypatch.setattr(display, "settings", display.Settings())
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")

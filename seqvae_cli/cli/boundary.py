"""The edge of the program: streams, signals, and the one place where exceptions become messages and exit codes."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import typer

from seqvae_cli.cli import app, display, names, shells
from seqvae_cli.errors import MachineError, SeqvaeError
from seqvae_cli.system.processes import leave_to_first

MEMORY_HINT = "lower --batch-size, --hidden-size or --max-len (a resumed run keeps its own); in eval --samples"

ENVIRONMENT = {
    # Threads that wait sleep soon: beside a busy program on the same cores, spinning makes torch several times slower.
    "GOMP_SPINCOUNT": "2000",
    # Large tensors in huge pages.
    "THP_MEM_ALLOC_ENABLE": "1",
}
"""Read once, when torch is imported; what the user has set stays. docs/performance.md has the figures."""


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. Code that cleans up after Ctrl-C cleans up after it, too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line, by default that of the process, and returns its exit code.

    No exception leaves it, and every message goes to stderr.
    """
    display.settings = display.Settings()
    if code := _guard(_open_streams):
        return code
    given = sys.argv[1:] if arguments is None else list(arguments)
    if shell := os.environ.get(shells.VARIABLE):
        from seqvae_cli.cli import completion

        return completion.answer(shell, given)
    code = _guard(lambda: _run(given))
    return _guard(sys.stdout.flush) or code


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Makes SIGINT and SIGTERM raise an exception, so that work is cleaned up; an ignored signal stays ignored.

    During an import the previous handler is called instead: there is nothing to clean up, and Python may print and drop
    an exception that is raised inside its import system. In a destructor or a callback of C Python drops it, too: the
    program then ends there, without cleaning up.
    """
    before: dict[int, Any] = {}
    hook = sys.unraisablehook

    def dropped(found: Any) -> None:
        if not isinstance(found.exc_value, KeyboardInterrupt):
            hook(found)
            return
        code = _explain(found.exc_value)
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)

    def stop(number: int, frame: FrameType | None) -> None:
        if _importing(frame):
            signal.signal(number, before[number])
            signal.raise_signal(number)
        else:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before |= {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, stop)
        if before:
            sys.unraisablehook = dropped
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


@_signals_raise()
def _run(arguments: list[str]) -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    command = app.program()
    # Not `main` of typer: it would swallow Ctrl-C and broken pipes, and words its messages differently.
    with command.make_context("seqvae", arguments) as context:
        try:
            command.invoke(context)
        except SeqvaeError:
            leave_to_first()
            raise
        except typer.TyperException as error:
            leave_to_first()
            within = getattr(error, "ctx", None) or context
            path = [within.command_path, within.invoked_subcommand if within is context else None]
            error.command_path = " ".join(filter(None, path))  # type: ignore[attr-defined]
            raise


def _guard(action: Callable[[], object]) -> int:
    """Calls `action`; returns 0, or the exit code of the exception it raised, after explaining that on stderr."""
    try:
        action()
    except typer.Exit as request:
        return request.exit_code
    except SystemExit as request:
        return request.code if isinstance(request.code, int) else int(request.code is not None)
    except BaseException as error:
        try:
            return _explain(error)
        except KeyboardInterrupt:  # a second signal: end at once
            return 128 + signal.SIGINT
    return 0


def _explain(error: BaseException) -> int:
    if isinstance(error, BrokenPipeError):
        # The reader has had enough, which is not a failure: under pipefail `sample | head -1` succeeds.
        _drop_stdout()
        return 0
    if type(error).__name__ == "NoArgsIsHelpError":  # typer does not export it
        display.comment(str(error))
        return 2
    if display.settings.debug:
        for line in traceback.format_exception(error):
            display.comment(line.rstrip("\n"))
    code, message, hint = _verdict(error)
    display.notice("error", message, "red")
    if hint:
        display.notice("hint", hint, "cyan")
    return code


def _verdict(error: BaseException) -> tuple[int, str, str]:
    """Exit code, message and hint of an exception."""
    match error:
        case SeqvaeError():
            return error.exit_code, error.message, error.hint
        case typer.TyperException():
            return _usage_verdict(error)
        case Terminated():
            return 128 + signal.SIGTERM, "stopped by SIGTERM", ""
        case KeyboardInterrupt() | typer.Abort():
            return 128 + signal.SIGINT, "interrupted", ""
        case OSError():
            return _system_verdict(error)
        case ImportError() if "failed to map segment" in str(error):  # from the dynamic loader
            return 5, str(error), "there is too little memory to load it, or its disk does not allow programs to run"
    if _out_of_memory(error):
        return 5, f"out of memory: {error}" if str(error) else "out of memory", MEMORY_HINT
    message = f"this is a bug in seqvae: {type(error).__name__}: {error}"
    return 1, message, "--debug shows the traceback; please report it, with the output of `seqvae doctor`"


def _usage_verdict(error: typer.TyperException) -> tuple[int, str, str]:
    """typer's message as ours: one line with the value at fault, and a hint."""
    help_command = f"{getattr(error, 'command_path', 'seqvae')} --help"
    if (option := getattr(error, "option_name", "")) and hasattr(error, "possibilities"):  # no such option
        known = [name for parameter in error.ctx.command.params for name in parameter.opts]  # type: ignore[attr-defined]
        found = names.option_meant(option, known)
        return (
            error.exit_code,
            _lower(error.message),
            f"did you mean {found}? see {help_command}" if found else help_command,
        )
    return error.exit_code, _range_message(error) or _lower(error.format_message()), help_command


def _range_message(error: typer.TyperException) -> str:
    """For a number out of range: the option, its range and the number given. Empty for other errors."""
    parameter, details = getattr(error, "param", None), getattr(error.__cause__, "errors", None)
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    what = {int: "a whole number", float: "a number"}.get(annotation) if isinstance(annotation, type) else None
    if parameter is None or what is None or details is None:
        return ""
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if low is not None and high is not None:
        what += f" from {low} to {high}"
    elif low is not None or high is not None:
        what += f" of at least {low}" if high is None else f" of at most {high}"
    name = max(parameter.opts, key=len)
    return f"{name} takes {what}, not {details()[0]['input']!r}"


def _lower(message: str) -> str:
    line = " ".join(message.replace("Value error, ", "").split()).rstrip(".")
    return line[:1].lower() + line[1:]


def _system_verdict(error: OSError) -> tuple[int, str, str]:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.filename is not None:
        return MachineError.exit_code, f"{error.filename}: {reason}", ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):  # without a file name it is stdout
        _drop_stdout()
        return MachineError.exit_code, f"cannot write to standard output: {reason}", "write to a disk with free space"
    return MachineError.exit_code, reason, ""


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    kind = getattr(sys.modules.get("torch"), "OutOfMemoryError", None)  # torch is not imported for this
    if kind is not None and isinstance(error, kind):
        return True
    # What torch's allocator and oneDNN say on a CPU.
    signs = ("DefaultCPUAllocator", "could not create a primitive")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def _open_streams() -> None:
    """Makes stdout and stderr UTF-8, whatever the locale; a terminal keeps its encoding and shows the rest as escapes.

    Raises `MachineError` where stdout is closed.
    """
    if sys.stderr is None:  # `print(file=None)` would write to stdout
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdin is None:  # closed: `standard_input` says so where it is read
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        raise MachineError("standard output is closed", "send it to a file, a pipe or the null device")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _drop_stdout() -> None:
    """Points stdout at the null device, so that the interpreter's last flush does not fail as well."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):  # a stdout without a file descriptor, as in tests
        pass

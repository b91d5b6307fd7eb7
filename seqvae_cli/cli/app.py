"""The `seqvae` program: its commands, the options they share, and the place where exceptions become exit codes.

A command is a module of `cli/commands` with a module-level `app: typer.Typer` that holds one command, or several for a
group such as `runs`. It is imported when it is called or listed, so that it must import nothing slow at its top.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from seqvae_cli.cli import display
from seqvae_cli.errors import MachineError, SeqvaeError, UsageError, nearest
from seqvae_cli.version import __version__

COMMANDS = {
    name: f"seqvae_cli.cli.commands.{name}{'.group' if name == 'runs' else ''}"
    for name in (
        *("prepare", "train", "eval", "sample", "interpolate", "encode", "decode", "reconstruct", "score", "runs"),
    )
}
"""Command -> its module, in the order of the help."""

MEMORY_HINT = "lower --batch-size, --hidden-size or --max-len; in eval --samples"

ENVIRONMENT = {
    # Threads that wait sleep soon: beside a busy program on the same cores, spinning makes torch several times slower.
    "GOMP_SPINCOUNT": "2000",
    # Large tensors in huge pages.
    "THP_MEM_ALLOC_ENABLE": "1",
}
"""Read once, when torch is imported; what the user has set stays. docs/performance.md has the figures."""


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. Whatever cleans up after Ctrl-C cleans up after this, too."""


class Commands(TyperGroup):
    """The top group: imports a command's module when that command is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        holder = typer.Typer(rich_markup_mode=None, add_completion=False)
        app: typer.Typer = importlib.import_module(COMMANDS[cmd_name]).app
        single = len(app.registered_commands) == 1 and not app.registered_groups
        holder.add_typer(app, name=None if single else cmd_name)  # without a name its command joins the holder's
        group = get_command(holder)
        assert isinstance(group, TyperGroup)
        (command,) = group.commands.values()
        command.name = cmd_name
        _finish(command)
        assert isinstance(command, TyperCommand | TyperGroup)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise UsageError(f"no such command: {args[0]!r}", nearest(args[0], COMMANDS))
        return super().resolve_command(ctx, args)


def _finish(command: Any) -> None:
    """Adds the shared options to a command and all below it, and keeps the lines of indented paragraphs in its help."""
    command.params.extend(_shared_options())
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(f"\b\n{text}" if "\n  " in f"\n{text}" else text for text in paragraphs)
    for below in getattr(command, "commands", {}).values():
        _finish(below)


def _set(param: typer.CallbackParam, value: bool) -> None:
    if not value:
        return
    if param.name == "no_color":
        display.settings.color = False
    else:
        setattr(display.settings, str(param.name), True)
    if display.settings.quiet and display.settings.verbose:
        raise UsageError("--quiet and --verbose exclude each other", "give one of them")


def _help(ctx: typer.Context, value: bool) -> None:
    """Takes the place of typer's own, which loads pydantic for every command and lists its names in random order."""
    if value and not ctx.resilient_parsing:
        typer.echo(ctx.get_help())
        raise typer.Exit


def _shared(*names: str, help: str, to: Callable[..., None] = _set) -> Any:
    return typer.Option(*names, callback=to, help=help, is_eager=True, expose_value=False)


def _shared_options() -> list[Any]:
    """Options of every command, before and behind its name: they set `display.settings` and reach no function."""

    def options(
        quiet: Annotated[bool, _shared("-q", "--quiet", help="Show the answer and warnings alone.")] = False,
        verbose: Annotated[bool, _shared("-v", "--verbose", help="Show more of what is done.")] = False,
        no_color: Annotated[bool, _shared("--no-color", help="Use no colour, as with NO_COLOR=1.")] = False,
        debug: Annotated[bool, _shared("--debug", help="Show the traceback of an error.")] = False,
        help: Annotated[bool, _shared("-h", "--help", to=_help, help="Show this message.")] = False,
    ) -> None: ...

    holder = typer.Typer(rich_markup_mode=None, add_completion=False)
    holder.command()(options)
    return list(get_command(holder).params)


def _version(value: bool) -> None:
    if value:
        display.out(f"seqvae {__version__}")
        raise typer.Exit


def program() -> TyperGroup:
    """The whole command line, its commands not yet imported."""
    app = typer.Typer(
        cls=Commands,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings={"max_content_width": 100},
    )

    @app.callback()
    def seqvae(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:
        """Sentence VAEs from the command line: train, evaluate, sample, interpolate, encode.

        First steps:

            seqvae prepare toy
            seqvae train --data toy
            seqvae sample
        """

    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for parameter in group.params:
        if parameter.default is None:  # typer's completion flags: to convert None, typer would load pydantic
            parameter.default = False
    _finish(group)
    return group


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (that of the process by default) and returns its exit code.

    The one error boundary: no exception leaves it, and every message ends on stderr.
    """
    display.settings = display.Settings()
    if code := _guard(_open_streams):
        return code
    code = _guard(lambda: _run(sys.argv[1:] if arguments is None else list(arguments)))
    return _guard(sys.stdout.flush) or code


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Within, SIGINT and SIGTERM raise, so that work is cleaned up; a signal that is ignored stays so.

    Where a module is just being imported, the handler from before has its way: there is nothing to clean up, and from
    the depths of an import Python may show an exception and forget it.
    """
    before: dict[int, Any] = {}

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
        yield
    finally:
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
    command = program()
    if os.environ.get("_SEQVAE_COMPLETE"):  # set by the shell's completion script
        command.main(arguments, prog_name="seqvae")
    # Not `main` of typer: it would swallow Ctrl-C and broken pipes, and words its messages differently.
    with command.make_context("seqvae", arguments) as context:
        try:
            command.invoke(context)
        except typer.TyperException as error:
            within = getattr(error, "ctx", None) or context
            path = [within.command_path, within.invoked_subcommand if within is context else None]
            error.command_path = " ".join(filter(None, path))  # type: ignore[attr-defined]
            raise


def _guard(action: Callable[[], object]) -> int:
    """Does `action`; returns 0, or the exit code of what it raised, which is then explained on stderr."""
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
        # Whoever read the answer has enough of it, which is no failure: under pipefail `sample | head -1` succeeds.
        _drop_stdout()
        return 0
    if type(error).__name__ == "NoArgsIsHelpError":  # which typer does not export
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
    """Exit code, message and hint."""
    match error:
        case SeqvaeError():
            return error.exit_code, error.message, error.hint
        case typer.TyperException():
            return _wrong_usage(error)
        case Terminated():
            return 128 + signal.SIGTERM, "stopped by SIGTERM", ""
        case KeyboardInterrupt() | typer.Abort():
            return 128 + signal.SIGINT, "interrupted", ""
        case OSError():
            return _refused(error)
        case ImportError() if "failed to map segment" in str(error):  # what the loader of the C library says
            return 5, str(error), "there is too little memory to load it, or its disk forbids to run programs"
    if _out_of_memory(error):
        return 5, f"out of memory: {error}" if str(error) else "out of memory", MEMORY_HINT
    message = f"this is a bug in seqvae: {type(error).__name__}: {error}"
    return 1, message, "--debug shows the traceback; please report it"


def _wrong_usage(error: typer.TyperException) -> tuple[int, str, str]:
    """typer's refusal of a command line in our words: one line with the value at fault, one that says what to do."""
    help_command = f"{getattr(error, 'command_path', 'seqvae')} --help"
    if possible := getattr(error, "possibilities", None):
        return error.exit_code, _lower(error.message), f"did you mean {possible[0]}? see {help_command}"
    return error.exit_code, _range_message(error) or _lower(error.format_message()), help_command


def _range_message(error: typer.TyperException) -> str:
    """For a refused number the option, what it takes and what was given; nothing for other errors."""
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


def _refused(error: OSError) -> tuple[int, str, str]:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.filename is not None:
        return MachineError.exit_code, f"{error.filename}: {reason}", ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):  # files have names: this is the answer
        _drop_stdout()
        return MachineError.exit_code, f"cannot write to standard output: {reason}", "write to a disk with free space"
    return MachineError.exit_code, reason, ""


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    kind = getattr(sys.modules.get("torch"), "OutOfMemoryError", None)  # torch is never imported for this
    if kind is not None and isinstance(error, kind):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def _open_streams() -> None:
    """Makes both streams able to take any text. Raises `MachineError` where there is no stdout for the answer."""
    if sys.stderr is None:  # then `print` would put what is meant for stderr on stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdin is None:  # closed: it has nothing to say
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        raise MachineError("standard output is closed", "send it to a file, a pipe or the null device")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_stdout() -> None:
    """Points stdout at nothing, so that the interpreter's last flush does not complain as well."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):  # a stdout without a file, as in tests
        pass

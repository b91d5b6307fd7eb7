"""What can come next on a command line: the answers to the shell scripts of `shells`.

A script calls `_SEQVAE_COMPLETE=SHELL seqvae WORD...` with the words up to the cursor, the last one unfinished. The
answer is a line for each completion, for zsh and fish with a tab and its help; `FILES` in a line of its own asks the
shell for files as well, and no line at all for files alone. Nothing slow is imported, and an error is an empty answer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from seqvae_cli.cli import app
from seqvae_cli.cli.settings import COMPLETIONS, SettingsCommand
from seqvae_cli.cli.shells import FILES, SHELLS

MOST_HELP = 60
"""Characters of help beside a completion."""


def answer(shell: str, words: Sequence[str]) -> int:
    """Prints the completions of the last word; returns the exit code, which is 0 whatever happens."""
    if shell not in SHELLS:
        return 0
    with suppress(Exception, SystemExit, KeyboardInterrupt):  # nothing may be written into the prompt
        joined, cut = _joined(words) if shell == "bash" else (list(words), 0)
        found, with_files = completions(joined)
        lines = [value[cut:] if shell == "bash" else f"{value}\t{text}" for value, text in found.items()]
        sys.stdout.write("".join(f"{line}\n" for line in [*lines, *([FILES] if with_files and lines else [])]))
        sys.stdout.flush()
    return 0


def _joined(words: Sequence[str]) -> tuple[list[str], int]:
    """The words as other shells split them, and how much of the last one bash keeps when it completes.

    bash makes words of their own of `=` and `:`, and leaves an opening quote in its place.
    """
    found: list[str] = []
    glued = False
    for word in words:
        breaks = bool(word) and set(word) <= {"=", ":"}
        if found and (breaks or glued):
            found[-1] += word
        else:
            found.append(word)
        glued = breaks
    last = words[-1] if words else ""
    if found and last[:1] in ("'", '"'):
        found[-1], last = found[-1][: -len(last)] + last[1:], last[1:]
    return found, len(found[-1]) - (0 if glued else len(last)) if found else 0


@dataclass(frozen=True)
class Option:
    """An option of a command, or a setting that is one."""

    names: tuple[str, ...]
    help: str
    parameter: Any = None
    """typer's; None for a setting."""
    key: str = ""
    choices: tuple[str, ...] = ()
    flag: bool = False
    repeatable: bool = False


def completions(words: Sequence[str]) -> tuple[dict[str, str], bool]:
    """Completion -> help of the last of the words, in the order of the help; and whether files are among them."""
    *before, last = words or [""]
    command: Any = app.program()
    pending: Option | None = None
    arguments, options_over = 0, False
    for word in before:
        if pending is not None:
            pending = None
        elif options_over or not word.startswith("-") or word == "-":
            if hasattr(command, "list_commands"):
                command = command.get_command(None, word)
                if command is None:
                    return {}, False
            else:
                arguments += 1
        elif word == "--":
            options_over = True
        else:
            pending = _with_value(command, word)
    if pending is not None:
        return _matching(*_values(command, pending, last), last)
    if last.startswith("-") and not options_over:
        name, equals, value = last.partition("=")
        if equals:
            named = _with_value(command, name)
            found, with_files = _matching(*_values(command, named, value), value) if named else ({}, False)
            return {f"{name}={value}": text for value, text in found.items()}, with_files
        free = [option for option in options(command) if option.repeatable or not set(option.names) & set(before)]
        names = {name: option.help for option in free for name in option.names if name.startswith("--")}
        return _matching(names, False, last)
    if hasattr(command, "list_commands"):
        return _matching(_commands(command), False, last)
    return _matching(*_argument_values(command, arguments, last), last)


def _matching(values: dict[str, str], with_files: bool, start: str) -> tuple[dict[str, str], bool]:
    """Those that begin so; none that a shell could not show, such as a label with an escape code."""
    matching = {value: _short(text) for value, text in values.items() if value.startswith(start)}
    return {value: text for value, text in matching.items() if value.isprintable()}, with_files


def _commands(group: Any) -> dict[str, str]:
    if isinstance(group, app.Commands):
        return {name: listed.summary for name, listed in app.COMMANDS.items()}
    return {name: command.help or "" for name, command in group.commands.items()}


def options(command: Any) -> Iterator[Option]:
    """The options of a command, those that are settings first."""
    if isinstance(command, SettingsCommand):
        from seqvae_cli.config import outline

        for setting in outline.settings():
            yield Option(
                setting.flags, setting.description, key=setting.key, choices=setting.choices, flag=setting.is_switch
            )
    for parameter in command.params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            names = (*parameter.opts, *parameter.secondary_opts)
            flag, repeatable = parameter.is_flag, parameter.multiple
            yield Option(names, parameter.help or "", parameter, flag=flag, repeatable=repeatable)


def _with_value(command: Any, word: str) -> Option | None:
    """The option of this name, if a value follows it."""
    name = word.replace("_", "-")
    return next((option for option in options(command) if name in option.names and not option.flag), None)


def _values(command: Any, option: Option, start: str) -> tuple[dict[str, str], bool]:
    if option.parameter is not None:
        return _parameter_values(command, option.parameter, start)
    complete = COMPLETIONS.get(option.key)
    return dict.fromkeys(complete(start) if complete else option.choices, ""), False


def _argument_values(command: Any, given: int, start: str) -> tuple[dict[str, str], bool]:
    """Values of the argument that comes after so many."""
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            if given == 0 or parameter.nargs == -1:
                return _parameter_values(command, parameter, start)
            given -= 1
    return {}, False


def _parameter_values(command: Any, parameter: Any, start: str) -> tuple[dict[str, str], bool]:
    import typer

    items = parameter.shell_complete(typer.Context(command, resilient_parsing=True), start)
    metavar = parameter.metavar or ""
    found = {item.value: item.help or "" for item in items if item.type == "plain"}
    return found, any(word in metavar for word in ("FILE", "DIR"))


def _short(text: str) -> str:
    """The first sentence of a help, or its beginning, in one line."""
    first = " ".join(text.partition("\n\n")[0].split()).partition(" [")[0].partition(". ")[0].rstrip(".")
    return first if len(first) <= MOST_HELP else first[: MOST_HELP - 1].rsplit(" ", 1)[0] + "…"

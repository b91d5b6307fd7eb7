"""The command tree of `seqvae`: its commands, the options that all of them share, and their help.

A command is a module of `cli/commands` with a module-level `app: typer.Typer` that holds one command, or several for a
group such as `runs`, and a line in `GROUPS`. It is imported when it is called, so that it must import nothing slow at
its top.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache, partial
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from seqvae_cli.cli import display, headings, names, shells
from seqvae_cli.errors import UsageError
from seqvae_cli.system.processes import check_alone
from seqvae_cli.version import __version__

GROUPS = {
    "Data and training": {
        "prepare": "Turn text into a corpus of token ids.",
        "train": "Train a sentence VAE on a prepared corpus.",
        "prior": "Fit the prior of a run to its codes, for better samples.",
        "sweep": "Train runs with settings drawn from ranges; find the best.",
        "eval": "Measure -ELBO, perplexity, mutual information, reconstruction.",
        "corpora": "List the prepared corpora.",
        "presets": "List the presets of settings, or print one.",
    },
    "Sentences": {
        "sample": "Sample sentences from the prior.",
        "reconstruct": "Encode sentences and decode them again.",
        "score": "Bound -log p(x) of each sentence; outliers score high.",
    },
    "The latent space": {
        "interpolate": "Decode a path between two sentences or two random codes.",
        "traverse": "Show what each latent dimension does to a sentence.",
        "arithmetic": "Add the offset between sentences or files to other sentences.",
        "neighbours": "Find the nearest sentences of a corpus or of files.",
        "map": "Draw the latent space, or write its coordinates.",
        "encode": "Turn sentences into codes: posterior means and scales.",
        "decode": "Turn codes into sentences.",
        "play": "Open the playground: a run's latent space in the browser.",
        "serve": "Answer over HTTP: encode, decode, sample, score as JSON.",
    },
    "Runs and machine": {
        "export": "Write a model as ONNX, safetensors or torch.export.",
        "runs": "List, show, compare, watch, tag, plot, move and check runs.",
        "doctor": "Show versions, devices, speed and home: for a report.",
    },
}
"""Heading -> command -> its line in `seqvae --help`, all in the order of the help."""


class Listed(NamedTuple):
    """A command before its module is imported."""

    heading: str
    summary: str
    module: str


COMMANDS = {
    name: Listed(heading, summary, f"seqvae_cli.cli.commands.{name}{'.group' if name == 'runs' else ''}")
    for heading, summaries in GROUPS.items()
    for name, summary in summaries.items()
}
"""Every command by its name."""

TOGETHER = {"train", "eval", "encode", "score", "reconstruct"}
"""Commands that several processes run together, as `torchrun` starts them."""


class Commands(TyperGroup):
    """The top group: imports a command's module when that command is called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        return _command(cmd_name, importlib.import_module(COMMANDS[cmd_name].module).app)


@cache
def _command(name: str, app: typer.Typer) -> TyperCommand | TyperGroup:
    """The command of a module, made once a process."""
    holder = typer.Typer(rich_markup_mode=None, add_completion=False)
    single = len(app.registered_commands) == 1 and not app.registered_groups
    holder.add_typer(app, name=None if single else name)  # without a name its command joins the holder's
    group = get_command(holder)
    assert isinstance(group, TyperGroup)
    (command,) = group.commands.values()
    command.name = name
    _finish(command)
    assert isinstance(command, TyperCommand | TyperGroup)
    return command


def _resolve(group: Any, resolve: Callable[..., Any], context: Any, arguments: list[str]) -> Any:
    """Takes the place of typer's `resolve_command`: the error for an unknown command names the one that was meant."""
    name, known = arguments[0], group.list_commands(context)
    if isinstance(group, Commands) and name in known and name not in TOGETHER and not context.resilient_parsing:
        check_alone(f"seqvae {name}")
    if name not in known and not context.resilient_parsing:
        above = "" if isinstance(group, Commands) else str(group.name)
        raise UsageError(f"no such command: {f'{above} {name}'.strip()!r}", names.command_hint(name, above, known))
    return resolve(context, arguments)


def _finish(command: Any) -> None:
    """Gives a command and all below it the shared options and a help with headings that keeps indented lines."""
    command.params.extend(_shared_options())
    command.format_options = partial(_format_options, command)
    if isinstance(command, TyperGroup):
        command.resolve_command = partial(_resolve, command, command.resolve_command)  # type: ignore[method-assign]
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(f"\b\n{text}" if "\n  " in f"\n{text}" else text for text in paragraphs)
    for below in getattr(command, "commands", {}).values():
        _finish(below)


def _format_options(command: Any, context: Any, formatter: Any) -> None:
    """Takes the place of typer's `format_options`: the commands of a group come first."""
    if isinstance(command, Commands):
        sections: dict[str, headings.Rows] = {}
        for name, listed in COMMANDS.items():  # not one of their modules is imported for this
            sections.setdefault(listed.heading, []).append((name, listed.summary))
        headings.write(formatter, sections)
    elif isinstance(command, TyperGroup):
        headings.write(formatter, headings.commands(command, context))
    headings.write(formatter, headings.options(command, context))


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
    """Replaces typer's `--help`, which loads pydantic for every command and lists its names in random order."""
    if value and not ctx.resilient_parsing:
        typer.echo(ctx.get_help())
        raise typer.Exit


def _shared(*names: str, help: str, to: Callable[..., None] = _set) -> Any:
    panel = headings.OUTPUT
    return typer.Option(*names, callback=to, help=help, is_eager=True, expose_value=False, rich_help_panel=panel)


def _shared_options() -> list[Any]:
    """Options of every command, before and after its name: they set `display.settings`; no command is passed them."""

    def options(
        quiet: Annotated[bool, _shared("-q", "--quiet", help="Show only the answer and warnings.")] = False,
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


def _install_completion(value: bool) -> None:
    if value:
        path, advice = shells.install()
        display.out(str(path))
        if advice:
            display.say(f"add this line, unless it is there: {advice}")
        display.say("a new shell completes seqvae")
        raise typer.Exit


def _show_completion(value: bool) -> None:
    if value:
        for line in shells.SHELLS[shells.shell_at_hand()].script.splitlines():
            display.out(line)
        raise typer.Exit


@cache
def program() -> TyperGroup:
    """The whole command line, its commands not yet imported; made once a process."""
    app = typer.Typer(
        cls=Commands,
        rich_markup_mode=None,
        add_completion=False,
        no_args_is_help=True,
        context_settings={"max_content_width": 100},
    )

    @app.callback()
    def seqvae(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
        ] = False,
        install_completion: Annotated[
            bool,
            typer.Option(
                "--install-completion",
                callback=_install_completion,
                is_eager=True,
                help="Write the completion of this shell (bash, zsh, fish) to its place.",
            ),
        ] = False,
        show_completion: Annotated[
            bool,
            typer.Option(
                "--show-completion", callback=_show_completion, is_eager=True, help="Print it instead of writing it."
            ),
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
    _finish(group)
    return group

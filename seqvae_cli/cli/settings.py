"""Settings as flags: `train` gets one flag for every setting of the schema, with its unit, range and default."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from seqvae_cli.cli.options import complete_corpus, complete_device

KEY = "seqvae.settings"
"""Key of typer's context under which the given settings are collected."""
COMPLETIONS = {"data": complete_corpus, "runtime.device": complete_device}


class SettingsCommand(TyperCommand):
    """A command that adds its flags from the schema when they are needed: the schema is slow to import."""

    completed = False

    def complete(self) -> None:
        if not self.completed:
            self.params[:0] = _options()  # the corpus comes first in the help
            self.completed = True

    def get_params(self, ctx: Any) -> list[Any]:
        self.complete()
        return super().get_params(ctx)

    def make_parser(self, ctx: Any) -> Any:
        self.complete()
        return super().make_parser(ctx)


def given(context: typer.Context) -> dict[str, Any]:
    """The settings that the command line gave, by dotted key."""
    values: dict[str, Any] = context.meta.get(KEY, {})
    return values


def _options() -> list[Any]:
    from seqvae_cli.config import options

    def collect(key: str) -> Any:
        def callback(context: typer.Context, value: Any) -> None:
            if value is not None:
                context.meta.setdefault(KEY, {})[key] = value

        return callback

    params = []
    for flag in options.flags():
        option = typer.Option(
            *flag.names,
            help=flag.help,
            callback=collect(flag.key),
            expose_value=False,
            metavar=None if flag.kind == "BOOLEAN" else flag.kind,
            show_default=False,
            rich_help_panel=flag.heading,
        )
        kind: Any = bool | None if flag.kind == "BOOLEAN" else str | None

        def command(value: Any = None) -> None: ...

        command.__annotations__ = {"value": Annotated[kind, option]}
        holder = typer.Typer(rich_markup_mode=None, add_completion=False)
        holder.command()(command)
        (param,) = get_command(holder).params
        param.name = f"setting:{flag.key}"
        params.append(param)
    return params

"""What the commands that read a model share: the run that is meant, on the device that is meant."""

from __future__ import annotations

from typing import Annotated

import typer

RUN_HELP = "A run's name, a unique prefix of it, latest or best."


def complete_run(incomplete: str) -> list[str]:
    """For the shell: names of runs."""
    from seqvae_cli.runs import registry

    return [name for name in [*registry.names(), *registry.ALIASES] if name.startswith(incomplete)]


RunArgument = Annotated[
    str | None,
    typer.Argument(metavar="[RUN]", help=f"{RUN_HELP} [default: latest]", autocompletion=complete_run),
]
RunOption = Annotated[
    str | None,
    typer.Option("--run", "-r", metavar="RUN", help=f"{RUN_HELP} [default: latest]", autocompletion=complete_run),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", show_default=True)]
Threads = Annotated[int, typer.Option(min=0, max=4096, help="CPU threads; 0: one a core.", show_default=True)]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of all noise.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]

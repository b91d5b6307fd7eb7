"""What the commands that read a model share: the run that is meant, on the device that is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from seqvae_cli.cli import display
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from seqvae_cli.data.tokenizer import Tokenizer
    from seqvae_cli.runs.loading import Bundle

RUN_HELP = "A run's name, a unique prefix of it, latest or best."


def complete_run(incomplete: str) -> list[str]:
    """For the shell: names of runs."""
    from seqvae_cli.runs import registry

    return [name for name in [*registry.names(), *registry.MEANT] if name.startswith(incomplete)]


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


def open_device(name: str) -> torch.device:
    """The device of that name. Raises `UsageError` for what names none, `MachineError` for one that is not here."""
    from seqvae_cli.config import layers
    from seqvae_cli.system import runtime

    try:
        layers.resolve(overrides={"runtime.device": name})
    except UsageError as error:
        raise UsageError(error.message, f"devices: {', '.join(runtime.devices())}") from error
    return runtime.resolve_device(name)


def open_bundle(argument: str | None, option: str | None, device: str, threads: int) -> Bundle:
    """The model of the run given as argument or option, ready on its device."""
    if argument and option and argument != option:
        raise UsageError(f"two runs are named: {argument!r} and {option!r}", "name one")
    from seqvae_cli.runs import loading
    from seqvae_cli.system import runtime

    given = next((name for name in (argument, option) if name is not None), "latest")
    chosen = open_device(device)
    runtime.set_threads(threads)
    bundle = loading.load(given, chosen)
    display.detail(f"run {bundle.run.name}, weights of step {bundle.step}, on {chosen}")
    return bundle


def start_ids(tokenizer: Tokenizer, start: str) -> list[int]:
    """The start words as ids; a start word that the model does not know is wrong usage."""
    if unknown := tokenizer.unknown(start):
        raise UsageError(
            f"--start {unknown[0]!r}: the model does not know this word", "start with a word of its corpus"
        )
    return tokenizer.encode(start)


def known_ids(tokenizer: Tokenizer, texts: list[str]) -> list[NDArray[np.int64]]:
    """Ids of each text, and one warning that names the words that became `<unk>`."""
    import numpy as np

    warn_unknown({word for text in texts for word in tokenizer.unknown(text)})
    return [np.array(tokenizer.encode(text), dtype=np.int64) for text in texts]


def warn_unknown(words: set[str]) -> None:
    if words:
        shown = ", ".join(sorted(words)[:10]) + (f" and {len(words) - 10} more" if len(words) > 10 else "")
        display.warn(f"unknown words, read as <unk>: {shown}")

"""Options and arguments that several commands take, each declared once, and what they open: a device, a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.headings import DECODING, OUTPUT, RUNTIME
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from seqvae_cli.data.tokenizer import Tokenizer
    from seqvae_cli.runs.loading import Bundle

RUN = "A run's name, a unique prefix of it, latest or best."


def complete_run(incomplete: str) -> list[str]:
    """For the shell: names of runs, and the aliases."""
    from seqvae_cli.runs import registry

    return [name for name in [*registry.names(), *registry.ALIASES] if name.startswith(incomplete)]


def complete_run_name(incomplete: str) -> list[str]:
    """For the shell: names of runs alone, neither `latest` nor `best`."""
    from seqvae_cli.runs import registry

    return [name for name in registry.names() if name.startswith(incomplete)]


def complete_corpus(incomplete: str) -> list[str]:
    """For the shell: names of prepared corpora."""
    from seqvae_cli.data import corpus

    return [name for name in corpus.known_names() if name.startswith(incomplete)]


def complete_preset(incomplete: str) -> list[str]:
    """For the shell: names of presets."""
    from seqvae_cli.config import presets

    return [name for name in presets.names() if name.startswith(incomplete)]


def run_argument(more: str = "") -> Any:
    """An argument that names one run or several; its help ends with `more`, such as the default."""
    return typer.Argument(metavar="RUN", help=f"{RUN} {more}".strip(), autocompletion=complete_run)


# The run and the text.

RunArgument = Annotated[str | None, run_argument("[default: latest]")]
RequiredRun = Annotated[str, run_argument()]
RunOption = Annotated[
    str | None,
    typer.Option("--run", "-r", metavar="RUN", help=f"{RUN} [default: latest]", autocompletion=complete_run),
]
Text = Annotated[list[str], typer.Argument(metavar="TEXT|FILE|-", help="Sentences, a file of them, or stdin.")]
Encoding = Annotated[str, typer.Option(help="Encoding of the text.", show_default=True)]
Start = Annotated[str, typer.Option(help="Words that every sentence begins with.")]

# How words are chosen.

Greedy = Annotated[bool, typer.Option("--greedy", help="Always choose the most likely word.", rich_help_panel=DECODING)]
Beam = Annotated[
    int | None,
    typer.Option(
        min=1, max=1000, help="Search the most likely sentence with so many hypotheses.", rich_help_panel=DECODING
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        max=1000,
        help="Below 1: more likely words, above 1: bolder ones [default: 1].",
        rich_help_panel=DECODING,
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(min=0, max=10**9, help="Only the k most likely words; 0: all [default: 0].", rich_help_panel=DECODING),
]
TopP = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        max=1,
        help="Only the most likely words whose probabilities add up to p [default: 1].",
        rich_help_panel=DECODING,
    ),
]
NoUnk = Annotated[bool, typer.Option("--no-unk", help="Never choose <unk>.", rich_help_panel=DECODING)]
MaxLen = Annotated[
    int,
    typer.Option(
        min=1, max=10_000, help="Words after which a sentence is cut.", show_default=True, rich_help_panel=DECODING
    ),
]

# The machine and the answer.

BatchSize = Annotated[
    int,
    typer.Option(min=1, max=1_000_000, help="Sentences at once.", show_default=True, rich_help_panel=RUNTIME),
]
Seed = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="Seed of all noise.", show_default=True, rich_help_panel=RUNTIME)
]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", show_default=True, rich_help_panel=RUNTIME)
]
Threads = Annotated[
    int,
    typer.Option(min=0, max=4096, help="CPU threads; 0: one a core.", show_default=True, rich_help_panel=RUNTIME),
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.", rich_help_panel=OUTPUT)]


def open_device(name: str) -> torch.device:
    """The device of that name. Raises `UsageError` for an unknown name, `MachineError` for a missing device."""
    from seqvae_cli.config import layers
    from seqvae_cli.system import runtime

    try:
        layers.resolve(overrides={"runtime.device": name})
    except UsageError as error:
        raise UsageError(error.message, f"devices: {', '.join(runtime.devices())}") from error
    return runtime.resolve_device(name)


def open_bundle(argument: str | None, option: str | None, device: str, threads: int) -> Bundle:
    """The model of the run given as argument or option, on its device."""
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
    """The start words as ids. Raises `UsageError` for a word that is not in the vocabulary."""
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

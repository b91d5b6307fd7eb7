"""Options and arguments that several commands take, each declared once, and what they open: a device, a run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from seqvae_cli.cli.headings import DECODING, OUTPUT, RUNTIME, TABLES
from seqvae_cli.errors import SeqvaeError

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
    """For the shell: names of prepared corpora, NAME and NAME-ID, without numpy, which `data.corpus` loads."""
    from seqvae_cli.system import places

    folders = sorted(path.parent.name for path in places.corpora().glob("[a-z0-9]*-????????????/corpus.json"))
    return [name for name in [*sorted({name[:-13] for name in folders}), *folders] if name.startswith(incomplete)]


def complete_source(incomplete: str) -> list[str]:
    """For the shell: names of runs and of prepared corpora."""
    return [*complete_run_name(incomplete), *complete_corpus(incomplete)]


def complete_device(incomplete: str) -> list[str]:
    """For the shell: the devices, as far as they are known without PyTorch."""
    gpus = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    here = ["mps"] if sys.platform == "darwin" else ["cuda", *(f"cuda:{i}" for i in range(gpus))]
    return [name for name in ["auto", "cpu", *here] if name.startswith(incomplete)]


def complete_log(incomplete: str) -> list[str]:
    """For the shell: names of loggers."""
    from seqvae_cli.logs import loggers

    return [name for name in loggers.LOGGERS if name.startswith(incomplete)]


def one_of(*names: str) -> Callable[[str], list[str]]:
    """For the shell: those of these names that begin so."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


complete_split = one_of("train", "valid", "test")


def complete_color(incomplete: str) -> list[str]:
    """For the shell: length, and the labels and factors of the prepared corpora."""
    from seqvae_cli.system import json_files, places

    found: dict[str, None] = {}
    for path in sorted(places.corpora().glob("[a-z0-9]*-????????????/corpus.json")):
        with suppress(SeqvaeError, AttributeError, TypeError):  # a damaged corpus has none
            info = json_files.read(path)
            found |= dict.fromkeys(map(str, [*info.get("labels", ()), *info.get("toy", {}).get("factors", ())]))
    return [name for name in ["length", *found] if name.startswith(incomplete)]


def complete_tag(incomplete: str) -> list[str]:
    """For the shell: the tags of all runs."""
    from seqvae_cli.runs import registry, run
    from seqvae_cli.system import places

    found: set[str] = set()
    for name in registry.names():
        with suppress(SeqvaeError):
            found.update(run.read_tags(places.runs() / name))
    return [tag for tag in sorted(found) if tag.startswith(incomplete)]


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
NewName = Annotated[str | None, typer.Option("--name", help="Its name here [default: the one it had].")]
RunOption = Annotated[
    str | None,
    typer.Option("--run", "-r", metavar="RUN", help=f"{RUN} [default: latest]", autocompletion=complete_run),
]
Text = Annotated[
    list[str], typer.Argument(metavar="TEXT|FILE|-", help="Sentences, files or folders of them, or stdin.")
]
Encoding = Annotated[str, typer.Option(help="Encoding of the text.", show_default=True, rich_help_panel=TABLES)]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="Of the files: txt, csv, tsv, jsonl or parquet [default: by the endings of their names].",
        autocompletion=one_of("txt", "csv", "tsv", "jsonl", "parquet"),
        rich_help_panel=TABLES,
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text",
        metavar="COLUMN",
        help="Tables: the column of the sentences [default: the one that is text].",
        rich_help_panel=TABLES,
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="COLUMN", help="Tables: a column of labels; repeatable.", rich_help_panel=TABLES),
]
Ids = Annotated[
    str | None,
    typer.Option("--id", metavar="COLUMN", help="Tables: the column of the ids.", rich_help_panel=TABLES),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Only every N-th sentence from the I-th on: N processes share an input.",
        rich_help_panel=TABLES,
    ),
]
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
Unk = Annotated[
    bool | None,
    typer.Option(
        "--unk/--no-unk",
        help="Whether <unk> may be chosen [default: no, where training read rare words as it].",
        show_default=False,
        rich_help_panel=DECODING,
    ),
]
MaxLen = Annotated[
    int,
    typer.Option(
        min=1, max=10_000, help="Tokens after which a sentence is cut.", show_default=True, rich_help_panel=DECODING
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
    str,
    typer.Option(
        help="auto, cpu, cuda, cuda:N or mps.",
        show_default=True,
        autocompletion=complete_device,
        rich_help_panel=RUNTIME,
    ),
]
Threads = Annotated[
    int,
    typer.Option(min=0, max=4096, help="CPU threads; 0: one a core.", show_default=True, rich_help_panel=RUNTIME),
]
Port = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=65535,
        help="Port of the server [default: 8421, or the next free one].",
        rich_help_panel=RUNTIME,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.", rich_help_panel=OUTPUT)]

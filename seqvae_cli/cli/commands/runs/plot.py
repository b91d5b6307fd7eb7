"""`seqvae runs plot`: the learning curves of one or several runs, or the latent space of one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli.cli import display, map_sentences, output_file
from seqvae_cli.cli.commands.runs import latent_map
from seqvae_cli.cli.headings import LATENT, TABLES
from seqvae_cli.cli.options import Encoding, Format, Json, Labels, complete_color, complete_split, one_of, run_argument
from seqvae_cli.errors import DataError, MachineError, NotFoundError, UsageError, nearest

if TYPE_CHECKING:
    from seqvae_cli.plotting.curves import History, Lines, Phase, Runs
    from seqvae_cli.runs.run import Run

DIMENSIONS = "the KL of each dimension in figures: seqvae eval --diagnose"


def plot(
    run: Annotated[list[str] | None, run_argument("8 at most [default: latest]")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help=".png, .svg or .pdf; -: PNG to stdout "
            "[default: RUN.png here, runs.png for several, RUN-latent.png with --latent].",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="PANEL",
            help="One panel: kl, reconstruction, kl-reconstruction or elbo [default: all four].",
            autocompletion=one_of("kl", "reconstruction", "kl-reconstruction", "elbo"),
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Draw in the terminal, with plain characters.")] = False,
    latent: Annotated[
        bool,
        typer.Option(
            "--latent",
            help="Draw the latent space of one run: KL of each dimension, posterior means.",
            rich_help_panel=LATENT,
        ),
    ] = False,
    split: Annotated[
        str | None,
        typer.Option(
            help="Whose means: train, valid or test [default: valid, or train where that has under 300 sentences].",
            autocompletion=complete_split,
            rich_help_panel=LATENT,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Means of the sentences of a file, a folder, or stdin (-) instead of a split; repeatable.",
            rich_help_panel=LATENT,
        ),
    ] = None,
    color: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Colour the means by length (tokens), or by a label: of the corpus, with --data a column "
            "[default: the label, if there is one alone, else length].",
            autocompletion=complete_color,
            rich_help_panel=LATENT,
        ),
    ] = None,
    components: Annotated[
        str | None,
        typer.Option(
            metavar="I,J",
            help="The principal components of the axes, such as 3,4 [default: 1,2].",
            rich_help_panel=LATENT,
        ),
    ] = None,
    form: Format = None,
    text_column: Annotated[
        str | None,
        typer.Option(
            "--text-column",
            metavar="COLUMN",
            help="Tables: the column of the sentences, which is --text of other commands [default: the one that is "
            "text].",
            rich_help_panel=TABLES,
        ),
    ] = None,
    label: Labels = None,
    encoding: Encoding = "utf-8",
    json: Json = False,
) -> None:
    """Plot the training and validation curves of runs: KL, reconstruction, one against the other, -ELBO.

    Each point is an epoch, in nats a sentence; a star marks the best. Bars above a panel show the phases of a run, a
    line the entropy of the corpus where it is known (toy). An existing file is replaced. Pictures need matplotlib
    (pip install "seqvae[plot]"); --text needs nothing.

    With --latent: the KL of each latent dimension over the epochs, and the posterior means of sentences on two of
    their principal components, at most 5,000: evenly spread over a split, or a random sample of the files of --data,
    which is always the same. The labels are those of prepare; toy has hidden factors. Files are read as encode does.

    Examples:

        seqvae runs plot
        seqvae runs plot toy-default-1 toy-default-2 -o compare.svg
        seqvae runs plot best --only kl -o - > kl.png
        seqvae runs plot --text
        seqvae runs plot toy-default-1 --latent --color topic
        seqvae runs plot --latent --data reviews.csv --label sentiment
        seqvae runs plot --latent --components 3,4
    """
    from seqvae_cli.plotting import curves, pictures

    if only is not None and only not in curves.PANELS:
        raise UsageError(f"no panel {only!r}", nearest(only, curves.PANELS))
    panels = list(curves.PANELS) if only is None else [only]
    if text and (output is not None or json):
        raise UsageError(f"--text does not go with {'--output' if output is not None else '--json'}", "leave one out")
    if output is not None:
        output_file.check(output, json)
    tables = map_sentences.Tables(form, text_column, label, encoding)
    options: dict[str, Any] = {"split": split, "data": data, "color": color, "components": components}
    if latent:
        if only is not None or text:
            hint = "leave one out" if not text else "the column of a table: --text-column" if data else DIMENSIONS
            raise UsageError(f"{'--text' if text else '--only'} does not go with --latent", hint)
        latent_map.draw(run or [], output, json, **options, tables=tables)
        return
    named = {f"--{name}": value for name, value in options.items()} | tables.given()
    map_sentences.refuse(named, "goes with --latent alone", "add --latent")
    runs = _metrics(run or ["latest"], pictures.MAX_RUNS)
    if text:
        from seqvae_cli.plotting.text import draw_text

        size = shutil.get_terminal_size()
        for line in draw_text(runs, panels, width=size.columns, height=size.lines - 1):
            display.out(line)
        return
    stem = next(iter(runs)) if len(runs) == 1 else "runs"
    output = output_file.choose(output, stem if only is None else f"{stem}-{only}", json)
    output_file.write(
        output, lambda kind: pictures.picture(runs, panels, kind), {"runs": list(runs), "panels": panels}, json
    )


def _metrics(names: list[str], max_runs: int) -> Runs:
    """The metrics of the named runs, each once, in the order of the command line."""
    from seqvae_cli.runs import registry

    found = {run.name: run for run in map(registry.find, names)}
    if len(found) > max_runs:
        raise UsageError(f"{len(found)} runs are too many for one picture", f"name {max_runs} at most")
    if len({run.info["corpus"]["hash"] for run in found.values()}) > 1:
        display.warn("these runs were trained on different corpora: their curves are not comparable")
    return {name: _history(run) for name, run in found.items()}


def _history(run: Run) -> History:
    """What is drawn of a run; without phases or entropy where its settings or its corpus cannot be read.

    Raises `NotFoundError` before its first epoch has ended.
    """
    from seqvae_cli.data import corpus
    from seqvae_cli.plotting.curves import History

    lines = run.metrics()
    if not lines:
        raise NotFoundError(f"run {run.name} has no finished epoch yet", _advice(run))
    phases: tuple[Phase, ...] = ()
    with suppress(DataError, MachineError):
        phases = tuple(_phases(run, lines))
    entropy = None
    with suppress(NotFoundError, DataError, MachineError):
        entropy = corpus.find(run.info["corpus"]["folder"]).entropy
    return History(lines, run.info.get("best_epoch"), phases, str(run.info["corpus"]["name"]), entropy)


def _phases(run: Run, lines: Lines) -> Iterator[Phase]:
    from seqvae_cli.plotting.curves import Phase, number
    from seqvae_cli.runs import loading
    from seqvae_cli.training import aggressive, schedule

    settings, _ = loading.load_settings_and_tokenizer(run)
    epochs = run.info.get("schedule_epochs") or run.info.get("epochs") or settings.train.epochs
    found = schedule.phases(settings, epochs)
    if run.info.get("stretched_from") and not run.info.get("schedule_epochs"):
        # Rises that are shares of the training were others before the number of epochs changed.
        found = [phase for phase in found if phase in schedule.phases(settings, epochs + 1)]
    yield from (Phase(*phase) for phase in found)
    if settings.train.aggressive:
        start = next((end for name, _, end in found if name == "pretraining"), 0.0)
        after = [line for line in lines if number(line.get("epoch")) > start]
        lasted = aggressive.epochs([number(line.get("mutual_information")) for line in after])
        yield from (Phase("aggressive", start, number(line["epoch"])) for line in after[lasted - 1 : lasted])


def _advice(run: Run) -> str:
    if run.status in ("running", "created"):
        return "wait for its first epoch, or name another: seqvae runs list"
    return f"resume it: seqvae train --resume {run.name}; or name another: seqvae runs list"

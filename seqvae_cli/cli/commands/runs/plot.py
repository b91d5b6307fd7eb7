"""`seqvae runs plot`: the learning curves of one or several runs, or the latent space of one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.models import open_model
from seqvae_cli.cli.options import Json, run_argument
from seqvae_cli.errors import DataError, MachineError, NotFoundError, UsageError, nearest

if TYPE_CHECKING:
    from seqvae_cli.plotting.curves import History, Lines, Phase, Runs
    from seqvae_cli.runs.run import Run


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
            metavar="PANEL", help="One panel: kl, reconstruction, kl-reconstruction or elbo [default: all four]."
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Draw in the terminal, with plain characters.")] = False,
    latent: Annotated[
        bool, typer.Option("--latent", help="Draw the latent space of one run: KL of each dimension, posterior means.")
    ] = False,
    color: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --latent: colour the means by length (tokens) or by a label of the corpus [default: length].",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="With --latent: whose means, train, valid or test [default: valid].")
    ] = None,
    json: Json = False,
) -> None:
    """Plot the training and validation curves of runs: KL, reconstruction, one against the other, -ELBO.

    Each point is an epoch, in nats a sentence; a star marks the best. Bars above a panel show the phases of a run, a
    line the entropy of the corpus where it is known (toy). An existing file is replaced. Pictures need matplotlib
    (pip install '.[plot]' in a clone of the repository); --text needs nothing.

    With --latent: the KL of each latent dimension over the epochs, and the posterior means of at most 5,000
    sentences on their first two principal components. The labels are those of prepare; toy has hidden factors.

    Examples:

        seqvae runs plot
        seqvae runs plot toy-default-1 toy-default-2 -o compare.svg
        seqvae runs plot best --only kl -o - > kl.png
        seqvae runs plot --text
        seqvae runs plot toy-default-1 --latent --color topic
    """
    from seqvae_cli.plotting import curves, pictures

    if only is not None and only not in curves.PANELS:
        raise UsageError(f"no panel {only!r}", nearest(only, curves.PANELS))
    panels = list(curves.PANELS) if only is None else [only]
    if text and (output is not None or json):
        raise UsageError(f"--text does not go with {'--output' if output is not None else '--json'}", "leave one out")
    if output is not None:
        _check_output(output, json, pictures.PICTURE_FORMATS)
    if latent:
        if only is not None or text:
            hint = "the KL of each dimension in figures: seqvae eval --diagnose" if text else "leave one out"
            raise UsageError(f"{'--text' if text else '--only'} does not go with --latent", hint)
        color, split = "length" if color is None else color, "valid" if split is None else split
        _latent(run or ["latest"], color, split, output, json)
        return
    if color is not None or split is not None:
        raise UsageError(f"{'--split' if color is None else '--color'} goes with --latent alone", "add --latent")
    runs = _metrics(run or ["latest"], pictures.MAX_RUNS)
    if text:
        from seqvae_cli.plotting.text import draw_text

        size = shutil.get_terminal_size()
        for line in draw_text(runs, panels, width=size.columns, height=size.lines - 1):
            display.out(line)
        return
    stem = next(iter(runs)) if len(runs) == 1 else "runs"
    output = _output(output, stem if only is None else f"{stem}-{only}", json)
    _write(output, lambda kind: pictures.picture(runs, panels, kind), {"runs": list(runs), "panels": panels}, json)


def _latent(names: list[str], color: str, split: str, output: Path | None, json: bool) -> None:
    from seqvae_cli.data.corpus import SPLITS
    from seqvae_cli.plotting import latent as latent_plots

    if len(names) > 1:
        raise UsageError(f"--latent draws one run, not {len(names)}", "name one")
    if split not in SPLITS:
        raise UsageError(f"no split {split!r}", f"known: {', '.join(SPLITS)}")
    model = open_model(names[0], None, "cpu", 0)
    run = model.run
    output = _output(output, f"{run.name}-latent", json)
    with display.progress("posteriors", None, "tokens") as advance:
        means = model.project(split, color, watch=advance)
    lines = run.metrics()
    answer = {
        "runs": [run.name],
        "panels": ["rates", "means"],
        "split": split,
        "sentences": len(means.points),
        "color": color,
        "variance": list(means.variance),
    }
    _write(output, lambda kind: latent_plots.picture(run.name, lines, means, kind), answer, json)


def _output(given: Path | None, stem: str, json: bool) -> Path:
    """The output file: `given`, else `STEM.png` in the current folder."""
    from seqvae_cli.plotting import pictures

    if given is None:
        given = Path(f"{stem}.png")
        _check_output(given, json, pictures.PICTURE_FORMATS)
    return given


def _write(output: Path, picture: Callable[[str], bytes], answer: dict[str, Any], json: bool) -> None:
    """Writes the picture in the format of the output's ending, and reports the path."""
    from seqvae_cli.system import files

    if output == Path("-"):
        sys.stdout.flush()
        sys.stdout.buffer.write(picture("png"))
        return
    files.write(output, picture(output.suffix[1:].lower()))
    if json:
        display.out_json({"path": str(output.absolute()), **answer})
    else:
        display.say(f"written: {output}")


def _check_output(output: Path, json: bool, formats: tuple[str, ...]) -> None:
    """Raises `UsageError` for an output that cannot be written, before anything is read or drawn."""
    if output == Path("-"):
        if json:
            raise UsageError("--json does not go with -o -, where stdout is the picture", "leave one out")
        if sys.stdout.isatty():
            raise UsageError("a picture cannot go to a terminal", "send it to a file or a pipe, or use --text")
        return
    if output.suffix[1:].lower() not in formats:
        endings = ", ".join(f".{kind}" for kind in formats)
        raise UsageError(f"{str(output)!r}: the ending of the output is unknown", f"known: {endings}")
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(f"{str(output)!r} cannot be a file", "name a file in an existing folder")


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

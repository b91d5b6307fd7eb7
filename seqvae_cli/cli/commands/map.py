"""`seqvae map`: sentences on a plane by their codes, as a picture, a page, a table, or for other programs."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli.cli import display, map_sentences, output_file, progress
from seqvae_cli.cli.models import counting, open_model
from seqvae_cli.cli.options import (
    Device,
    Encoding,
    Format,
    Json,
    Labels,
    RunArgument,
    RunOption,
    TextColumn,
    Threads,
    complete_color,
    complete_split,
    one_of,
)
from seqvae_cli.errors import UsageError, counted

if TYPE_CHECKING:
    from seqvae_cli.api import Model
    from seqvae_cli.cli.sentences import Lines
    from seqvae_cli.plotting.maps.map import Map
    from seqvae_cli.system.progress import Advance

app = typer.Typer()

STDOUT = Path("-")
TABLES = ("", "tsv", "parquet")
"""Endings of the files that have every label, and no colour."""


@app.command("map")
def draw(
    run: RunArgument = None,
    run_option: RunOption = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="tsne or umap: like sentences are near; pca: principal components; lda: parts the label of --color "
            "[default: tsne or umap where installed, else pca].",
            autocompletion=one_of("pca", "tsne", "umap", "lda"),
        ),
    ] = None,
    color: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Colour by length (tokens), or by a label: of the corpus, with --data a column "
            "[default: the label, if there is one alone, else length].",
            autocompletion=complete_color,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help=".png, .svg, .pdf, .html, .tsv or .parquet; -: TSV to stdout [default: RUN-map.png here].",
        ),
    ] = None,
    projector: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A folder for TensorBoard's embedding projector; alone, no other file is written."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="train, valid or test [default: valid, or train where that has under 300 sentences].",
            autocompletion=complete_split,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="In place of a split: sentences of a file, a folder, or stdin (-); repeatable."
        ),
    ] = None,
    form: Format = None,
    text_column: TextColumn = None,
    label: Labels = None,
    encoding: Encoding = "utf-8",
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Place sentences on a plane by their codes, the posterior means, and draw them or write the coordinates.

    At most 5,000 sentences: evenly spread over a split, or a random sample of the files of --data, which is always the
    same. t-SNE needs scikit-learn (pip install "seqvae[analysis]"), UMAP needs umap-learn (pip install "seqvae[umap]"),
    pictures need matplotlib (pip install "seqvae[plot]"), Parquet needs pyarrow (pip install "seqvae[parquet]"); pages
    and TSV need nothing. A page (.html) is one file: it shows each sentence,
    finds words, and loads nothing. An existing file is replaced. Files are read as encode does.

    Examples:

        seqvae map
        seqvae map toy-default-1 --color topic -o topics.html
        seqvae map --data reviews.csv --label sentiment -o map.parquet
        seqvae map --method pca -o - | head
        seqvae map --method lda --color tense
        seqvae map --projector projector/
    """
    tables = map_sentences.Tables(form, text_column, label, encoding)
    _check_output(output, projector, method, json)
    lines = None
    if data:
        map_sentences.refuse({"--split": split}, "does not go with --data", "leave one out")
        command = " ".join(["seqvae map", *([shlex.quote(run)] if run else []), "--data"])
        lines = map_sentences.open_data(data, command, color, tables, "--text")
        if output is not None and output.exists() and any(map(output.samefile, lines.paths)):
            raise UsageError(f"{str(output)!r} is the input", "name another file")
    else:
        given = tables.given()
        given["--text"] = given.pop("--text-column")
        map_sentences.refuse(given, "goes with --data alone", "add --data FILE")
        map_sentences.check_split(split)
    with progress.working("loading PyTorch"):
        from seqvae_cli.plotting.maps import methods

    if method is not None:
        methods.check(method)
    model = open_model(run, run_option, device, threads)
    if output is None and projector is None:
        output = Path(f"{model.name}-map.png")
        _check_output(output, projector, method, json)
    options: dict[str, Any] = {"color": color, "method": method if output else "pca"}
    if lines is None:
        found = _of_split(model, split, options)
    else:
        found = _of_files(model, lines, map_sentences.called(data or []), options)
    _tell(found, method, color, output)
    _write(model, found, output, projector, data, json)


def _check_output(output: Path | None, projector: Path | None, method: str | None, json: bool) -> None:
    """Raises `UsageError` for files that cannot be written, `MachineError` where a package for them is missing."""
    if projector is not None:
        if projector == Path():  # an empty value, such as an unset variable of the shell
            raise UsageError("--projector names no folder", "name one, such as ./projector")
        if projector.exists() and not projector.is_dir():
            raise UsageError(f"{str(projector)!r} is a file", "--projector names a folder")
        if not projector.absolute().parent.is_dir():
            raise UsageError(f"{str(projector)!r} cannot be a folder", "name one in an existing folder")
        if output is None and method is not None:
            raise UsageError(
                "--method goes with a map: the projector has methods of its own", "leave one out, or add -o"
            )
    if output == STDOUT:
        if json:
            raise UsageError("--json does not go with -o -, where stdout is the table", "leave one out")
        return
    if output is None:
        return
    from seqvae_cli.plotting import pictures

    output_file.check_name(output, (*pictures.PICTURE_FORMATS, "html", "tsv", "parquet"))
    kind = _kind(output)
    if kind == "parquet":
        from seqvae_cli.data.parquet import library

        library()
    elif kind in pictures.PICTURE_FORMATS:
        pictures.check_library('pip install "seqvae[plot]"; -o map.html needs nothing')


def _kind(output: Path) -> str:
    return output.suffix[1:].lower()


def _of_split(model: Model, split: str | None, options: dict[str, Any]) -> Map:
    with ExitStack() as stack:

        def stage(name: str, _: int) -> Advance:
            stack.close()
            return stack.enter_context(display.progress(name, None, "tokens" if name == "posteriors" else "sentences"))

        return model.map(split=split, stage=stage, **options)


def _of_files(model: Model, lines: Lines, source: str, options: dict[str, Any]) -> Map:
    with counting("left out") as tally, ExitStack() as stack:
        advance = stack.enter_context(progress.of_lines("encoding", lines, to_file=True))

        def stage(name: str, _: int) -> Advance:
            stack.close()
            return stack.enter_context(display.progress(name, None, "sentences"))

        sentences, labels = lines.apart(lines.columns.labels, advance)
        return model.map(sentences, labels=labels, source=source, tally=tally, stage=stage, **options)


def _tell(found: Map, method: str | None, color: str | None, output: Path | None) -> None:
    """Says what was chosen, and what to know of it."""
    from seqvae_cli.plotting.maps import methods

    count = len(found.sentences)
    if output is not None and method is None and found.method == "pca":
        why = (
            f"{counted(count, 'sentence')} {'is' if count == 1 else 'are'} too few for t-SNE"
            if count < methods.LEAST
            else f"t-SNE would show neighbours: {methods.install('tsne')}"
        )
        display.say(f"principal components; {why}")
    if output is not None and _kind(output) not in TABLES and color is None and len(found.labels) > 1:
        display.say(f"coloured by length; --color takes {', '.join(found.labels)}, too")
    if count >= methods.LEAST and not found.active:
        display.say("no latent dimension is active: the distances in this map are noise; see seqvae eval --diagnose")
    if found.method == "lda" and count < methods.ENOUGH * found.means.shape[1]:
        display.say(
            f"{count} sentences are few for {found.means.shape[1]} dimensions: discriminants part noise as well; "
            "give more"
        )


def _write(
    model: Model, found: Map, output: Path | None, projector: Path | None, data: list[str] | None, json: bool
) -> None:
    from seqvae_cli.plotting.maps import tables
    from seqvae_cli.system import files

    if projector is not None:
        contents = tables.projector(found)
        files.make_folder(projector)
        for name, content in contents.items():
            files.write(projector / name, content)
    if output == STDOUT:
        for row in tables.rows(found):
            display.out_row(row)
    elif output is not None:
        files.write(output, _content(model.name, found, _kind(output)))
    if json:
        display.out_json(
            {
                "path": None if output is None else str(output.absolute()),
                "projector": None if projector is None else str(projector.absolute()),
                "run": model.name,
                "method": found.method if output is not None else None,
                "color": found.color,
                "split": found.split or None,
                "data": data or None,
                "sentences": len(found.sentences),
                "total": found.total,
                "active_units": found.active,
            }
        )
        return
    for path in (output, projector):
        if path not in (None, STDOUT):
            display.say(f"written: {path}")
    if projector is not None:
        display.say(f"open it: tensorboard --logdir {shlex.quote(str(projector))}")


def _content(name: str, found: Map, kind: str) -> bytes:
    from seqvae_cli.plotting.maps import page, picture, tables

    if kind == "html":
        return page.page(name, found)
    if kind == "tsv":
        return "".join(map(display.tsv_row, tables.rows(found))).encode()
    if kind == "parquet":
        return tables.parquet(found)
    return picture.picture(name, found, kind)

"""`seqvae neighbours`: the nearest sentences in the latent space."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli.cli import candidates as files
from seqvae_cli.cli import display, progress, tables
from seqvae_cli.cli.headings import LATENT
from seqvae_cli.cli.models import counting, open_model
from seqvae_cli.cli.options import (
    Device,
    Encoding,
    Format,
    Ids,
    Json,
    Labels,
    RunOption,
    Text,
    TextColumn,
    Threads,
    complete_split,
    one_of,
)
from seqvae_cli.cli.sentences import is_a_folder, names_a_file, open_lines, reading_of
from seqvae_cli.errors import UsageError, counted, nearest

if TYPE_CHECKING:
    from seqvae_cli.api import Model
    from seqvae_cli.latent.candidates import Candidates
    from seqvae_cli.latent.code_sets import CodeSet
    from seqvae_cli.latent.neighbours import Neighbour

app = typer.Typer()


@app.command()
def neighbours(
    text: Text,
    count: Annotated[
        int, typer.Option("-n", "--number", min=1, max=10_000, help="Neighbours of each sentence.", show_default=True)
    ] = 5,
    split: Annotated[
        str | None,
        typer.Option(
            help="Among the sentences of the corpus: train, valid or test [default: train].",
            autocompletion=complete_split,
            rich_help_panel=LATENT,
        ),
    ] = None,
    among: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Among those of files or folders instead; repeatable.", rich_help_panel=LATENT
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="euclidean, cosine or kl (nats).",
            show_default=True,
            autocompletion=one_of("euclidean", "cosine", "kl"),
            rich_help_panel=LATENT,
        ),
    ] = "euclidean",
    form: Format = None,
    text_column: TextColumn = None,
    label: Labels = None,
    id_column: Ids = None,
    encoding: Encoding = "utf-8",
    run_option: RunOption = None,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Find the sentences whose codes are nearest to that of each sentence, nearest first.

    The metrics: euclidean and cosine (1 - cos) compare posterior means, kl is KL(q(z|sentence) || q(z|neighbour)) in
    nats, for Gaussian posteriors. The search is exact. A sentence that repeats among the candidates is listed once, and
    a sentence that is one of them is its own first neighbour.

    The columns, separated by tabs: the sentence, the rank, the distance, the neighbour; then the id and the labels of a
    table, and those of the neighbour. On a terminal, a table for each sentence. An empty line keeps its row, without
    neighbours. The columns of --text, --label and --id are those of every table that is named.

    The codes of a split, or of files, are kept with the run: the second call does not encode them again.

    Examples:

        seqvae neighbours "stock prices rose"
        seqvae neighbours "stock prices rose" --metric cosine -n 10 --split valid
        seqvae neighbours my.txt --among reviews.csv --label sentiment > near.tsv
        seqvae neighbours - --json < sentences.txt | jq -r '.neighbours[0].text'
    """
    if among and split is not None:
        raise UsageError("--split does not go with --among", "leave one out")
    with progress.working("loading PyTorch"):
        from seqvae_cli.data.corpus import SPLITS
        from seqvae_cli.latent.neighbours import METRICS

    if among and len(among) == 1 and among[0] in SPLITS and not names_a_file(among[0]) and not is_a_folder(among[0]):
        split, among = among[0], None
    if split not in (None, *SPLITS):
        raise UsageError(f"no split {split!r:.40}", f"known: {', '.join(SPLITS)}; or --among FILE")
    if metric not in METRICS:
        raise UsageError(f"no metric {metric!r:.40}", nearest(metric, METRICS))
    if among and "-" in among and "-" in text:
        raise UsageError("standard input (-) cannot be both the sentences and --among", "name a file")
    files.check_names(among or [])
    reading, others = files.readings(
        text, among or [], reading_of("neighbours", form, text_column, label, id_column, encoding)
    )
    lines = open_lines(text, reading)
    model = open_model(None, run_option, device, threads)
    model.require_latent()
    codes = _codes(model, files.of_files(among, others, model.tokenizer) if among else split or "train")
    options: dict[str, Any] = {"n": count, "metric": metric}
    with counting() as tally, progress.of_lines("searching", lines) as advance:
        for line, found in model.neighbours_stream(lines, codes, tally=tally, **options):
            record = lines.answered()
            advance(line)
            if json:
                display.out_jsonl({**lines.keys(record), "text": line, **_json(found, codes, metric)})
            elif found is None:
                beside = [""] * (codes.candidates.ids + len(codes.candidates.labels))
                display.out_row([line, "", "", "", *lines.values(record), *beside])
            elif display.pretty(sys.stdout):
                _table(line, found, codes)
            else:
                for rank, one in enumerate(found, 1):
                    values = [*lines.values(record), *([] if one.id is None else [one.id]), *one.labels.values()]
                    display.out_row([line, str(rank), f"{one.distance:.4f}", one.sentence, *values])


def _codes(model: Model, among: Candidates | str) -> CodeSet:
    """The codes of the candidates, with the progress of their encoding, and a warning of their unknown words."""
    name, total = (among, model.corpus().sentences(among)) if isinstance(among, str) else (among.name, None)
    with progress.late_progress(f"encoding {name}", total, "sentences", to_file=sys.stdout.isatty()) as advance:
        codes = model.candidates(among, watch=advance)
    display.detail(f"{counted(len(codes), 'distinct sentence')} of {name}, codes in {codes.path or 'memory'}")
    tally = codes.tally
    if tally.unknown:
        words = f"{tally.unknown:,} of {counted(tally.words, tally.noun)} of {name}"
        display.warn(f"{words} {'is' if tally.unknown == 1 else 'are'} unknown, read as <unk>")
    return codes


def _json(found: list[Neighbour] | None, codes: CodeSet, metric: str) -> dict[str, Any]:
    head = {"among": codes.candidates.name, "metric": metric}
    if found is None:
        return {**head, "neighbours": None, "reason": "empty sentence"}
    rows = []
    for one in found:
        row: dict[str, Any] = {"text": one.sentence, "distance": one.distance, "place": one.place}
        row |= {} if one.id is None else {"id": one.id}
        rows.append(row | ({"labels": one.labels} if one.labels else {}))
    return {**head, "neighbours": rows}


def _table(sentence: str, found: list[Neighbour], codes: CodeSet) -> None:
    """A table with as many ids and labels as leave each neighbour on one line."""
    source = codes.candidates
    columns = ["distance", "neighbour", *(["id"] if source.ids else []), *source.labels]
    rows = [
        [f"{one.distance:.4f}", one.sentence, *([] if one.id is None else [one.id]), *one.labels.values()]
        for one in found
    ]
    widths = [max(map(tables.cell_len, values)) for values in zip(columns, *rows, strict=True)]
    shown, width = len(columns), display.console(sys.stdout).width
    while shown > 2 and sum(widths[:shown]) + len(tables.GAP) * (shown - 1) > width:
        shown -= 1
    note = f"not shown, for want of room: {', '.join(columns[shown:])}" if shown < len(columns) else ""
    display.table(sentence, columns[:shown], [row[:shown] for row in rows], note=note)

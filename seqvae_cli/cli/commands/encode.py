"""`seqvae encode`: sentences -> codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli.cli import display, output_file, progress
from seqvae_cli.cli.models import counting, follow, shared_model
from seqvae_cli.cli.options import (
    BatchSize,
    Device,
    Encoding,
    Format,
    Ids,
    Json,
    Labels,
    RunOption,
    Shard,
    Text,
    TextColumn,
    Threads,
)
from seqvae_cli.cli.sentences import Lines, open_lines, reading_of
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    from seqvae_cli.data.records import Record

app = typer.Typer()

Row = tuple["Record", list[float] | None, list[float] | None]
"""A record, its posterior mean and scale; None where the sentence is empty."""


@app.command()
def encode(
    text: Text,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help=".jsonl, .tsv, .parquet or .npy; an existing file is replaced [default: stdout].",
        ),
    ] = None,
    batch_size: BatchSize = 128,
    form: Format = None,
    text_column: TextColumn = None,
    label: Labels = None,
    id_column: Ids = None,
    encoding: Encoding = "utf-8",
    shard: Shard = None,
    run_option: RunOption = None,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Encode sentences, one a line, in order: the mean and the scale of q(z|x).

    Arguments that are names of files stand for the lines of these files, names of folders for the files in them: then
    the folder is a label. An empty line keeps its row: null in JSON
    Lines and Parquet, empty in TSV, NaN in .npy. A .npy file holds the means alone: float32, sentences x latent
    dimensions. TSV is quoted as Python's csv and pandas read it. Parquet has the columns of TSV and needs pyarrow
    (pip install "seqvae[parquet]"). The id and the labels of a table are in JSON Lines and the last columns of TSV and
    Parquet.

    Examples:

        seqvae encode "stock prices rose" "the president resigned"
        seqvae encode sentences.txt -o codes.npy
        seqvae encode reviews.csv --label sentiment -o codes.parquet
        cat sentences.txt | seqvae encode - | jq -c .mean
    """
    if output == Path("-"):
        output = None
    ending = "" if output is None else output.suffix.lower()
    if output is not None and ending not in (*WRITERS, ".npy"):
        hint = "name it .jsonl, .tsv, .parquet or .npy"
        raise UsageError(f"{str(output)!r}: the ending of the output is unknown", hint)
    if output is not None:
        output_file.check_place(output)
    if output is not None and json and ending != ".jsonl":
        raise UsageError(f"--json does not go with {ending}", "name the output .jsonl, or leave --json out")
    if ending == ".npy" and (label or id_column):
        raise UsageError("a .npy file holds the means alone, without ids and labels", "name it .jsonl or .tsv")
    if ending == ".parquet":
        from seqvae_cli.data import parquet

        parquet.library()
    lines = open_lines(text, reading_of("encode", form, text_column, label, id_column, encoding), shard)
    if output is not None and output.exists() and any(map(output.samefile, lines.paths)):
        raise UsageError(f"{str(output)!r} is the input", "name another file")
    with shared_model(run_option, device, threads) as model:
        if not model.processes.first:
            follow(model.encode_stream(lines, batch_size=batch_size))
            return
        with counting() as tally, progress.of_lines("encoding", lines, to_file=output is not None) as advance:

            def rows() -> Iterator[Row]:
                for line, code in model.encode_stream(lines, batch_size=batch_size, tally=tally):
                    means = (None, None) if code is None else (code.mean.tolist(), code.scale.tolist())
                    yield lines.answered(), *means
                    advance(line)

            if output is None:
                for row in rows():
                    display.out_jsonl(_json(row, lines))
            elif ending == ".npy":
                _write_npy(output, rows(), model.latent_size)
            else:
                from seqvae_cli.system import files

                files.write(output, WRITERS[ending](rows(), lines, model.latent_size))


def _json(row: Row, lines: Lines) -> dict[str, Any]:
    record, mean, scale = row
    answer = {**lines.keys(record), "text": record.text, "mean": mean, "scale": scale}
    return answer if mean is not None else answer | {"reason": "empty sentence"}


def _jsonl(rows: Iterator[Row], lines: Lines, _: int) -> Iterator[bytes]:
    import json

    for row in rows:
        yield (json.dumps(_json(row, lines), ensure_ascii=False, allow_nan=False) + "\n").encode()


def _tsv(rows: Iterator[Row], lines: Lines, latent: int) -> Iterator[bytes]:
    yield display.tsv_row(_names(lines, latent)).encode()
    for record, mean, scale in rows:
        values = [f"{value:.9g}" for value in [*(mean or []), *(scale or [])]] or [""] * (2 * latent)
        yield display.tsv_row([record.text, *values, *lines.values(record)]).encode()


def _names(lines: Lines, latent: int) -> list[str]:
    """The columns of a table: the text, the mean, the scale, and what is passed through."""
    from seqvae_cli.latent.frames import code_names

    names = ["text", *code_names(latent), *code_names(latent, "scale"), *lines.names()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"the table would have two columns {twice[0]!r}", "name the output .jsonl")
    return names


def _parquet(rows: Iterator[Row], lines: Lines, latent: int) -> Iterator[bytes]:
    """The columns of TSV: codes as float32, null where a sentence is empty; the rest as text."""
    from itertools import islice

    import numpy as np

    from seqvae_cli.data import parquet
    from seqvae_cli.data.windows import WINDOW

    arrow, names = parquet.library(), _names(lines, latent)
    schema = arrow.schema([(name, arrow.string()) for name in names])
    for place in range(1, 1 + 2 * latent):
        schema = schema.set(place, arrow.field(names[place], arrow.float32()))

    def tables() -> Iterator[Any]:
        while held := list(islice(rows, WINDOW)):
            codes = np.array([[*(mean or [np.nan] * latent), *(scale or [np.nan] * latent)] for _, mean, scale in held])
            empty = np.array([mean is None for _, mean, _ in held])
            columns = [arrow.array(column, arrow.float32(), mask=empty) for column in codes.astype(np.float32).T]
            texts = [record.text for record, _, _ in held]
            others = zip(*(lines.values(record) for record, _, _ in held), strict=True)
            yield arrow.table([texts, *columns, *map(list, others)], schema=schema)

    yield from parquet.parquet_blocks(schema, tables())


def _write_npy(output: Path, rows: Iterable[Row], latent: int) -> None:
    """Writes the means row by row, and last the header, which has their number: none waits in memory."""
    import io

    import numpy as np

    from seqvae_cli.system import files

    def header(count: int) -> bytes:  # of one length for every count: NumPy leaves room for 21 digits
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (count, latent)})
        return buffer.getvalue()

    count = 0
    with closing(files.DurableFile(output)) as file:
        file.write(header(0))
        for _, mean, _ in rows:
            file.write(np.array([np.nan] * latent if mean is None else mean, "<f4").tobytes())
            count += 1
        file.write_start(header(count))
        file.commit()


WRITERS: dict[str, Callable[[Iterator[Row], Lines, int], Iterator[bytes]]] = {
    ".jsonl": _jsonl,
    ".tsv": _tsv,
    ".parquet": _parquet,
}

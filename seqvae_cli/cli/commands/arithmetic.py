"""`seqvae arithmetic`: the offset between sentences or files, added to other sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from seqvae_cli.cli import decoded, display, progress
from seqvae_cli.cli.models import Cuts, counting, open_model
from seqvae_cli.cli.options import (
    Beam,
    Device,
    Encoding,
    Format,
    Ids,
    Json,
    Labels,
    MaxLen,
    RunOption,
    TextColumn,
    Threads,
    Unk,
)
from seqvae_cli.cli.sentences import Lines, is_a_folder, names_a_file, open_lines, reading_of
from seqvae_cli.cli.strategy import strategy_from_options
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    from seqvae_cli.api import Model
    from seqvae_cli.data.readers import Reading
    from seqvae_cli.data.windows import Pause
    from seqvae_cli.latent.answers import Code
    from seqvae_cli.latent.streams import Tally

app = typer.Typer()

FORM = 'seqvae arithmetic "A" - "B" + "C"'


@app.command()
def arithmetic(
    terms: Annotated[
        list[str] | None,
        typer.Argument(metavar="A - B + C", help="Sentences or files; C may be -, for stdin.", show_default=False),
    ] = None,
    scale: Annotated[
        float, typer.Option(min=0, max=1000, help="Multiplies the offset A - B.", show_default=True)
    ] = 1.0,
    beam: Beam = None,
    unk: Unk = None,
    max_len: MaxLen = 100,
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
    """Add the offset between two sentences, or two files of them, to other sentences: A - B + C.

    Each sentence stands for its code, its posterior mean; a file in the place of A or B for the mean of its sentences'
    codes. C is one sentence, a file, or - for stdin: each of its sentences gets an answer, one a line, in order, the
    decoding of its code + scale * (A - B). Signs are arguments of their own, with spaces around them. Decoding is
    greedy, or a beam search with --beam. An empty line stays empty; in JSON its result is null. The id and the labels
    of a table follow, separated by tabs.

    Examples:

        seqvae arithmetic "banks will thrive" - "banks thrive" + "a judge resigns"
        seqvae arithmetic present.txt - past.txt + "the team won ." --scale 1.5
        seqvae arithmetic now.txt - past.txt + - --json < all.txt | jq -r .result
    """
    *group, base = parse(terms or [])
    lines, groups = _open(group, base, reading_of("arithmetic A - B +", form, text_column, label, id_column, encoding))
    strategy = strategy_from_options(beam is None, beam, unk=unk)
    model = open_model(None, run_option, device, threads)
    model.require_latent()

    with counting("left out") as tally:
        plus, minus = (_mean(model, term, one, tally) for term, one in zip(group, groups, strict=True))
    offset, cuts = scale * (plus - minus), Cuts(max_len)
    with counting() as tally, progress.of_lines("decoding", lines) as advance:
        made = model.shift_stream(lines, offset, strategy, max_len=max_len, tally=tally)
        decoded.write(lines, made, cuts, advance, key="result", json=json)
    if not json:
        cuts.warn()


def parse(arguments: Sequence[str]) -> list[str]:
    """A, B and C of the expression A - B + C. Raises `UsageError` for another one, with the form."""
    form = f"three terms and two signs, each an argument of its own: {FORM}"
    if not arguments:
        raise UsageError("no expression given", form)
    if len(arguments) != 5 or (arguments[1], arguments[3]) != ("-", "+"):
        raise UsageError(f"not of the form A - B + C: {' '.join(map(_short, arguments))}", form)
    terms = list(arguments[::2])
    if "-" in terms[:2]:
        raise UsageError("standard input (-) is not A or B", "give it as C: seqvae arithmetic A - B + -")
    return terms


def _open(group: Sequence[str], base: str, reading: Reading) -> tuple[Lines, list[Lines]]:
    """The sentences of C, and those of A and of B. Columns are those of the tables among them, ids and labels of C."""
    from seqvae_cli.data.records import Columns

    def is_table(term: str) -> bool:
        return term == "-" or is_a_folder(term) or (names_a_file(term) and reading.is_table(term))

    columns = reading.columns
    plain = replace(reading, format=None, columns=Columns())
    named = replace(reading, columns=replace(columns, labels=(), id=None))
    passed, tables = bool(columns.labels or columns.id), any(map(is_table, (*group, base)))
    lines = open_lines([base], reading if is_table(base) or passed or not tables else plain)
    return lines, [open_lines([term], named if is_table(term) else plain) for term in group]


def _short(argument: str) -> str:
    shown = argument if len(argument) <= 20 else f"{argument[:20]}…"
    return argument if argument in ("-", "+") else repr(shown)


def _mean(model: Model, term: str, lines: Lines, tally: Tally) -> Code:
    """The mean code of a sentence, or of the sentences of a file."""
    unit = "sentences" if lines.size is None else "bytes"
    with display.progress(f"codes of {term}", lines.size, unit) if lines.paths else nullcontext() as advance:

        def told() -> Iterator[str | Pause]:
            for line in lines:
                yield line
                if advance and isinstance(line, str):
                    advance(1 if lines.size is None else lines.bytes_of(line))

        return model.mean_code(told(), source=term, tally=tally)

"""`seqvae corpora`: the prepared corpora on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.options import Json
from seqvae_cli.errors import DataError, MachineError

if TYPE_CHECKING:
    from pathlib import Path

    from seqvae_cli.data.corpus import Corpus

app = typer.Typer()


@app.command("corpora")
def list_(json: Json = False) -> None:
    """List the prepared corpora, the one prepared last at the end.

    The first column is what train --data takes: the name of a corpus, or its folder where a later one has the same
    name. Sentences are those of training, validation and test; ids are the vocabulary, special tokens counted.

    Examples:

        seqvae corpora
        seqvae corpora --json | jq -r .path
    """
    from seqvae_cli.data.corpus import SPLITS, Corpus, list_prepared, prepared_at

    rows, damaged = [], 0
    for path in sorted(list_prepared(), key=prepared_at):
        try:
            rows.append(_row(Corpus.open(path)))
        except (DataError, MachineError) as error:
            damaged += 1
            display.warn(f"corpus {path.name} cannot be read: {error.message}", error.hint)
    if json:
        for row in rows:
            display.out_jsonl(row)
        return
    if not rows:
        none = "no corpus can be read" if damaged else "no corpus is prepared yet"
        display.say(f"{none}: seqvae prepare toy, or seqvae prepare FILE")
        return
    latest = {row["name"]: row["folder"] for row in rows}
    cells = [
        [
            row["name"] if latest[row["name"]] == row["folder"] else row["folder"],
            "/".join(str(row["sentences"].get(split, "-")) for split in SPLITS),
            row["vocabulary"],
            row["tokenizer"],
            display.quantity(row["bytes"], "bytes"),
            _day(row["prepared_at"]),
        ]
        for row in rows
    ]
    note = f"sentences: {'/'.join(SPLITS)}; ids: the vocabulary, special tokens counted"
    display.table(
        "",
        ["corpus", "sentences", "ids", "tokenizer", "size", "prepared"],
        cells,
        note=note,
        optional=["prepared", "tokenizer", "size"],
    )


def _row(corpus: Corpus) -> dict[str, Any]:
    info = corpus.info
    return {
        "name": corpus.name,
        "folder": corpus.path.name,
        "hash": corpus.hash,
        "sentences": {split: counts["sentences"] for split, counts in info["splits"].items()},
        "vocabulary": info["vocabulary"],
        "tokenizer": info["recipe"]["tokenizer"],
        "bytes": _size(corpus.path),
        "findings": [finding.kind for finding in corpus.findings],
        "prepared_at": info["prepared_at"],
        "path": str(corpus.path),
    }


def _size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    from seqvae_cli.system import files

    with files.machine_errors(folder):
        return sum(path.stat().st_size for path in folder.iterdir())


def _day(nanoseconds: int) -> str:
    """The local date of a time since 1970."""
    from datetime import datetime

    return datetime.fromtimestamp(nanoseconds / 1e9).astimezone().strftime("%Y-%m-%d")

"""Files and folders as the sentences among which neighbours are looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from seqvae_cli.cli.sentences import is_a_folder, names_a_file, open_lines
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    from seqvae_cli.data.readers import Reading
    from seqvae_cli.data.records import Record
    from seqvae_cli.data.tokenizer import Tokenizer
    from seqvae_cli.latent.candidates import Candidates


def check_names(names: Sequence[str]) -> None:
    """Raises `UsageError` for a name of neither a file nor a folder."""
    for name in names:
        if name != "-" and not _is_there(name):
            raise UsageError(f"no file {name!r}", "--among takes files of sentences; --split a part of the corpus")


def readings(text: Sequence[str], among: Sequence[str], reading: Reading) -> tuple[Reading, Reading]:
    """How the queries and the candidates are read: columns are those of the tables, where one of both has tables."""
    from seqvae_cli.data.records import Columns

    if not among:
        return reading, reading
    tables = [any(is_a_folder(name) or _is_table(name, reading) for name in names) for names in (text, among)]
    plain = replace(reading, columns=Columns())
    queries, candidates = (reading if table or not any(tables) else plain for table in tables)
    if not any(name == "-" or _is_there(name) for name in text):  # sentences, which have neither format nor columns
        queries = replace(plain, format=None)
    return queries, candidates


def of_files(names: Sequence[str], reading: Reading, tokenizer: Tokenizer) -> Candidates:
    """The sentences of files and folders, one after another. Raises what `open_lines` raises."""
    from seqvae_cli.data.corpus import content_hash
    from seqvae_cli.latent import candidates
    from seqvae_cli.system import files

    lines = open_lines(names, reading)

    def records() -> Iterator[Record]:
        return (item for item in open_lines(names, reading).records if isinstance(item, tuple))

    def digest() -> str | None:
        if not lines.paths or not all(path.is_file() for path in lines.paths):
            return None  # what can be read once alone
        parts = {f"{i} {path.parent.name}/{path.name}": files.sha256(path) for i, path in enumerate(lines.paths)}
        return content_hash(parts | {"reading": repr(reading)})

    name = Path(names[0]).name if len(names) == 1 else f"{len(names)} files"
    labels, ids = lines.columns.labels, lines.columns.id is not None
    return candidates.of_records(
        "standard input" if names == ["-"] else name, records, tokenizer, digest, labels=labels, ids=ids
    )


def _is_there(name: str) -> bool:
    return names_a_file(name) or is_a_folder(name)


def _is_table(name: str, reading: Reading) -> bool:
    return (name == "-" or names_a_file(name)) and reading.is_table(name)

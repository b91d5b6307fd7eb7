"""The sentences of a map: what `seqvae runs plot --latent` and `seqvae map` say of the files of --data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from seqvae_cli.cli.sentences import Lines, names_a_file, open_lines, reading_of
from seqvae_cli.errors import UsageError


class Tables(NamedTuple):
    """How the files of --data are read."""

    form: str | None
    text_column: str | None
    labels: list[str] | None
    encoding: str

    def given(self) -> dict[str, object]:
        """The options that are not at their defaults."""
        values: dict[str, object] = {"--format": self.form, "--text-column": self.text_column, "--label": self.labels}
        return values | {"--encoding": None if self.encoding == "utf-8" else self.encoding}


def refuse(options: Mapping[str, object], message: str, hint: str) -> None:
    """Raises `UsageError` for the first of the options that is given, whose name begins the message."""
    for name, value in options.items():
        if value not in (None, [], ()):
            raise UsageError(f"{name} {message}", hint)


def check_split(split: str | None) -> None:
    """Raises `UsageError` for an unknown split."""
    from seqvae_cli.data.corpus import SPLITS

    if split not in (None, *SPLITS):
        raise UsageError(f"no split {split!r}", f"known: {', '.join(SPLITS)}")


def open_data(data: list[str], command: str, color: str | None, tables: Tables, text_option: str) -> Lines:
    """The sentences of files and folders, with the label that colours them. Raises `UsageError` for other names."""
    from dataclasses import replace

    from seqvae_cli.data.folders import FOLDER
    from seqvae_cli.data.labels import LENGTH

    for name in data:
        if name != "-" and not names_a_file(name) and not Path(name).is_dir():
            raise UsageError(f"no file {name!r}", "--data takes files of sentences; --split a part of the corpus")
    of_folder = color == FOLDER and any(Path(name).is_dir() for name in data)  # no column: the reader adds it
    labels = [*(tables.labels or []), *([] if color in (None, LENGTH) or of_folder else [str(color)])]
    if LENGTH in labels:
        raise UsageError(f"a label cannot have the name {LENGTH!r}, the colour of the tokens", "rename the column")
    reading = reading_of("", tables.form, tables.text_column, labels, None, tables.encoding)
    lines = open_lines(data, replace(reading, command=command, text_option=text_option))
    if of_folder and FOLDER not in lines.columns.labels:
        raise UsageError(f"no label {FOLDER!r}: the files lie in one folder", "put those of each label in a folder")
    return lines


def called(data: list[str]) -> str:
    """What the picture calls the files."""
    if len(data) > 1:
        return f"{len(data)} files"
    return "standard input" if data[0] == "-" else Path(data[0]).resolve().name

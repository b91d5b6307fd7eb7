"""`seqvae runs plot --latent`: the latent space of a run, with sentences of its corpus or of files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seqvae_cli.cli import display, progress
from seqvae_cli.cli.commands.runs import picture_file
from seqvae_cli.cli.models import counting, open_model
from seqvae_cli.cli.sentences import Lines, names_a_file, open_lines, reading_of
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    from seqvae_cli.api import Model
    from seqvae_cli.plotting.projection import Means


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


def draw(
    names: Sequence[str],
    output: Path | None,
    json: bool,
    *,
    split: str | None,
    data: list[str] | None,
    color: str | None,
    components: str | None,
    tables: Tables,
) -> None:
    """Draws the KL of each dimension and the posterior means of one run."""
    from seqvae_cli.plotting import latent, projection

    if len(names) > 1:
        several = data and any(map(names_a_file, names))
        hint = "give each file a --data of its own" if several else "name one"
        raise UsageError(f"--latent draws one run, not {len(names)}", hint)
    axes = _components(components)
    lines = None
    if data:
        refuse({"--split": split}, "does not go with --data", "leave one out")
        command = " ".join(["seqvae runs plot", *map(shlex.quote, names), "--latent --data"])
        lines = open_data(data, command, color, tables, "--text-column")
    else:
        refuse(tables.given(), "goes with --data alone", "add --data FILE")
        check_split(split)
    model = open_model(names[0] if names else None, None, "cpu", 0)
    if not data and split is None:
        split = projection.usual_split(model.corpus())
    output = picture_file.choose(output, f"{model.name}-latent", json)
    if lines is not None:
        means, labels = _of_files(model, lines, color, axes, called(data or [])), lines.columns.labels
    else:
        with display.progress("posteriors", None, "tokens") as advance:
            means = model.project(split or "", color, components=axes, watch=advance)
        labels = model.corpus().label_names()
    if color is None and len(labels) > 1:
        display.say(f"coloured by length; --color takes {', '.join(labels)}, too")
    epochs = model.run.metrics()
    answer = {
        "runs": [model.name],
        "panels": ["rates", "means"],
        "split": split,
        "data": data or None,
        "sentences": len(means.points),
        "total": means.total,
        "color": means.color,
        "components": list(means.components),
        "variance": list(means.variance),
    }
    picture_file.write(output, lambda kind: latent.picture(model.name, epochs, means, kind), answer, json)


def _components(text: str | None) -> tuple[int, ...]:
    """The numbers of --components, which the model checks. Raises `UsageError` for anything but numbers."""
    from seqvae_cli.plotting.projection import FIRST

    if text is None:
        return FIRST
    with suppress(ValueError):
        return tuple(int(part) for part in text.split(","))
    raise UsageError(f"components are {text[:40]!r}", "give two numbers, such as --components 3,4")


def check_split(split: str | None) -> None:
    """Raises `UsageError` for an unknown split."""
    from seqvae_cli.data.corpus import SPLITS

    if split not in (None, *SPLITS):
        raise UsageError(f"no split {split!r}", f"known: {', '.join(SPLITS)}")


def open_data(data: list[str], command: str, color: str | None, tables: Tables, text_option: str) -> Lines:
    """The sentences of files and folders, with the label that colours them. Raises `UsageError` for other names."""
    from dataclasses import replace

    from seqvae_cli.data.folders import FOLDER
    from seqvae_cli.plotting.projection import LENGTH

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


def _of_files(model: Model, lines: Lines, color: str | None, components: tuple[int, ...], source: str) -> Means:
    from seqvae_cli.plotting.projection import LENGTH, default_color

    labels = lines.columns.labels
    color = default_color(labels) if color is None else color
    with counting("left out") as tally, progress.of_lines("encoding", lines, to_file=True) as advance:
        sentences, values = lines.apart([] if color == LENGTH else [color], advance)
        options: dict[str, Any] = {"components": components, "source": source, "tally": tally}
        return model.project_sentences(sentences, values.get(color), color, **options)

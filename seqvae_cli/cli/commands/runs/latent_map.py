"""`seqvae runs plot --latent`: the latent space of a run, with sentences of its corpus or of files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqvae_cli.cli import display, map_sentences, output_file, progress
from seqvae_cli.cli.models import counting, open_model
from seqvae_cli.cli.sentences import Lines, names_a_file
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    from seqvae_cli.api import Model
    from seqvae_cli.plotting.projection import Means


def draw(
    names: Sequence[str],
    output: Path | None,
    json: bool,
    *,
    split: str | None,
    data: list[str] | None,
    color: str | None,
    components: str | None,
    tables: map_sentences.Tables,
) -> None:
    """Draws the KL of each dimension and the posterior means of one run."""
    from seqvae_cli.evaluation.subset import usual_split
    from seqvae_cli.plotting import latent

    if len(names) > 1:
        several = data and any(map(names_a_file, names))
        hint = "give each file a --data of its own" if several else "name one"
        raise UsageError(f"--latent draws one run, not {len(names)}", hint)
    axes = _components(components)
    lines = None
    if data:
        map_sentences.refuse({"--split": split}, "does not go with --data", "leave one out")
        command = " ".join(["seqvae runs plot", *map(shlex.quote, names), "--latent --data"])
        lines = map_sentences.open_data(data, command, color, tables, "--text-column")
    else:
        map_sentences.refuse(tables.given(), "goes with --data alone", "add --data FILE")
        map_sentences.check_split(split)
    model = open_model(names[0] if names else None, None, "cpu", 0)
    if not data and split is None:
        split = usual_split(model.corpus())
    output = output_file.choose(output, f"{model.name}-latent", json)
    if lines is not None:
        means, labels = _of_files(model, lines, color, axes, map_sentences.called(data or [])), lines.columns.labels
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
    output_file.write(output, lambda kind: latent.picture(model.name, epochs, means, kind), answer, json)


def _components(text: str | None) -> tuple[int, ...]:
    """The numbers of --components, which the model checks. Raises `UsageError` for anything but numbers."""
    from seqvae_cli.plotting.projection import FIRST

    if text is None:
        return FIRST
    with suppress(ValueError):
        return tuple(int(part) for part in text.split(","))
    raise UsageError(f"components are {text[:40]!r}", "give two numbers, such as --components 3,4")


def _of_files(model: Model, lines: Lines, color: str | None, components: tuple[int, ...], source: str) -> Means:
    from seqvae_cli.data.labels import LENGTH
    from seqvae_cli.plotting.projection import default_color

    labels = lines.columns.labels
    color = default_color(labels) if color is None else color
    with counting("left out") as tally, progress.of_lines("encoding", lines, to_file=True) as advance:
        sentences, values = lines.apart([] if color == LENGTH else [color], advance)
        options: dict[str, Any] = {"components": components, "source": source, "tally": tally}
        return model.project_sentences(sentences, values.get(color), color, **options)

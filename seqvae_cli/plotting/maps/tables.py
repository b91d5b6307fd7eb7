"""A map as a table: rows of text, a Parquet file, and the files of TensorBoard's embedding projector."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from seqvae_cli.data.parquet import library
from seqvae_cli.errors import UsageError
from seqvae_cli.plotting.maps.map import Map

TEXT = "text"
EXACT = 2**53
"""Whole numbers below it are exact as floats."""
PROJECTOR = ("vectors.tsv", "metadata.tsv", "projector_config.pbtxt")
"""The files of the embedding projector."""


def columns(found: Map) -> dict[str, list[str]]:
    """What is known of each sentence, column by column, without the coordinates.

    A label with the name of another column is `label_NAME`.
    """
    known: dict[str, list[str]] = {TEXT: list(found.sentences)}
    if found.ids:
        known["id"] = list(found.ids)
    if found.split:
        known["split"] = [found.split] * len(found.sentences)
    known["length"] = [str(length) for length in found.lengths]
    taken = {*known, "x", "y"}
    for name, label in found.labels.items():
        while name in taken:
            name = f"label_{name}"
        taken.add(name)
        known[name] = [label.values[index] for index in label.indices]
    return known


def rows(found: Map) -> Iterator[list[str]]:
    """The names of the columns, then the values of each sentence: its text, x, y, and the rest of `columns`."""
    known = columns(found)
    texts = known.pop(TEXT)
    yield [TEXT, "x", "y", *known]
    for text, (x, y), *values in zip(texts, found.points, *known.values(), strict=True):
        yield [text, f"{x:.6g}", f"{y:.6g}", *values]


def parquet(found: Map) -> bytes:
    """The same as a Parquet file; lengths, and labels that are written as Python writes numbers, are numbers.

    Raises `MachineError` where pyarrow is missing.
    """
    arrow = library()
    from pyarrow import parquet as writer

    as_text = {TEXT, "id", "split"}
    known = {name: values if name in as_text else _typed(values) for name, values in columns(found).items()}
    x, y = found.points.T
    table = arrow.table({TEXT: known.pop(TEXT), "x": np.ascontiguousarray(x), "y": np.ascontiguousarray(y), **known})
    file = io.BytesIO()
    writer.write_table(table, file)
    return file.getvalue()


def _typed(values: list[str]) -> list[Any]:
    """Values as whole or other numbers where all are, and no character is lost; as text where not. Empty: None."""
    present = list(filter(None, values))
    for kind in (int, float):
        with suppress(ValueError):
            sizes = dict(zip(present, map(kind, present), strict=True))
            same = (abs(size) < EXACT and text in (str(size), f"{size:g}") for text, size in sizes.items())
            if present and all(same):
                return [sizes.get(text) for text in values]
    return list(values)


def projector(found: Map) -> dict[str, bytes]:
    """The files that TensorBoard's embedding projector opens, by name: the means, not the points of the map.

    It splits lines at tabs and knows no quotes: tabs and line ends in a text become spaces. Raises `UsageError` for
    codes of one dimension, which it cannot read.
    """
    if found.means.shape[1] < 2:
        raise UsageError("the embedding projector reads no codes of one dimension", "-o map.tsv has the coordinates")
    known = columns(found)
    lines = ["\t".join(map(_plain, row)) for row in (known, *zip(*known.values(), strict=True))]
    vectors = ["\t".join(f"{value:.9g}" for value in row) for row in found.means]
    size = "".join(f"  tensor_shape: {count}\n" for count in found.means.shape)
    paths = f'  tensor_path: "{PROJECTOR[0]}"\n  metadata_path: "{PROJECTOR[1]}"\n'
    config = f'embeddings {{\n  tensor_name: "posterior means"\n{size}{paths}}}\n'
    texts = ("\n".join(vectors) + "\n", "\n".join(lines) + "\n", config)
    return {name: text.encode() for name, text in zip(PROJECTOR, texts, strict=True)}


def _plain(text: str) -> str:
    return " ".join(text.split()) or "(none)"

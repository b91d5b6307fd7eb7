"""Labels and ids of the sentences of a corpus, on disk beside its tokens, row by row.

    labels.json          for each label its values, in order of their first sentence
    SPLIT.label1.bin     N uint32, little-endian: the index of each sentence's value of the first label; label2, …
    SPLIT.ids.jsonl      the id of each sentence, a JSON string a line

A corpus has these files only where its source has labels or ids.
"""

from __future__ import annotations

import json
import math
import re
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.mapped import memory_map
from seqvae_cli.data.records import Record
from seqvae_cli.errors import DataError, counted
from seqvae_cli.system import files, json_files

VALUES = "labels.json"
LENGTH = "length"
"""What pictures colour by tokens: no label has this name."""
MOST_VALUES = 10_000
"""Different values of a label, at most."""
MAX_VALUE = 1000
"""Characters of a value of a label, at most."""
BLOCK = 1 << 15
"""Sentences that are written at once."""


@dataclass(frozen=True)
class Label:
    """A label of the N sentences of a split."""

    values: tuple[str, ...]
    """All values in the corpus, sorted: numbers by size. Empty text stands for a sentence without this label."""
    indices: NDArray[np.int64]
    """The index in `values` of each sentence's value: [N]."""


class LabelValues:
    """The different values of labels, numbered in the order in which they come."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.of: list[dict[str, int]] = [{} for _ in names]

    def indices(self, values: Sequence[str]) -> list[int]:
        """The number of each label's value. Raises `DataError` for one value too many, or a long one."""
        found = []
        for name, value, known in zip(self.names, values, self.of, strict=True):
            index = known.get(value)
            if index is None:
                if len(known) >= MOST_VALUES:
                    raise DataError(
                        f"label {name!r} has over {MOST_VALUES:,} different values", f"is it an id? --id {name}"
                    )
                check_value(name, value)
                index = known[value] = len(known)
            found.append(index)
        return found


class LabelWriter:
    """Writes the labels and ids of all splits, record by record. Always `close` it, also after an error."""

    def __init__(self, folder: Path, names: Sequence[str], splits: Sequence[str], *, ids: bool) -> None:
        self.folder, self.names = folder, tuple(names)
        self.values = LabelValues(names)
        self.written = dict.fromkeys(splits, 0)
        self._stack = ExitStack()
        self._files = {
            (split, number): self._opened(f"{split}.label{number + 1}.bin")
            for split in splits
            for number in range(len(names))
        }
        self._indices = {key: array("I") for key in self._files}
        self._ids = {split: self._opened(f"{split}.ids.jsonl") for split in splits if ids}

    def add(self, split: str, record: Record) -> None:
        """Raises `DataError` for a label with too many different values, or a long one."""
        for number, index in enumerate(self.values.indices(record.labels)):
            self._indices[split, number].append(index)
        if self._ids:
            self._ids[split].write((json.dumps(record.id) + "\n").encode())
        self.written[split] += 1
        if self.written[split] % BLOCK == 0:
            self._flush()

    def finish(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Syncs the files to disk; returns the SHA-256 of each by name, and what corpus.json says of them."""
        self._flush()
        digests = {file.path.name: file.commit() for file in (*self._files.values(), *self._ids.values())}
        if self.names:
            table = dict(zip(self.names, map(list, self.values.of), strict=True))
            digests[VALUES] = json_files.write(self.folder / VALUES, table)
        return digests, {"labels": list(self.names), "ids": bool(self._ids)}

    def close(self) -> None:
        self._stack.close()

    def _opened(self, name: str) -> files.DurableFile:
        file = files.DurableFile(self.folder / name)
        self._stack.callback(file.close)
        return file

    def _flush(self) -> None:
        for key, indices in self._indices.items():
            if sys.byteorder == "big":
                indices.byteswap()
            self._files[key].write(indices.tobytes())
            self._indices[key] = array("I")


def check_value(name: str, value: str) -> str:
    """Returns the value. Raises `DataError` for a long one."""
    if len(value) > MAX_VALUE:
        raise DataError(f"label {name!r} has a value of {counted(len(value), 'character')}", "is it the text?")
    return value


def read_values(folder: Path, info: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The values of each label of a corpus, in the order of their indices on disk. Raises `DataError` where damaged."""
    names = info.get("labels", [])
    if not names:
        return {}
    files.verify(folder, {VALUES: info["files"][VALUES]})
    table = json_files.read(folder / VALUES)
    return {name: tuple(table[name]) for name in names}


def read_labels(folder: Path, info: Mapping[str, Any], split: str) -> dict[str, Label]:
    """The labels of a split. Raises `DataError` for a damaged file."""
    found = {}
    sentences = info["splits"][split]["sentences"]
    for number, (name, values) in enumerate(read_values(folder, info).items(), 1):
        part = f"{split}.label{number}.bin"
        files.verify(folder, {part: info["files"][part]})
        indices = memory_map(folder / part, np.dtype("<u4"), sentences)
        if indices.max(initial=0) >= max(1, len(values)):
            raise DataError(f"{folder / part} has values that {VALUES} lacks", "prepare the corpus again")
        found[name] = in_order(values, indices)
    return found


def in_order(values: Sequence[str], indices: NDArray[Any]) -> Label:
    """A label with its values sorted: numbers by size, if all but the empty one are numbers."""
    sizes = [-math.inf if math.isnan(size) else size for size in numbers(values) or [0.0] * len(values)]
    order = sorted(range(len(values)), key=lambda index: (bool(values[index]), sizes[index], values[index]))
    places = np.empty(len(values), np.int64)
    places[order] = np.arange(len(values))
    return Label(tuple(values[index] for index in order), places[indices] if len(values) else indices.astype(np.int64))


_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")


def numbers(values: Sequence[str]) -> list[float] | None:
    """The values of a label as numbers, NaN for empty and infinite ones; None where one is not a number.

    A comma stands before decimals; where each value with commas can be read so, between thousands.
    """
    thousands = all(_THOUSANDS.fullmatch(value.strip()) for value in values if "," in value)
    try:
        found = [float(value.replace(",", "" if thousands else ".") or "nan") for value in values]
    except ValueError:
        return None
    return [number if math.isfinite(number) else math.nan for number in found]


def read_ids(folder: Path, info: Mapping[str, Any], split: str) -> Iterator[str] | None:
    """The id of each sentence of a split, in order; None where the corpus has none. Raises `DataError` as above."""
    part = f"{split}.ids.jsonl"
    if not info.get("ids"):
        return None
    files.verify(folder, {part: info["files"][part]})
    return _lines(folder / part)


def _lines(path: Path) -> Iterator[str]:
    with files.machine_errors(path), open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)

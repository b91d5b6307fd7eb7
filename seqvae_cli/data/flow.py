"""The records of a corpus on their way from its files: through the filters, into their splits, with their labels."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from seqvae_cli.data import folders, headers, repeats
from seqvae_cli.data.build import Dropped
from seqvae_cli.data.corpus import SPLITS
from seqvae_cli.data.labels import LabelValues, LabelWriter
from seqvae_cli.data.readers import Reading
from seqvae_cli.data.records import Record
from seqvae_cli.data.sources import Filter, SplitText, StageProgress
from seqvae_cli.errors import DataError, UsageError, counted


class Flow:
    """The records of the files of each split. They are read several times, and come in the same order each time."""

    def __init__(
        self,
        texts: Mapping[str, SplitText],
        reading: Reading,
        cut: Mapping[str, float],
        seed: int,
        progress: StageProgress,
        filters: Sequence[Filter] = (),
        normalized: Callable[[str], str] | None = None,
        to_draw: Collection[str] = (),
    ) -> None:
        """cut: the splits that may have to be cut from train, and their shares of it.

        normalized: maps a sentence to its key: training keeps the first sentence of each key; None: all. to_draw: the
        splits that no record may name, since a share was asked for.
        """
        self.to_draw = to_draw
        self.texts, self.reading, self.cut, self.seed = texts, reading, cut, seed
        self.progress, self.filters, self.normalized = progress, filters, normalized
        self.labels = [*reading.columns.labels, *([folders.FOLDER] if _has_folders(texts) else [])]
        self._values = LabelValues(self.labels)
        self._sizes: dict[str, int] = {}
        self._joined = 0

    def _read(self, stage: str, dropped: Dropped, splits: Iterable[str]) -> Iterator[Record]:
        """The records of the files of some splits, after the filters and without repeats.

        Raises `DataError` for a value of a label that `LabelWriter` would refuse, in a pass before it writes.
        """
        kept: Iterator[int] = itertools.repeat(1)
        if self.normalized is not None:
            dropped["train"]["repeated"] = self._firsts.count(0)
            kept = iter(self._firsts)
        for record in self._filtered(stage, dropped, splits):
            if record.split != "train" or next(kept):
                self._values.indices(record.labels)
                yield record

    def _filtered(self, stage: str, dropped: Dropped, splits: Iterable[str]) -> Iterator[Record]:
        """The records of the files of some splits, after the filters; `stage`: the name that the progress shows."""
        texts = [self.texts[split] for split in splits]
        self.progress.start(stage, sum(text.size for text in texts))
        keep_blank = bool(self.filters)  # blank lines separate paragraphs
        return itertools.chain.from_iterable(
            text.records(self.reading, dropped[text.split], keep_blank=keep_blank, filters=self.filters)
            for text in texts
        )

    @cached_property
    def _firsts(self) -> bytearray:
        """1 for each training record that stays, 0 for one that repeats an earlier one, or one of another split."""
        assert self.normalized is not None
        held_out = [split for split in self.texts if split != "train" or self.reading.columns.split is not None]
        elsewhere = self._texts("held out", held_out, train=False)
        mask = bytearray(repeats.firsts(self._texts("repeats", ["train"], train=True), elsewhere, self.normalized))
        if not mask:
            raise self._without_train()
        if not any(mask):
            raise DataError(f"every sentence of {self.texts['train'].label} stands in a held-out split, too")
        return mask

    def _texts(self, stage: str, splits: Sequence[str], *, train: bool) -> Iterator[str]:
        """The texts of training, or the others, in the files of some splits, before repeats are dropped."""
        for record in self._filtered(stage, _uncounted(), splits) if splits else ():
            if (record.split == "train") == train:
                yield record.text

    def records(self, stage: str, dropped: Dropped | None = None) -> Iterator[tuple[str, Record]]:
        """The split of each record, and the record; in the stage "count" those of the files of train alone.

        dropped: counts what the files have besides (see `read_records`). Raises `DataError` for a split that is empty,
        `UsageError` for records of a split that is to be drawn.
        """
        if self.cut and not self._sizes:
            counts = Counter(record.split for record in self._read("lines", _uncounted(), ["train"]))
            if not counts["train"]:
                raise self._without_train()
            check_drawn(self.to_draw, [split for split, count in counts.items() if count])
            missing = {split: fraction for split, fraction in self.cut.items() if not counts[split]}
            self._sizes = split_sizes(counts["train"], missing, self.texts["train"].label)
        drawn = itertools.chain(draw_splits(self._sizes, self.seed) if self.cut else (), itertools.repeat("train"))
        empty = True
        for record in self._read(stage, dropped or _uncounted(), ["train"] if stage == "count" else self.texts):
            split = next(drawn) if record.split == "train" else record.split
            empty = empty and split != "train"
            yield split, record
        if empty:
            raise self._without_train()

    def _without_train(self) -> DataError:
        label, column = self.texts["train"].label, self.reading.columns.split
        if column is None:
            return DataError(f"no sentences in {label}: the train split is empty", "a sentence a line")
        return DataError(
            f"no row of {label} with a text says train in the column {column!r}",
            "give some rows the split train",
        )

    def sentences(self, stage: str, dropped: Dropped) -> Iterator[tuple[str, str]]:
        """The text of each record in place of the record: a `SentenceSource` of `build`."""
        for split, record in self.records(stage, dropped):
            yield split, record.text
        self._joined = sum(counts["joined"] for counts in dropped.values())

    def extras(self, folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
        """Writes the labels and ids into the folder of the corpus: what `build` adds to it."""
        entries: dict[str, Any] = {"joined": self._joined, "text": self.reading.columns.text}
        ids = self.reading.columns.id is not None
        if not self.labels and not ids:
            return {}, entries
        with closing(LabelWriter(folder, self.labels, SPLITS, ids=ids)) as writer:
            for split, record in self.records("labels"):
                writer.add(split, record)
            digests, written = writer.finish()
        return digests, entries | written


def chosen_reading(texts: Mapping[str, SplitText], reading: Reading) -> Reading:
    """The reading with the column of the text. Raises `UsageError` for columns that do not go with the files."""
    columns = reading.columns
    if columns.split is not None and len(texts) > 1:
        raise UsageError("a column of splits does not go with files of splits", "leave one of them out")
    headers.refuse_length_label(columns)
    if _has_folders(texts):
        headers.refuse_folder_label(columns)
    return headers.choose_columns(((file.path, file.label) for text in texts.values() for file in text.files), reading)


def tables_recipe(texts: Mapping[str, SplitText], reading: Reading) -> dict[str, Any]:
    """What a corpus depends on beside the bytes of its files; nothing for text without labels."""
    formats = {split: [reading.format_of(file.label) for file in text.files] for split, text in texts.items()}
    if not _has_folders(texts) and {"txt"}.issuperset(itertools.chain.from_iterable(formats.values())):
        return {}
    labels = {split: [file.folder for file in text.files] for split, text in texts.items()}
    return {"records": {"formats": formats, "folders": labels, "columns": asdict(reading.columns)}}


def _has_folders(texts: Mapping[str, SplitText]) -> bool:
    return any(file.folder is not None for text in texts.values() for file in text.files)


def _uncounted() -> Dropped:
    return {split: Counter() for split in SPLITS}


def check_drawn(to_draw: Iterable[str], splits: Collection[str]) -> None:
    """Raises `UsageError` for a split that is to be drawn from train, and is one of those that the source has."""
    if twice := next((split for split in to_draw if split in splits), None):
        raise UsageError(f"the source has its own {twice} split: no share of train is drawn for it", "leave it out")


def split_sizes(total: int, fractions: dict[str, float], label: str) -> dict[str, int]:
    """The number of sentences of each split, at least one each, "train" included."""
    sizes = {split: max(1, round(total * fraction)) for split, fraction in fractions.items()}
    while sum(sizes.values()) >= total:
        largest = max(sizes, key=lambda split: sizes[split])
        if sizes[largest] == 1:
            empty = ("train", *fractions)[total]
            raise DataError(
                f"{label} has only {counted(total, 'sentence')}: the {empty} split is empty",
                "a line is a sentence: add lines, or give files with --valid and --test",
            )
        sizes[largest] -= 1
    return sizes | {"train": total - sum(sizes.values())}


def draw_splits(sizes: dict[str, int], seed: int) -> Iterator[str]:
    """Yields the split of each sentence in turn; every assignment with these `sizes` is equally likely.

    References: Knuth, The Art of Computer Programming 2, section 3.4.2, algorithm S (selection sampling).
    """
    draw = random.Random(seed).random
    valid, test = sizes.get("valid", 0), sizes.get("test", 0)
    for left in range(sizes["train"] + valid + test, 0, -1):
        point = draw() * left
        if point < valid:
            valid -= 1
            yield "valid"
        elif point < valid + test:
            test -= 1
            yield "test"
        else:
            yield "train"

"""Text sources: files, folders and streams, and the split that each belongs to."""

from __future__ import annotations

import glob
import itertools
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seqvae_cli.data import folders, readers
from seqvae_cli.data.catalog import CORPORA
from seqvae_cli.data.corpus import SPLITS
from seqvae_cli.data.readers import Reading
from seqvae_cli.data.records import Record
from seqvae_cli.errors import DataError, UsageError, meant
from seqvae_cli.system import files, places
from seqvae_cli.system.progress import ProgressReport

Filter = Callable[[Iterator[Record], bool], Iterator[Record]]
"""Drops, splits or changes the records of a file, of which the second argument says whether it is a table.

Called several times, it gives the same for the same records.
"""
MOST_COMPARED = 10_000
"""Files of a folder that a hint looks through for a similar name."""
MOST_NAMED = 5
"""Files of a source that are named, at most."""


@dataclass(frozen=True)
class TextSource:
    """The files of each split, read one after another; "train" is always present.

    A missing split is cut from "train". Streams, and paths that can be read only once (pipes), are spooled.
    """

    files: dict[str, tuple[Path | BinaryIO, ...]]
    description: str
    folders: Mapping[Path, str] = field(default_factory=dict)
    """The folder that a file lies in, where folders are labels."""


def expanded(items: Sequence[str | Path | BinaryIO]) -> list[Path | BinaryIO]:
    """The items with the files in place of each pattern (`*`, `?`, `[…]`, `**`), sorted.

    An existing path is not read as a pattern. Raises `DataError` for a pattern that no file matches.
    """
    found: list[Path | BinaryIO] = []
    for item in items:
        if not isinstance(item, str | Path) or os.path.lexists(item) or not any(sign in str(item) for sign in "*?["):
            found.append(Path(item) if isinstance(item, str) else item)
            continue
        names = glob.glob(str(item), recursive=True)  # noqa: PTH207  `Path.glob` takes no absolute patterns
        matching = sorted(path for path in map(Path, names) if not path.is_dir())
        if not matching:
            raise DataError(f"no file matches {item}", "give a file, a folder, or a pattern such as 'data/*.txt'")
        found += matching
    return found


def text_source(
    text: Path | BinaryIO | Sequence[Path | BinaryIO],
    valid: Path | None = None,
    test: Path | None = None,
    form: str | None = None,
) -> TextSource:
    """The source of files, streams and folders, one or several; `form`: the format of the files of a folder.

    What a folder holds is described in `folders.files_of`. Raises `DataError` for a missing path, `UsageError` where
    two files belong to one split.
    """
    found: dict[str, list[Path | BinaryIO]] = {}
    labels: dict[Path, str] = {}
    for item in text if isinstance(text, Sequence) else [text]:
        if isinstance(item, Path) and _is_folder(item):
            for split, path, label in folders.files_of(item, form):
                found.setdefault(split, []).append(path)
                if label is not None:
                    labels[path] = label
        else:
            found.setdefault("train", []).append(item)
    for split, held_out in (("valid", valid), ("test", test)):
        if held_out is not None and split in found:
            own = f"the source has its own {split} split: {_listed(found[split])}"
            raise UsageError(own, f"leave {held_out.name} out, or name the files of train")
        if held_out is not None:
            found[split] = [held_out]
    for file in itertools.chain.from_iterable(found.values()):
        if isinstance(file, Path):
            with files.machine_errors(file):
                if not file.exists():
                    raise DataError(f"{file} does not exist", _meant_source(file))
                if _is_folder(file):
                    raise DataError(f"{file} is a folder", "give a text file")
    ordered = {split: tuple(found[split]) for split in SPLITS if split in found}
    every = itertools.chain.from_iterable(ordered.values())
    # Their names alone: a corpus may travel, and folders tell whose it was.
    named = [Path(one.name) if isinstance(one, Path) else one for one in every]
    return TextSource(ordered, _listed(named), labels)


def _listed(items: Sequence[Path | BinaryIO]) -> str:
    more = f" and {len(items) - MOST_NAMED:,} more" if len(items) > MOST_NAMED else ""
    return ", ".join(map(_label, items[:MOST_NAMED])) + more


def _meant_source(path: Path) -> str:
    """A hint for a path that does not exist: a file of its folder with a similar name, or a known corpus."""
    known = [] if path.suffix or len(path.parts) > 1 else ["toy", *CORPORA]
    try:
        names = [entry.name for entry in itertools.islice(path.parent.iterdir(), MOST_COMPARED)]
    except OSError:  # the folder is missing, too
        names = []
    if found := meant(path.name, [*known, *sorted(names)]):
        return f"did you mean {str(path.with_name(found))!r}?"
    return f"give a file or a folder of text, or a known corpus: {', '.join(('toy', *CORPORA))}"


def name_of(source: str) -> str:
    """A corpus name derived from a path: news for dir/News.txt, stdin for "-"."""
    name = "stdin" if source == "-" else readers.stem(Path(source).absolute().name)
    return re.sub(r"[^a-z0-9._-]+", "-", name).lstrip("._-")[:64] or "text"


class StageProgress:
    """Sums the bytes that the steps of a stage report."""

    def __init__(self, watch: ProgressReport | None) -> None:
        self._watch, self._stage, self._done, self._total = watch, "", 0, 0

    def start(self, stage: str, total: int) -> None:
        self._stage, self._done, self._total = stage, 0, total

    def advance(self, count: int) -> None:
        self._done += count
        if self._watch:
            self._watch(self._stage, self._done, self._total)


class SourceFile(NamedTuple):
    path: Path
    label: str
    """Its name in messages: that of the stream or pipe, where it is a copy of one."""
    folder: str | None
    """The value of its label `folder`; None where the corpus has none."""


class SplitText:
    """The files of one split; those that can be read only once are spooled."""

    def __init__(
        self,
        split: str,
        items: tuple[Path | BinaryIO, ...],
        progress: StageProgress,
        stack: ExitStack,
        folders: Mapping[Path, str],
    ) -> None:
        self.split, self.progress = split, progress
        self.label = _listed(items)
        self.files = [
            SourceFile(
                item if isinstance(item, Path) and item.is_file() else _spool(item, stack),
                _label(item),
                (folders.get(item, "") if isinstance(item, Path) else "") if folders else None,
            )
            for item in items
        ]
        self.size = sum(file.path.stat().st_size for file in self.files)
        self._stamps = self._stamp()

    def _stamp(self) -> list[tuple[int, int]]:
        stats = [file.path.stat() for file in self.files]
        return [(stat.st_size, stat.st_mtime_ns) for stat in stats]

    def digests(self) -> list[str]:
        advance = self._checked_advance()
        return [files.sha256(file.path, advance) for file in self.files]

    def records(
        self, reading: Reading, dropped: Counter[str], *, keep_blank: bool = False, filters: Sequence[Filter] = ()
    ) -> Iterator[Record]:
        """Yields the records, each with its split: that of the files, if no column tells another.

        keep_blank: yields those that are blank or too long as well, with an empty text.
        filters: applied to the records of each file in turn.

        Raises `DataError` where all are blank, or a file changed since the start.
        """
        empty, advance, long_before = True, self._checked_advance(), dropped["too_long"]
        for file in self.files:
            records = readers.read_records(
                file.path,
                reading,
                label=file.label,
                folder=file.folder,
                split=self.split,
                keep_blank=keep_blank,
                dropped=dropped,
                advance=advance,
            )
            for change in filters:
                records = change(records, reading.is_table(file.label))
            for record in records:
                empty = empty and not record.text
                yield record
        if empty and (long := dropped["too_long"] - long_before):
            lines = "one line of" if long == 1 else f"{long:,} lines over 1 MiB in"
            raise DataError(
                f"{self.label} is {lines} {self.size / 1e6:.1f} MB, not a sentence a line",
                "put each sentence on a line of its own first, with a sentence splitter such as that of NLTK or spaCy",
            )
        if empty:
            raise DataError(f"no sentences in {self.label}: the {self.split} split is empty", "a sentence a line")
        if self._stamp() != self._stamps:
            raise self._changed()

    def _checked_advance(self) -> Callable[[int], None]:
        """Reports progress; raises `DataError` beyond the initial size, since a growing file could be read forever."""
        left = self.size

        def advance(count: int) -> None:
            nonlocal left
            left -= count
            if left < 0:
                raise self._changed()
            self.progress.advance(count)

        return advance

    def _changed(self) -> DataError:
        return DataError(f"{self.label} changed while it was read", "start again when it is complete")


def _spool(item: Path | BinaryIO, stack: ExitStack) -> Path:
    path = stack.enter_context(files.claimed(places.cache(), "text"))
    with files.machine_errors(path), open(path, "xb") as spool:
        if isinstance(item, Path):
            with files.machine_errors(item), open(item, "rb") as stream:
                shutil.copyfileobj(stream, spool, 1 << 20)
        else:
            shutil.copyfileobj(item, spool, 1 << 20)
    return path


def _label(item: Path | BinaryIO) -> str:
    return str(item) if isinstance(item, Path) else "standard input"


def _is_folder(path: Path) -> bool:
    with files.machine_errors(path):
        return path.is_dir()

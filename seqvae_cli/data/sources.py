"""Text sources: files, folders and streams, and the split that each belongs to."""

from __future__ import annotations

import itertools
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from seqvae_cli.data.catalog import CORPORA
from seqvae_cli.data.corpus import SPLITS
from seqvae_cli.data.text import read_lines
from seqvae_cli.errors import DataError, UsageError, meant
from seqvae_cli.system import files, places
from seqvae_cli.system.progress import ProgressReport

MOST_COMPARED = 10_000
"""Files of a folder that a hint looks through for a similar name."""
_SPLIT_FILE = re.compile(r"(?:.*[._-])?(train|valid|validation|val|dev|test)\.txt")
_ALIASES = {"validation": "valid", "val": "valid", "dev": "valid"}


@dataclass(frozen=True)
class TextSource:
    """The files of each split, read one after another; "train" is always present.

    A missing split is cut from "train". Streams, and paths that can be read only once (pipes), are spooled.
    """

    files: dict[str, tuple[Path | BinaryIO, ...]]
    description: str


def text_source(text: Path | BinaryIO, valid: Path | None = None, test: Path | None = None) -> TextSource:
    """The source of a file, a stream or a folder.

    A folder holds train.txt (or NAME.train.txt) and optionally valid (val, dev) and test files; otherwise all its .txt
    files, in sorted order, are one text. Raises `DataError` for a missing path, `UsageError` where two files belong to
    one split.
    """
    found: dict[str, tuple[Path | BinaryIO, ...]] = {"train": (text,)}
    if isinstance(text, Path) and _is_folder(text):
        found = dict(_folder_files(text))
    found |= {split: (path,) for split, path in (("valid", valid), ("test", test)) if path is not None}
    for path in itertools.chain.from_iterable(found.values()):
        if isinstance(path, Path):
            with files.machine_errors(path):
                if not path.exists():
                    raise DataError(f"{path} does not exist", _meant_source(path))
                if _is_folder(path):
                    raise DataError(f"{path} is a folder", "give a text file")
    ordered = {split: found[split] for split in SPLITS if split in found}
    return TextSource(ordered, ", ".join(_label(item) for item in itertools.chain.from_iterable(ordered.values())))


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
    name = "stdin" if source == "-" else Path(source).absolute().name.lower().removesuffix(".txt")
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


class SplitText:
    """The files of one split; those that can be read only once are spooled."""

    def __init__(
        self, split: str, items: tuple[Path | BinaryIO, ...], encoding: str, progress: StageProgress, stack: ExitStack
    ) -> None:
        self.split, self.encoding, self.progress = split, encoding, progress
        self.label = ", ".join(map(_label, items))
        self.paths = [
            (item if isinstance(item, Path) and item.is_file() else _spool(item, stack), _label(item)) for item in items
        ]
        self.size = sum(path.stat().st_size for path, _ in self.paths)
        self._stamps = self._stamp()

    def _stamp(self) -> list[tuple[int, int]]:
        stats = [path.stat() for path, _ in self.paths]
        return [(stat.st_size, stat.st_mtime_ns) for stat in stats]

    def digests(self) -> list[str]:
        advance = self._checked_advance()
        return [files.sha256(path, advance) for path, _ in self.paths]

    def lines(self, dropped: Counter[str], keep_blank: bool = False) -> Iterator[str]:
        """Yields the lines; those that are blank or too long as empty ones where `keep_blank`, else not at all.

        Raises `DataError` where all are, or a file changed since the start.
        """
        empty, advance, long_before = True, self._checked_advance(), dropped["too_long"]
        for path, label in self.paths:
            options: dict[str, Any] = {"keep_blank": keep_blank, "label": label, "dropped": dropped, "advance": advance}
            for line in read_lines(path, self.encoding, **options):
                empty = empty and not line
                yield line
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


def _folder_files(folder: Path) -> Iterator[tuple[str, tuple[Path, ...]]]:
    with files.machine_errors(folder):
        texts = sorted(path for path in folder.iterdir() if path.match("[!.]*.txt") and not path.is_dir())
    if not texts:
        raise DataError(f"{folder} has no .txt files")
    found: dict[str, Path] = {}
    for path in texts:
        if match := _SPLIT_FILE.fullmatch(path.name.lower()):
            split = _ALIASES.get(match[1], match[1])
            if split in found:
                raise UsageError(f"{found[split]} and {path} are both {split} files", "name one with --valid or --test")
            found[split] = path
    if "train" not in found:
        yield "train", tuple(texts)
        return
    yield from ((split, (path,)) for split, path in found.items())

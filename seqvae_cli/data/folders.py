"""The files of a folder, and what the names of files and folders tell: the split, the label."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from seqvae_cli.data.readers import FORMATS, format_by_ending, stem
from seqvae_cli.data.records import SPLIT_VALUES
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.system import files

FOLDER = "folder"
"""The name of the label that folders in a folder are."""
MAX_DEPTH = 10
"""Folders below each other, at most."""
_SPLIT_FILE = re.compile(rf"(?:.*[._-])?({'|'.join(SPLIT_VALUES)})(-\d+-of-\d+)?")


class Found(NamedTuple):
    """A file of a folder."""

    split: str
    path: Path
    label: str | None
    """The folder that it lies in, below the one that was given and below that of its split; None: in neither."""


def files_of(folder: Path, form: str | None = None) -> list[Found]:
    """The files of a folder with text, in sorted order, of one format: `form`, else txt, else the only one there is.

    Files named train, valid (val, dev) and test, alone or as NAME.train.txt, are splits where one is train; otherwise
    all are of train. A folder without such files, but with folders that have some, gives their files: the names of
    these folders are labels, but for an outermost one named train, valid or test.

    Raises `DataError` where there are none, `UsageError` for files of several formats, or two of one split.
    """
    with files.machine_errors(folder):
        own = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and not path.is_dir()]
        plain = [path for path in own if path.name.endswith(".txt")]
        if kept := plain if plain and form in (None, "txt") else _of_one_format(own, form, folder):
            return list(_by_name(kept))
        below = _of_one_format(_walk(folder), form, folder)
    if not below:
        kinds = [form] if form else FORMATS
        endings = [ending for kind in kinds if kind in FORMATS for ending in FORMATS[kind].endings[:1]]
        raise DataError(f"{folder} has no {', '.join(endings)} files", "name the files that have the text")
    return list(_by_folder(below, folder))


def _walk(folder: Path) -> Iterator[Path]:
    """The files of the folders in a folder, in sorted order, without hidden ones; links are not followed."""

    def fail(error: OSError) -> None:
        raise error

    for here, names, found in os.walk(folder, onerror=fail):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if len(Path(here).relative_to(folder).parts) >= MAX_DEPTH:
            names.clear()
        yield from (Path(here, name) for name in sorted(found) if not name.startswith("."))


def _of_one_format(paths: Iterable[Path], form: str | None, folder: Path) -> list[Path]:
    by_format: dict[str, list[Path]] = {}
    for path in paths:
        if kind := format_by_ending(path.name):
            by_format.setdefault(kind, []).append(path)
    if form is None and len(by_format) > 1 and "txt" not in by_format:
        endings = " and ".join(FORMATS[kind].endings[0] for kind in by_format)
        raise UsageError(f"{folder} has {endings} files", f"choose one: --format {next(iter(by_format))}")
    return by_format.get(form or ("txt" if "txt" in by_format else next(iter(by_format), "")), [])


def _by_name(paths: list[Path]) -> Iterator[Found]:
    """The files with the splits that their names tell. Raises `UsageError` for two of a split that are not parts."""
    matches = [(path, _SPLIT_FILE.fullmatch(stem(path.name))) for path in paths]
    splits = [(SPLIT_VALUES[match[1]], path, bool(match[2])) for path, match in matches if match]
    if not any(split == "train" for split, _, _ in splits):
        yield from (Found("train", path, None) for path in paths)
        return
    first: dict[str, Path] = {}
    for split, path, part in splits:
        if split in first and not part:
            raise UsageError(f"{first[split]} and {path} are both {split} files", "name one with --valid or --test")
        first.setdefault(split, path)
        yield Found(split, path, None)


def _by_folder(paths: list[Path], folder: Path) -> Iterator[Found]:
    parents = {path: path.relative_to(folder).parts[:-1] for path in paths}
    splits = {parts[0]: SPLIT_VALUES.get(parts[0].lower()) for parts in parents.values()}
    by_split = "train" in splits.values() and None not in splits.values()
    for path, parts in parents.items():
        label = "/".join(parts[1:] if by_split else parts)
        yield Found((splits[parts[0]] or "") if by_split else "train", path, label or None)

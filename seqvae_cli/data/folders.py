"""The files of a folder, and what the names of files and folders tell: the split, the label."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from seqvae_cli.data.readers import FORMATS, check_format, format_by_ending, stem
from seqvae_cli.data.records import SPLIT_VALUES
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.system import files

FOLDER = "folder"
"""The name of the label that folders in a folder are."""
MAX_DEPTH = 100
"""Folders below each other, at most: more than people have, and fewer than recursion allows."""
ABOUT = ("readme", "license", "licence")
"""Names of files that tell of the others, and are left out."""
MOST_SHOWN = 3
"""Files that an error names, at most."""
_SPLIT_FILE = re.compile(rf"(?:.*[._-])?({'|'.join(SPLIT_VALUES)})(-\d+-of-\d+)?")


class Found(NamedTuple):
    """A file of a folder."""

    split: str
    path: Path
    label: str | None
    """The folder that it lies in, below the one that was given and below that of its split; None: in neither."""


def files_of(folder: Path, form: str | None = None) -> list[Found]:
    """The files of a folder with text, in sorted order, of one format: `form`, else the only one there is.

    Files named train, valid (val, dev) and test, alone or as NAME.train.txt, are splits where one is train; otherwise
    all are of train. A folder without files of its own, but with folders that have some, gives their files: the names
    of these folders are labels, but for an outermost one named train, valid or test, where one is train.

    Raises `DataError` where there are none. `UsageError` for an unknown format, and for what would leave files out or
    lead them into a wrong split: files of several formats, own files beside those in folders, two of one split, and
    files or folders beside those that are named as splits.
    """
    if form is not None:
        check_format(form)
    with files.machine_errors(folder):
        found = _of_one_format(folder, form)
    own = [path for path in found if path.parent == folder]
    if own and len(own) < len(found):
        below = [path for path in found if path.parent != folder]
        raise UsageError(
            f"{folder} has files of its own ({_shown(own, folder)}) and folders with some ({_shown(below, folder)})",
            "name the files that have the text, or move the others away",
        )
    if not found:
        kinds = [form] if form else FORMATS
        endings = ", ".join(FORMATS[kind].endings[0] for kind in kinds)
        raise DataError(f"{folder} has no {endings} files", "name the files that have the text")
    if own:
        splits = _splits_by_name(own, folder)
        return [Found(splits.get(path, "train"), path, None) for path in own]
    return list(_by_folder(found, folder))


def skipped(folder: Path) -> list[str]:
    """The files below a folder that `files_of` takes for no text, by their endings, without README and LICENSE."""
    with files.machine_errors(folder):
        others = [path for path in _walk(folder) if not format_by_ending(path.name)]
    told = [path for path in others if path.name.lower().partition(".")[0] not in ABOUT]
    return [str(path.relative_to(folder)) for path in told]


def _of_one_format(folder: Path, form: str | None) -> list[Path]:
    """The files with text below a folder. Raises `UsageError` for files of several formats, of which none is chosen."""
    by_format: dict[str, list[Path]] = {}
    for path in _walk(folder):
        if (kind := format_by_ending(path.name)) and stem(path.name) not in ABOUT:
            by_format.setdefault(kind, []).append(path)
    if form is not None:
        return by_format.get(form, [])
    if len(by_format) > 1:
        endings = " and ".join(FORMATS[kind].endings[0] for kind in by_format)
        examples = ", ".join(_shown(paths[:1], folder) for paths in by_format.values())
        choices = " or ".join(f"--format {kind}" for kind in by_format)
        raise UsageError(f"{folder} has {endings} files: {examples}", f"choose one: {choices}")
    return next(iter(by_format.values()), [])


def _walk(folder: Path) -> Iterator[Path]:
    """The files of a folder and the folders in it, in sorted order, without hidden ones; links are not followed."""

    def fail(error: OSError) -> None:
        raise error

    for here, names, found in os.walk(folder, onerror=fail):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if len(Path(here).relative_to(folder).parts) >= MAX_DEPTH:
            names.clear()
        yield from (Path(here, name) for name in sorted(found) if not name.startswith("."))


def _splits_by_name(paths: Sequence[Path], folder: Path) -> dict[Path, str]:
    """The splits of files that lie together, as their names tell; none where no name is that of train.

    Raises `UsageError` where some have another name, and for two of a split that are not parts of one.
    """
    matches = {path: match for path in paths if (match := _SPLIT_FILE.fullmatch(stem(path.name)))}
    splits = {path: SPLIT_VALUES[match[1]] for path, match in matches.items()}
    if "train" not in splits.values():
        return {}
    if others := [path for path in paths if path not in splits]:
        raise UsageError(
            f"{folder} has files named as splits ({_shown(list(splits), folder)}) and others"
            f" ({_shown(others, folder)})",
            "rename or move the others, or name the files: those of train, --valid FILE, --test FILE",
        )
    first: dict[str, Path] = {}
    for path, split in splits.items():
        if split in first and not matches[path][2]:
            raise UsageError(f"{first[split]} and {path} are both {split} files", "name one with --valid or --test")
        first.setdefault(split, path)
    return splits


def _by_folder(paths: Sequence[Path], folder: Path) -> Iterator[Found]:
    """The files with their splits, told by the outermost folders or else by their names, and the folders as labels."""
    parents = {path: path.relative_to(folder).parts[:-1] for path in paths}
    splits = {parts[0]: SPLIT_VALUES.get(parts[0].lower()) for parts in parents.values()}
    if "train" in splits.values():
        named = [name for name, split in splits.items() if split]
        if others := [name for name, split in splits.items() if split is None]:
            raise UsageError(
                f"{folder} has folders named as splits ({listed(named)}) and others ({listed(others)})",
                "move the others away, or name the files of one split",
            )
        if twice := [name for name in named if list(splits.values()).count(splits[name]) > 1]:
            raise UsageError(f"the folders {listed(twice)} of {folder} are of one split", "move one of them away")
        for path, parts in parents.items():
            yield Found(splits[parts[0]] or "", path, "/".join(parts[1:]) or None)
        return
    for parent, together in itertools.groupby(paths, key=lambda path: path.parent):
        members = list(together)
        by_name = _splits_by_name(members, parent)
        for path in members:
            yield Found(by_name.get(path, "train"), path, "/".join(parents[path]))


def _shown(paths: Sequence[Path], folder: Path) -> str:
    return listed([str(path.relative_to(folder)) for path in paths])


def listed(names: Sequence[str]) -> str:
    """The names for a message; of many the first ones, and how many more there are."""
    more = f" and {len(names) - MOST_SHOWN:,} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more

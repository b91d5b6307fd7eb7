"""Creates, finds and lists run folders. The folders are the only record; there is no database."""

from __future__ import annotations

import errno
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqvae_cli.errors import DataError, MachineError, NotFoundError, UsageError, nearest
from seqvae_cli.runs.run import NAME, NAME_RULE, RUN_FORMAT, Run
from seqvae_cli.system import files, json_files, places
from seqvae_cli.version import __version__

ALIASES = ("latest", "best")
"""Names that stand for a run: the one created last, and the one with the lowest validation -ELBO."""
RESERVED = (*ALIASES, "auto")
_FOLDER_HINT = "name the folder of a run, such as seqvae runs path prints"


def check_name(name: str) -> str:
    """Returns `name`. Raises `UsageError` with the rule where a run cannot have it."""
    if not NAME.fullmatch(name) or name in RESERVED:
        raise UsageError(f"{name!r} is not a valid name for a run", f"{NAME_RULE}; not {' or '.join(RESERVED)}")
    return name


def check_free(name: str) -> None:
    """Raises `UsageError` where a new run cannot have this name."""
    if (places.runs() / check_name(name)).exists():
        raise _taken_error(name)


def create(
    prefix: str,
    *,
    config: str,
    tokenizer: bytes,
    corpus: dict[str, Any],
    preset: str | None = None,
    name: str | None = None,
    fill: Callable[[Path], dict[str, Any]] = lambda _: {},
) -> Run:
    """A new run folder: `name`, else `prefix-N` with N after the highest. Safe beside other processes.

    preset: what the settings began with. fill: writes more into the folder before it gets its name; returns more
    entries of run.json.

    Raises `UsageError` where `name` is taken or invalid.
    """
    root = places.runs()
    if name is not None:
        check_free(name)
    with files.claimed(root, "run") as draft:
        with files.machine_errors(draft):
            draft.mkdir()  # fails on a symbolic link, which `files.write` would follow
        digests = {
            "config.yaml": files.write(draft / "config.yaml", config.encode()),
            "tokenizer.json": files.write(draft / "tokenizer.json", tokenizer),
        }
        info = {
            "format": RUN_FORMAT,
            "status": "created",
            "created": _next_timestamp(),
            "preset": preset,
            "corpus": corpus,
            "files": digests,
            "versions": {"seqvae": __version__, "python": platform.python_version(), "platform": platform.platform()},
        }
        json_files.write(draft / "run.json", info | fill(draft), sealed=True)
        return Run(publish(draft, name, prefix))


def _next_timestamp() -> int:
    """Nanoseconds since 1970, later than those of all runs, even where the clock went back."""
    return min(json_files.MAX_TIME, max([time.time_ns(), *(int(run.info["created"]) + 1 for run in runs()[0])]))


def publish(draft: Path, name: str | None, prefix: str = "") -> Path:
    """Renames the finished folder `draft` to `name`, else `prefix-N`, so that a run appears as a whole.

    Raises `UsageError` where `name` is taken.
    """
    root = places.runs()
    with files.machine_errors(root):
        path = _rename(draft, root, name, prefix)
        files.sync_directory(root)
    return path


def _rename(draft: Path, root: Path, name: str | None, prefix: str) -> Path:
    taken = [re.fullmatch(re.escape(prefix) + r"-(\d{1,9})", path.name) for path in root.iterdir()]
    number = 1 + max((int(match[1]) for match in taken if match), default=0)
    while True:
        path = root / (name or f"{prefix}-{number}")
        try:
            return draft.rename(path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            if name:
                raise _taken_error(name) from error
            number += 1


def _taken_error(name: str) -> UsageError:
    return UsageError(f"run {name!r} exists already", "choose another --name")


def names() -> list[str]:
    """Names of all run folders, damaged ones included, sorted."""
    root = places.runs()
    return (
        sorted(path.name for path in root.iterdir() if path.is_dir() and NAME.fullmatch(path.name))
        if root.is_dir()
        else []
    )


def runs() -> tuple[list[Run], list[tuple[str, str]]]:
    """All readable runs, oldest first; and the name of each unreadable one with the reason."""
    good, bad = [], []
    for name in names():
        try:
            good.append(Run(places.runs() / name))
        except (DataError, MachineError) as error:
            bad.append((name, error.message))
    return sorted(good, key=lambda run: (run.info["created"], run.name)), bad


def locate(name: str) -> Path:
    """The folder of the run, damaged or not, of that name or unique prefix.

    Raises `NotFoundError`, `UsageError` for an ambiguous prefix or an invalid name.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a valid run name", NAME_RULE)
    known = names()
    matches = [name] if name in known else [other for other in known if other.startswith(name)]
    if len(matches) > 1:
        raise UsageError(f"{name!r} matches several runs: {', '.join(matches[:8])}", "write more of the name")
    if not matches:
        raise NotFoundError(f"no run {name!r}", nearest(name, known) or "seqvae train")
    return places.runs() / matches[0]


def find(name: str = "latest", *, trained: bool = False) -> Run:
    """The run of a name, a unique prefix, or an alias: `latest` or `best`.

    `best` has the lowest validation -ELBO of the runs on the corpus of the latest one. With `trained`, the aliases
    skip runs without a checkpoint. Raises `NotFoundError`, `UsageError` for an ambiguous prefix.
    """
    if name in ALIASES:
        found = [run for run in runs()[0] if run.has_checkpoint() or not trained]
        if not found:
            raise NotFoundError("there is no run yet" if not names() else "no run has a checkpoint yet", "seqvae train")
        latest = found[-1]
        if name == "latest":
            return latest
        same_corpus = [run for run in found if run.info["corpus"]["hash"] == latest.info["corpus"]["hash"]]
        scored = [run for run in same_corpus if run.info.get("best_neg_elbo") is not None]
        if not scored:
            raise NotFoundError("no run has been validated yet", "name one: seqvae runs list")
        return min(scored, key=lambda run: float(run.info["best_neg_elbo"]))
    return Run(locate(name))


def find_anywhere(run: str | Path) -> Run:
    """The trained run that `find` knows by this name; a `Path`, or a string with a separator, is its folder.

    Raises what `find` and `in_folder` raise.
    """
    if isinstance(run, Path) or os.sep in run or (os.altsep or os.sep) in run:
        return in_folder(run)
    return find(run, trained=True)


def in_folder(path: str | Path) -> Run:
    """The run whose folder is `path`, in this home or anywhere. Raises `NotFoundError`, `DataError` for a damaged one.

    Links and `..` are resolved, so that the run has the name of its folder.
    """
    try:
        folder = Path(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL
        raise NotFoundError(f"no folder {str(path)!r:.80}", _FOLDER_HINT) from error
    with files.machine_errors(folder):
        if not (folder / "run.json").is_file():
            missing = "is not the folder of a run: it has no run.json" if folder.is_dir() else "does not exist"
            raise NotFoundError(f"{folder} {missing}", _FOLDER_HINT)
    return Run(folder)


def resumable() -> Run:
    """The latest run that was interrupted, else the latest that failed with a checkpoint. Raises `NotFoundError`.

    Runs with their weights alone, as archives may be, are left out: they cannot be resumed.
    """
    newest = [run for run in reversed(runs()[0]) if not run.info.get("weights_only")]
    for run in newest:
        if run.status == "interrupted":
            return run
    for run in newest:
        if run.status == "failed" and run.has_checkpoint():
            return run
    raise NotFoundError("no run was interrupted", "name the one to resume: seqvae runs list")

"""Run folders: create, find, list, tag. The folders are the truth; no database has to agree with them.

HOME/runs/NAME/
    run.json         status, lineage, versions, the corpus and its hash, digests of the two files below
    config.yaml      the resolved settings
    tokenizer.json
    metrics.jsonl    a line an epoch
    tags.json        apart from run.json, which the training process writes anew from what it remembers
    evaluations/     what `eval` found, a file each
    best/ last/      checkpoints
    lock             held by the process that trains
"""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from seqvae_cli.errors import UPGRADE, DataError, MachineError, NotFoundError, SeqvaeError, UsageError, nearest
from seqvae_cli.system import files, places
from seqvae_cli.version import __version__

FORMAT = 1
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
NAME_RULE = "1 to 100 lower-case letters, digits, '.', '_' and '-', a letter or digit first"
ALIASES = ("latest", "best")
"""Names that stand for a run: the one created last, and the one with the lowest validation -ELBO."""
RESERVED = (*ALIASES, "auto")
STATUSES = ("created", "running", "finished", "interrupted", "failed", "diverged")


class Run:
    """One run folder. `info` is its `run.json`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.info: dict[str, Any] = _read_info(path)

    @property
    def status(self) -> str:
        """What the run does now. `running` only while its lock is held: after a kill it is `interrupted`."""
        status = str(self.info["status"])
        if status in ("running", "created") and not self.locked():
            return "interrupted"
        return status

    def locked(self) -> bool:
        """Some process holds the lock of this run."""
        return held(self.path / "lock")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process. Raises `MachineError` naming the holder where another one has it."""
        with hold(self.path):
            yield

    def update(self, **values: Any) -> None:
        """Changes `run.json` on disk."""
        self.info = {**self.info, **values, "updated": time.time_ns()}
        files.write_json(self.path / "run.json", self.info, sealed=True)

    def start(self) -> None:
        self.update(status="running", holder={"pid": os.getpid(), "host": socket.gethostname()}, failure=None)

    def check_corpus(self, folder: str, digest: str) -> None:
        """Raises `DataError` with both hashes where the corpus in `folder` is not the one this run was trained on."""
        trained_on = str(self.info["corpus"]["hash"])
        if digest != trained_on:
            raise DataError(
                f"corpus {folder} has hash {digest[:12]}, run {self.name} was trained on {trained_on[:12]}",
                "prepare the corpus again as it was",
            )

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`, an epoch each."""
        return read_metrics(self.path / "metrics.jsonl")

    def tags(self) -> list[str]:
        """Raises `DataError` where `tags.json` is damaged."""
        return read_tags(self.path)

    def tag(self, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[str]:
        """Adds and removes tags; returns those that the run has then. Raises `UsageError` for what can be no tag."""
        add, remove = [check_tag(tag) for tag in add], [check_tag(tag) for tag in remove]
        # Two at once must not lose each other's; `lock` is no help, since a run is tagged while it trains, too.
        with files.machine_errors(self.path), FileLock(self.path / "tags.lock", timeout=10):
            tags = self.tags()
            if missing := sorted(set(remove).difference(tags)):
                raise UsageError(f"run {self.name} has no tag {missing[0]!r}", nearest(missing[0], tags))
            tags = sorted({*tags, *add}.difference(remove))
            files.write_json(self.path / "tags.json", tags)
        return tags

    def has_checkpoint(self) -> bool:
        return any(next((self.path / folder).glob("*/manifest.json"), None) for folder in ("best", "last"))


def held(lock: Path) -> bool:
    """Some process holds the file `lock`."""
    with files.machine_errors(lock):
        if not lock.exists():
            return False
        if sys.platform == "win32":
            try:
                with FileLock(lock, timeout=0):
                    return False
            except OSError:
                return True
        import fcntl

        with open(lock, "rb") as file:
            try:
                # Shared, so that those who only look do not take each other for the one who works.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
    return False


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Holds the run folder `path`, damaged or not, for this process. Raises `MachineError` where another one has it."""
    lock = FileLock(path / "lock", timeout=2)  # `held` of others has it for a moment
    with files.machine_errors(path / "lock"):
        try:
            lock.acquire()
        except Timeout as error:  # an OSError too
            raise in_use(path) from error
    try:
        yield
    finally:
        lock.release()


def in_use(path: Path) -> MachineError:
    """The error that names who trains the run in `path`."""
    try:
        holder = _read_info(path).get("holder")
    except SeqvaeError:
        holder = None
    known = holder if isinstance(holder, dict) else {}
    who = f"process {known.get('pid', '?')} on {known.get('host', '?')}"
    return MachineError(f"run {path.name} is being trained by {who}", "wait for it, or stop it first")


def read_tags(path: Path) -> list[str]:
    """The tags of the run in `path`. Raises `DataError`."""
    file = path / "tags.json"
    if not file.exists():
        return []
    tags = files.read_json(file)
    if not isinstance(tags, list) or not all(isinstance(tag, str) and NAME.fullmatch(tag) for tag in tags):
        raise DataError(f"{file} holds no tags", "delete it, then tag the run again")
    return tags


def read_metrics(path: Path) -> list[dict[str, Any]]:
    try:
        with files.machine_errors(path):
            text = path.read_bytes() if path.exists() else b""
        lines = [
            json.loads(line, parse_constant=files.reject_constant, parse_float=files.finite_number)
            for line in text.decode().splitlines()
        ]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not all(isinstance(line, dict) for line in lines):
        raise DataError(f"{path} has lines that are no metrics")
    return lines


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def check_name(name: str) -> str:
    """Raises `UsageError` with the rule."""
    if not NAME.fullmatch(name) or name in RESERVED:
        raise UsageError(f"{name!r} is no name for a run", f"{NAME_RULE}; not {' or '.join(RESERVED)}")
    return name


def check_tag(tag: str) -> str:
    """Raises `UsageError` with the rule."""
    if not NAME.fullmatch(tag):
        raise UsageError(f"{tag!r} is no tag", NAME_RULE)
    return tag


def create(prefix: str, *, config: str, tokenizer: bytes, corpus: dict[str, Any], name: str | None = None) -> Run:
    """A new run folder: `name`, else `prefix-N` with the first free N. Safe beside other processes.

    Raises `UsageError` where `name` is taken or no name.
    """
    root = places.runs()
    if name is not None and (root / check_name(name)).exists():
        raise _taken(name)
    with files.claimed(root, "run") as draft:
        with files.machine_errors(draft):
            draft.mkdir()  # which no link can stand in for
        digests = {
            "config.yaml": files.write(draft / "config.yaml", config.encode()),
            "tokenizer.json": files.write(draft / "tokenizer.json", tokenizer),
        }
        info = {
            "format": FORMAT,
            "status": "created",
            "created": time.time_ns(),
            "corpus": corpus,
            "files": digests,
            "versions": {"seqvae": __version__, "python": platform.python_version(), "platform": platform.platform()},
        }
        files.write_json(draft / "run.json", info, sealed=True)
        return Run(publish(draft, name, prefix))


def publish(draft: Path, name: str | None, prefix: str = "") -> Path:
    """Renames a whole folder into place, so that nobody sees half a run; a taken name cannot be renamed to.

    It is named `name`, else `prefix-N`. Raises `UsageError` where `name` is taken.
    """
    root = places.runs()
    with files.machine_errors(root):
        path = _renamed(draft, root, name, prefix)
        files.sync_directory(root)
    return path


def _renamed(draft: Path, root: Path, name: str | None, prefix: str) -> Path:
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
                raise _taken(name) from error
            number += 1


def _taken(name: str) -> UsageError:
    return UsageError(f"there is a run {name!r} already", "choose another --name, or --resume it")


def names() -> list[str]:
    """Names of all run folders, damaged ones too."""
    root = places.runs()
    return (
        sorted(path.name for path in root.iterdir() if path.is_dir() and NAME.fullmatch(path.name))
        if root.is_dir()
        else []
    )


def runs() -> tuple[list[Run], list[tuple[str, str]]]:
    """All runs, oldest first, and those that cannot be read, each with the reason."""
    good, bad = [], []
    for name in names():
        try:
            good.append(Run(places.runs() / name))
        except (DataError, MachineError) as error:
            bad.append((name, error.message))
    return sorted(good, key=lambda run: (run.info["created"], run.name)), bad


def locate(name: str) -> Path:
    """The folder of the run of that name or unique prefix, which may be damaged.

    Raises `NotFoundError`, `UsageError` for an ambiguous prefix or no name.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a run", NAME_RULE)
    known = names()
    matches = [name] if name in known else [other for other in known if other.startswith(name)]
    if len(matches) > 1:
        raise UsageError(f"{name!r} could be {', '.join(matches[:8])}", "write more of the name")
    if not matches:
        raise NotFoundError(f"no run {name!r}", nearest(name, known) or "seqvae train")
    return places.runs() / matches[0]


def find(name: str = "latest", *, trained: bool = False) -> Run:
    """The run that is meant: a name, a unique prefix, `latest`, or `best`.

    `best` has the lowest validation -ELBO of all runs on the corpus of the latest one. `trained` passes over runs
    without a checkpoint in `latest`. Raises `NotFoundError`, `UsageError` for an ambiguous prefix.
    """
    if name in ALIASES:
        found = [run for run in runs()[0] if run.has_checkpoint() or not trained]
        if not found:
            raise NotFoundError("there is no run yet" if not names() else "no run has a checkpoint yet", "seqvae train")
        latest = found[-1]
        if name == "latest":
            return latest
        same = [run for run in found if run.info["corpus"]["hash"] == latest.info["corpus"]["hash"]]
        scored = [run for run in same if run.info.get("best_neg_elbo") is not None]
        if not scored:
            raise NotFoundError("no run has been validated yet", "name one: seqvae runs list")
        return min(scored, key=lambda run: float(run.info["best_neg_elbo"]))
    return Run(locate(name))


def resumable() -> Run:
    """The latest run that was interrupted, else the latest that failed with a checkpoint. Raises `NotFoundError`."""
    newest = list(reversed(runs()[0]))
    for run in newest:
        if run.status == "interrupted":
            return run
    for run in newest:
        if run.status == "failed" and run.has_checkpoint():
            return run
    raise NotFoundError("no run was interrupted", "name the one to resume: seqvae runs list")


def _read_info(path: Path) -> dict[str, Any]:
    info = files.read_json(path / "run.json")
    if not isinstance(info, dict) or not isinstance(info.get("format"), int):
        raise DataError(f"{path / 'run.json'} describes no run")
    if info["format"] > FORMAT:
        raise DataError(f"{path} was written by a newer seqvae (format {info['format']})", UPGRADE)
    info = files.unseal(info, path / "run.json")
    corpus = info.get("corpus")
    if info.get("status") not in STATUSES or not isinstance(info.get("created"), int) or not isinstance(corpus, dict):
        raise DataError(f"{path / 'run.json'} describes no run")
    sizes = [("threads", 4096), ("epochs", 10**6), ("epoch", 10**6)]
    counts = all(info.get(key) is None or _whole(info[key], 0, most) for key, most in sizes)
    best = info.get("best_neg_elbo", 0.0)
    if (
        not all(isinstance(corpus.get(key), str) for key in ("name", "folder", "hash"))
        or (best is not None and not isinstance(best, int | float))
        or not counts
        or not _whole(info["created"], 0, 2**63)
    ):
        raise DataError(f"{path / 'run.json'} describes no run")
    return info

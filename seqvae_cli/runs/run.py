"""One run folder: its files, status, lock, metrics and tags.

HOME/runs/NAME/
    run.json         status, lineage, versions, the corpus and its hash, digests of the two files below
    config.yaml      the resolved settings
    tokenizer.json
    metrics.jsonl    a line an epoch
    tags.json        separate, since the training process rewrites run.json from memory; tags.lock guards it
    init/            weights that `train --init` began with
    logs/            of `train --log`, a folder each
    evaluations/     the results of `eval`, a file each
    maps/            neighbourhood maps of `play`, a file each
    best/ last/      checkpoints
    step.json        the step of a training in progress (`runs.current_step`)
    codes/           codes of many sentences (`latent.code_sets`), made again where they are missing
    lock             held by the training process, which lock.json names
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from seqvae_cli.errors import UPGRADE, DataError, MachineError, NotFoundError, SeqvaeError, UsageError, nearest
from seqvae_cli.system import files, json_files

RUN_FORMAT = 1
HOLDER = "lock.json"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
NAME_RULE = "1 to 100 lower-case letters, digits, '.', '_' and '-', a letter or digit first"
STATUSES = ("created", "running", "finished", "interrupted", "failed", "diverged")


class Run:
    """One run folder. `info` is its `run.json`. Raises `DataError` where that is missing or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.info: dict[str, Any] = _read_info(path)

    @property
    def status(self) -> str:
        """One of `STATUSES`. `created` and `running` become `interrupted` once no process holds the lock."""
        status = str(self.info["status"])
        if status in ("running", "created") and not self.locked():
            return "interrupted"
        return status

    def locked(self) -> bool:
        """Whether a process holds the lock of this run."""
        return is_held(self.path / "lock")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the lock of the run, and reads `run.json` again.

        Raises `MachineError` that names the holder where another process has the lock, `DataError` for a damaged
        `run.json`, `NotFoundError` where the run was removed.
        """
        with hold_lock(self.path):
            self.info = _read_info(self.path)  # another process may have trained it since it was read
            holder = self.path / HOLDER
            with suppress(MachineError):  # on a full disk the lock still holds
                json_files.write(holder, {"pid": os.getpid(), "host": socket.gethostname()})
            try:
                yield
            finally:
                with suppress(OSError):
                    holder.unlink(missing_ok=True)

    def update(self, **values: Any) -> None:
        """Sets `values` in `run.json` on disk. Only within `lock`: what `info` holds is written back."""
        self.info = {**self.info, **values, "updated": time.time_ns()}
        json_files.write(self.path / "run.json", self.info, sealed=True)

    def start(self) -> None:
        """Marks the run as running in this process."""
        self.update(status="running", failure=None)

    def check_corpus(self, folder: str, digest: str) -> None:
        """Raises `DataError` with both hashes where the corpus in `folder`, of hash `digest`, is another one."""
        trained_on = str(self.info["corpus"]["hash"])
        if digest != trained_on:
            raise DataError(
                f"corpus {folder} has hash {digest[:12]}, run {self.name} was trained on {trained_on[:12]}",
                "prepare the corpus again as it was",
            )

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`, one an epoch. Raises `DataError`."""
        return read_metrics(self.path / "metrics.jsonl")

    def tags(self) -> list[str]:
        """The tags, sorted. Raises `DataError` where `tags.json` is damaged."""
        return read_tags(self.path)

    def tag(self, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[str]:
        """Adds and removes tags; returns the new list. Raises `UsageError` for a malformed or unknown tag."""
        add, remove = [check_tag(tag) for tag in add], [check_tag(tag) for tag in remove]
        # Concurrent calls must not lose each other's tags. `lock` cannot guard them: a run is tagged while it trains.
        _check_present(self.path)
        with files.machine_errors(self.path), FileLock(self.path / "tags.lock", timeout=10):
            tags = self.tags()
            if missing := sorted(set(remove).difference(tags)):
                raise UsageError(f"run {self.name} has no tag {missing[0]!r}", nearest(missing[0], tags))
            tags = sorted({*tags, *add}.difference(remove))
            json_files.write(self.path / "tags.json", tags)
        return tags

    def has_checkpoint(self) -> bool:
        return any(next((self.path / folder).glob("*/manifest.json"), None) for folder in ("best", "last"))


def is_held(lock: Path) -> bool:
    """Whether a process holds the file `lock`."""
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
                # Shared, so that two processes that only check do not see each other as holders.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
    return False


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Holds the lock of the run folder `path`, damaged or not.

    Raises `MachineError` where another process has it, `NotFoundError` if the folder is missing.
    """
    _check_present(path)
    lock = FileLock(path / "lock", timeout=2)  # another process's `is_held` takes it for a moment
    with files.machine_errors(path / "lock"):
        try:
            lock.acquire()
        except Timeout as error:  # an OSError too
            raise in_use_error(path) from error
    try:
        yield
    finally:
        lock.release()


def _check_present(path: Path) -> None:
    """Raises `NotFoundError` where the run folder is gone: a lock must not bring a removed run back in parts."""
    if not path.is_dir():
        raise NotFoundError(
            f"no run {path.name!r} any more", f"it may be in the trash: seqvae runs restore {path.name}"
        )


def in_use_error(path: Path) -> MachineError:
    """The error that names the process that holds the lock of the run in `path`."""
    try:
        holder = json_files.read(path / HOLDER)
    except SeqvaeError:
        holder = None
    known = holder if isinstance(holder, dict) else {}
    who = f"process {known.get('pid', '?')} on {known.get('host', '?')}"
    return MachineError(f"run {path.name} is being trained by {who}", "wait for it, or stop it first")


def check_tag(tag: str) -> str:
    """Returns `tag`. Raises `UsageError` with the rule."""
    if not NAME.fullmatch(tag):
        raise UsageError(f"{tag!r} is not a valid tag", NAME_RULE)
    return tag


def read_tags(path: Path) -> list[str]:
    """The tags of the run in `path`. Raises `DataError`."""
    file = path / "tags.json"
    if not file.exists():
        return []
    tags = json_files.read(file)
    if not isinstance(tags, list) or not all(isinstance(tag, str) and NAME.fullmatch(tag) for tag in tags):
        raise DataError(f"{file} is not a list of tags", "delete it, then tag the run again")
    return tags


def read_metrics(path: Path, *, growing: bool = False) -> list[dict[str, Any]]:
    """The lines of the file `path`; none where it is absent. Raises `DataError`.

    growing: the file is being written, so that a last line without its end is left out.
    """
    try:
        with files.machine_errors(path):
            text = path.read_bytes() if path.exists() else b""
        if growing:
            text = text[: text.rfind(b"\n") + 1]
        lines = [json_files.parse(line) for line in text.decode().splitlines()]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not all(isinstance(line, dict) for line in lines):
        raise DataError(f"{path} has lines that are not JSON objects")
    return lines


def _read_info(path: Path) -> dict[str, Any]:
    info = json_files.read(path / "run.json")
    if not isinstance(info, dict) or not isinstance(info.get("format"), int):
        raise DataError(f"{path / 'run.json'} is not a valid run.json")
    if info["format"] > RUN_FORMAT:
        raise DataError(f"{path} was written by a newer seqvae (format {info['format']})", UPGRADE)
    info = json_files.unseal(info, path / "run.json")
    corpus = info.get("corpus")
    if info.get("status") not in STATUSES or not isinstance(info.get("created"), int) or not isinstance(corpus, dict):
        raise DataError(f"{path / 'run.json'} is not a valid run.json")
    counts = ("epochs", "epoch", "schedule_epochs", "stretched_from", "processes")
    limits = [("threads", 4096), *((key, 10**6) for key in counts)]
    valid_counts = all(info.get(key) is None or _integer_within(info[key], 0, limit) for key, limit in limits)
    best = info.get("best_neg_elbo", 0.0)
    if (
        not all(isinstance(corpus.get(key), str) for key in ("name", "folder", "hash"))
        or (best is not None and not isinstance(best, int | float))
        or not valid_counts
        or not _integer_within(info["created"], 0, json_files.MAX_TIME)
        or info.get("asked_precision") not in (None, "float32")
    ):
        raise DataError(f"{path / 'run.json'} is not a valid run.json")
    return info


def _integer_within(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

"""A run that comes from elsewhere, file by file: files of a run alone, of bounded sizes, each checked by its SHA-256.

The run appears once all of it is verified.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqvae_cli.errors import DataError, MachineError, UsageError
from seqvae_cli.runs import checkpoint, evaluations, loading, packed_corpus, registry
from seqvae_cli.runs.run import NAME, NAME_RULE, Run
from seqvae_cli.system import files, json_files, places
from seqvae_cli.system.progress import Advance

README = "README.md"
"""The model card, made anew for each archive."""
REQUIRED = ("run.json", "config.yaml", "tokenizer.json")
MAX_VALUES = 5_000_000
"""Values in a JSON file, at most: Python takes up to 100 bytes for a value of 3."""

_CHECKPOINT = rf"(?:best|last|{checkpoint.INITIAL})/[0-9]{{1,12}}/"
_LIMITS = {
    r"config\.yaml|README\.md": 1 << 16,
    rf"run\.json|tags\.json|{evaluations.FOLDER}/{evaluations.NAME}|{_CHECKPOINT}manifest\.json": 1 << 20,
    r"metrics\.jsonl": 1 << 24,
    rf"tokenizer\.json|{_CHECKPOINT}[a-z][a-z0-9_-]{{0,39}}\.json": 1 << 26,
    rf"{_CHECKPOINT}[a-z][a-z0-9_-]{{0,39}}\.safetensors": (1 << 33) - 1,
    **packed_corpus.LIMITS,
}
"""Pattern of a file name -> its maximum size in bytes; the first match counts. Parsed files must fit into memory, the
size of the weights into the size field of a tar header."""


@dataclass(frozen=True)
class Entry:
    """A file in a manifest."""

    sha256: str
    size: int
    """Bytes."""


def limit(name: str) -> int:
    """Maximum size in bytes of a file of this name; 0 for a name outside `_LIMITS`."""
    return next((limit for pattern, limit in _LIMITS.items() if re.fullmatch(pattern, name)), 0)


def read_manifest(manifest: dict[str, Any], where: str) -> tuple[str, dict[str, Entry]]:
    """The name of the run and its files. `where` names the manifest in messages. Raises `DataError`."""
    name, entries = manifest.get("run"), manifest.get("files")
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in registry.RESERVED:
        raise DataError(f"{name!r:.120} in {where} is not a valid run name", NAME_RULE)
    if not isinstance(entries, dict) or not entries.keys() >= set(REQUIRED):
        raise DataError(f"{where} does not list {', '.join(REQUIRED)}")
    return name, {member: _entry(member, value, where) for member, value in entries.items()}


def _entry(name: str, value: Any, where: str) -> Entry:
    if not limit(name):
        raise DataError(f"{where} lists {name!r:.120}, which is not a file of a run")
    size, digest = (value.get("size"), value.get("sha256")) if isinstance(value, dict) else (None, None)
    if not isinstance(size, int) or not 0 <= size <= limit(name):
        raise DataError(f"{where} gives {name} a size of {size!r:.40}, outside 0 to {limit(name)}")
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise DataError(f"{where} gives {name} no valid SHA-256")
    return Entry(digest, size)


class Arrival:
    """The files of a run as they come: `write` each of them, then `publish`."""

    def __init__(self, name: str, expected: dict[str, Entry], draft: Path, corpus_draft: Path | None) -> None:
        self.missing = dict(expected)
        """The files that have not come yet."""
        self._name, self._draft, self._corpus_draft = name, draft, corpus_draft

    def write(self, member: str, blocks: Iterator[bytes], watch: Advance = lambda _: None) -> None:
        """Writes a file of `missing`; `watch` is told its bytes. Raises `DataError` where its SHA-256 differs."""
        entry = self.missing.pop(member)
        path = self._draft / member
        if self._corpus_draft and member.startswith(packed_corpus.PREFIX):
            path = self._corpus_draft / member.removeprefix(packed_corpus.PREFIX)
        try:
            files.write(path, _watched(_bounded(member, blocks), watch), expected=entry.sha256)
        except DataError as error:
            raise self._plain(error) from error

    def publish(self) -> Run:
        """The run under its name, and its corpus where one has come. Neither is newer than what is made from now on.

        Raises `DataError` where the files do not form a valid run, `UsageError` where the name was taken meanwhile.
        """
        try:
            run, now = _check_run(self._draft), time.time_ns()
            if self._corpus_draft:
                packed_corpus.publish(self._corpus_draft, run, now)
            if run.info["created"] > now:
                run.update(created=now)
        except DataError as error:
            raise self._plain(error) from error
        return Run(registry.publish(self._draft, self._name))

    def _plain(self, error: DataError) -> DataError:
        """`error` without the paths of temporary folders."""
        message = error.message
        for draft in (self._draft, self._corpus_draft):
            if draft:
                message = message.replace(f"{draft}/", "").replace(str(draft), "this run")
        return type(error)(message, error.hint)


@contextmanager
def arriving(name: str, expected: dict[str, Entry]) -> Iterator[Arrival]:
    """Room for the new run `name` of the files `expected`; what is not published is deleted.

    Raises `UsageError` for a taken name, `MachineError` where the disk is too full.
    """
    target = places.runs() / name
    if target.is_symlink() or target.exists():
        of_run = {member: entry.sha256 for member, entry in expected.items() if not _is_beside(member)}
        if files.is_whole(target, of_run):
            raise UsageError(f"run {name!r} exists already, with the same content", "use it, or give another --name")
        raise UsageError(f"run {name!r} exists already, with different content", "choose another --name")
    has_corpus = any(member.startswith(packed_corpus.PREFIX) for member in expected)
    place = files.claimed(places.corpora(), "import") if has_corpus else nullcontext(None)
    with files.claimed(places.runs(), "import") as draft, place as corpus_draft:
        with files.machine_errors(draft):
            draft.mkdir()
            total = sum(entry.size for entry in expected.values())
            if total > (free := shutil.disk_usage(draft).free):
                raise MachineError(f"{draft.parent}: {total} bytes to unpack, {free} are free", "free some space")
        yield Arrival(name, expected, draft, corpus_draft)


def _is_beside(member: str) -> bool:
    """Whether a file is not one of the run as it was packed: the card, the corpus."""
    return member == README or member.startswith(packed_corpus.PREFIX)


def _check_run(path: Path) -> Run:
    """The run in a folder. Raises `DataError` where the files, each as in the manifest, do not form a valid one."""
    run = Run(path)
    loading.load_settings_and_tokenizer(run)
    run.metrics()
    run.tags()
    for evaluation in evaluations.paths(path):
        evaluations.read(evaluation)
    for folder in ("best", "last", checkpoint.INITIAL):
        for generation in (path / folder).glob("*"):
            digests = json_files.read(generation / checkpoint.MANIFEST)
            checkpoint.verify(generation)
            foreign = {file.name for file in generation.iterdir()} - {checkpoint.MANIFEST, *digests["files"]}
            if foreign:
                raise DataError(f"{generation / min(foreign)} does not belong to a checkpoint")
    return run


def _bounded(name: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """`blocks` of the file `name`. Raises `DataError` where it is JSON of more than `MAX_VALUES` values."""
    values = 0
    for block in blocks:
        if name.endswith(".json") or name == "metrics.jsonl":  # parsed as a whole
            values += sum(map(block.count, (b",", b"[", b"{")))
            if values > MAX_VALUES:
                raise DataError(f"{name} has more than {MAX_VALUES:,} values")
        yield block


def _watched(blocks: Iterator[bytes], watch: Advance) -> Iterator[bytes]:
    for block in blocks:
        yield block
        watch(len(block))

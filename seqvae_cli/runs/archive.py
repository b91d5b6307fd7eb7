"""Packs a run into one file and unpacks it on another machine, verified on both sides.

The archive is a gzipped tar of regular files in the folder `seqvae-run`. The first, `manifest.json`, lists every other
file with its size and SHA-256. Unpacking is safe for untrusted archives: tar headers are parsed here one by one, file
names come from a fixed set, no more bytes are unpacked than the manifest declares, and the run appears only once all of
it is verified.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UPGRADE, DataError, MachineError, NotFoundError, UsageError
from seqvae_cli.runs import checkpoint, evaluations, loading, packed_corpus, registry
from seqvae_cli.runs.run import NAME, NAME_RULE, Run, in_use_error
from seqvae_cli.system import files, json_files, places
from seqvae_cli.system.progress import Advance
from seqvae_cli.version import __version__

ARCHIVE_FORMAT = 1
FOLDER = "seqvae-run/"
MANIFEST = "manifest.json"
README = "README.md"
"""The model card, made anew for each archive."""
MAX_MANIFEST = 1_000_000
"""Bytes of the manifest, at most."""

_CHECKPOINT = r"(?:best|last)/[0-9]{1,12}/"
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

MAX_VALUES = 5_000_000
"""Values in a JSON file of an archive, at most: Python takes up to 100 bytes for a value of 3."""

_REQUIRED = ("run.json", "config.yaml", "tokenizer.json")
_SMALL = (*_REQUIRED, "metrics.jsonl", "tags.json")
_BLOCK = 1 << 18
_TAIL = 1 << 16
"""Fewer bytes than this, all zero, may follow the last file."""


@dataclass(frozen=True)
class Entry:
    """A file in the manifest."""

    sha256: str
    size: int
    """Bytes."""


class Pack:
    """A run, verified and ready to be packed.

    weights_only: of its checkpoints, the newest of the best weights alone. readme: the text of README.md, if any.
    corpus: packed with it. Raises `CheckpointError`, `DataError`; `NotFoundError` where it has no best weights yet;
    `MachineError` while it trains.
    """

    def __init__(self, run: Run, *, weights_only: bool = False, readme: str = "", corpus: Corpus | None = None) -> None:
        if run.locked():
            raise in_use_error(run.path)
        loading.load_settings_and_tokenizer(run)
        names = [name for name in _SMALL if (run.path / name).is_file()]
        names += [f"{evaluations.FOLDER}/{path.name}" for path in evaluations.paths(run.path)]
        # Read into memory now: another process may change a small file, such as the tags, while weights are packed.
        self._small_files = {name: _read(run.path / name) for name in names}
        if weights_only:  # a resume would begin anew, and replace the weights
            self._small_files["run.json"] = json_files.to_bytes({**run.info, "weights_only": True}, sealed=True)
        if readme:
            self._small_files[README] = readme.encode()
        self.run = run
        self.files = {
            name: Entry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in self._small_files.items()
        }
        packed = [(folder, path) for folder in ("best", "last") for path in checkpoint.generations(run.path / folder)]
        if weights_only:
            packed = [(folder, path) for folder, path in packed if folder == "best"][:1]
            if not packed:
                raise NotFoundError(f"run {run.name} has no best weights yet", "leave --weights-only out")
        for folder, path in packed:
            checkpoint.verify(path)
            digests = json_files.read(path / checkpoint.MANIFEST)["files"]
            digests[checkpoint.MANIFEST] = files.sha256(path / checkpoint.MANIFEST)
            for name, digest in digests.items():
                size = (path / name).stat().st_size
                self.files[f"{folder}/{path.name}/{name}"] = Entry(digest, size)
        self._elsewhere = {} if corpus is None else packed_corpus.sources(corpus)
        for name, path in self._elsewhere.items():
            self.files[name] = Entry(files.sha256(path), path.stat().st_size)
        for name, entry in self.files.items():
            if entry.size > _limit(name):
                raise DataError(
                    f"{run.path / name} cannot be packed: it has {entry.size} bytes, over the limit of {_limit(name)}"
                )

    @property
    def size(self) -> int:
        """Bytes of all files, uncompressed."""
        return sum(entry.size for entry in self.files.values())

    def blocks(self, watch: Advance = lambda _: None) -> Iterator[bytes]:
        """The archive, the same bytes for the same run; `watch` is told the bytes of files just packed.

        Raises `DataError` where a checkpoint changes meanwhile.
        """
        packer = zlib.compressobj(1, wbits=31)  # weights hardly compress at any level
        entries = {name: asdict(entry) for name, entry in self.files.items()}
        manifest = {"format": ARCHIVE_FORMAT, "run": self.run.name, "seqvae": __version__, "files": entries}
        data = json.dumps(manifest, indent=1).encode()
        if len(data) > MAX_MANIFEST:
            raise DataError(f"run {self.run.name} has too many files for an archive: {len(self.files)}")
        yield packer.compress(_header(MANIFEST, len(data)) + data + _padding(len(data)))
        for name, entry in self.files.items():
            yield packer.compress(_header(name, entry.size))
            digest = hashlib.sha256()
            for block in self._content(name):
                digest.update(block)
                yield packer.compress(block)
                watch(len(block))
            if digest.hexdigest() != entry.sha256:
                raise DataError(f"{self.run.path / name} changed while it was packed", "export the run again")
            yield packer.compress(_padding(entry.size))
        yield packer.compress(bytes(2 * tarfile.BLOCKSIZE)) + packer.flush()

    def _content(self, name: str) -> Iterator[bytes]:
        if name in self._small_files:
            yield self._small_files[name]
            return
        path = self._elsewhere.get(name, self.run.path / name)
        with files.machine_errors(path), open(path, "rb") as file:
            while block := file.read(_BLOCK):
                yield block


def unpack(stream: BinaryIO, name: str | None = None, watch: Advance = lambda _: None) -> Run:
    """Unpacks an archive as the new run `name`, by default under its original name; `watch` is told bytes unpacked.

    Raises `DataError` for a damaged or foreign archive, `UsageError` for a taken or invalid name, `MachineError` where
    the disk is too full.
    """
    if name is not None:
        registry.check_name(name)
    try:
        with gzip.GzipFile(fileobj=stream) as unpacked:
            return _unpack(unpacked, name, watch)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"not a complete run archive: {error}") from error


def _unpack(stream: gzip.GzipFile, name: str | None, watch: Advance) -> Run:
    first = _next_header(stream)
    if first is None or first.name != FOLDER + MANIFEST or first.size > MAX_MANIFEST:
        raise DataError("not a run archive: it does not begin with a manifest", "seqvae runs export")
    original_name, expected = _manifest(b"".join(_content(stream, first.size)))
    name = original_name if name is None else name
    target = places.runs() / name
    if target.is_symlink() or target.exists():
        of_run = {member: entry.sha256 for member, entry in expected.items() if not _is_beside(member)}
        if files.is_whole(target, of_run):
            raise UsageError(f"run {name!r} exists already, with the same content", "use it, or give another --name")
        raise UsageError(f"run {name!r} exists already, with different content", "choose another --name")
    has_corpus = any(member.startswith(packed_corpus.PREFIX) for member in expected)
    place = files.claimed(places.corpora(), "import") if has_corpus else nullcontext(places.corpora() / "-")
    with files.claimed(places.runs(), "import") as draft, place as corpus_draft:
        with files.machine_errors(draft):
            draft.mkdir()
            total = sum(entry.size for entry in expected.values())
            if total > (free := shutil.disk_usage(draft).free):
                raise MachineError(f"{draft.parent}: {total} bytes to unpack, {free} are free", "free some space")
        missing = dict(expected)
        while (header := _next_header(stream)) is not None:
            member = header.name.removeprefix(FOLDER)
            entry = missing.pop(member, None) if header.name == FOLDER + member else None
            if entry is None:
                problem = "twice" if member in expected else "which its manifest does not list"
                raise DataError(f"the archive holds {header.name!r} {problem}")
            if header.size != entry.size:
                raise DataError(f"{member} has {header.size} bytes in the archive, {entry.size} in its manifest")
            try:
                content = _watched(_bounded(member, _content(stream, header.size)), watch)
                of_corpus = member.startswith(packed_corpus.PREFIX)
                path = corpus_draft / member.removeprefix(packed_corpus.PREFIX) if of_corpus else draft / member
                files.write(path, content, expected=entry.sha256)
            except DataError as error:
                raise DataError(_without_draft(corpus_draft, _without_draft(draft, error.message))) from error
        if missing:
            raise DataError(f"the archive is truncated: {min(missing)} is missing")
        _check_end(stream)
        _check_run(draft)
        if has_corpus:
            try:
                packed_corpus.publish(corpus_draft, Run(draft))
            except DataError as error:
                raise DataError(_without_draft(corpus_draft, error.message), error.hint) from error
        return Run(registry.publish(draft, name))


def _next_header(stream: gzip.GzipFile) -> tarfile.TarInfo | None:
    """The header of the next file, None at the end. Raises `DataError` for anything but a regular file.

    `tarfile.open` is avoided: it would read extension headers of any length from an untrusted archive.
    """
    block = stream.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise EOFError("it is truncated")
    if not any(block):
        return None
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise DataError(f"the archive is damaged: {error}") from error
    if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or header.linkname or header.size < 0:
        raise DataError(f"the archive holds {header.name!r}, which is not a regular file")
    return header


def _content(stream: gzip.GzipFile, size: int) -> Iterator[bytes]:
    """The bytes of one file; its padding is read and dropped."""
    left = size
    while left:
        block = stream.read(min(left, _BLOCK))
        if not block:
            raise EOFError("it is truncated within a file")
        left -= len(block)
        yield block
    stream.read(len(_padding(size)))


def _manifest(data: bytes) -> tuple[str, dict[str, Entry]]:
    """The name of the run and its files. Raises `DataError`."""
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the manifest of the archive is not JSON: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise DataError("the manifest of the archive has no format number")
    if manifest["format"] > ARCHIVE_FORMAT:
        raise DataError(f"the archive was written by a newer seqvae (format {manifest['format']})", UPGRADE)
    name, entries = manifest.get("run"), manifest.get("files")
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in registry.RESERVED:
        raise DataError(f"{name!r:.120} in the manifest of the archive is not a valid run name", NAME_RULE)
    if not isinstance(entries, dict) or not entries.keys() >= set(_REQUIRED):
        raise DataError(f"the manifest of the archive does not list {', '.join(_REQUIRED)}")
    return name, {member: _entry(member, value) for member, value in entries.items()}


def _entry(name: str, value: Any) -> Entry:
    if not _limit(name):
        raise DataError(f"the manifest of the archive lists {name!r:.120}, which is not a file of a run")
    size, digest = (value.get("size"), value.get("sha256")) if isinstance(value, dict) else (None, None)
    if not isinstance(size, int) or not 0 <= size <= _limit(name):
        raise DataError(f"the manifest of the archive gives {name} a size of {size!r:.40}, outside 0 to {_limit(name)}")
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise DataError(f"the manifest of the archive gives {name} no valid SHA-256")
    return Entry(digest, size)


def _check_end(stream: gzip.GzipFile) -> None:
    """Reads to the end, which also checks gzip's length and checksum. Only zeros may follow the last file."""
    tail = stream.read(_TAIL)
    if any(tail) or len(tail) == _TAIL:
        raise DataError("the archive has data after its end")


def _check_run(path: Path) -> None:
    """Raises `DataError` where the files, each as in the manifest, do not form a valid run."""
    try:
        run = Run(path)
        loading.load_settings_and_tokenizer(run)
        run.metrics()
        run.tags()
        for evaluation in evaluations.paths(path):
            evaluations.read(evaluation)
        for folder in ("best", "last"):
            for generation in (path / folder).glob("*"):
                digests = json_files.read(generation / checkpoint.MANIFEST)
                checkpoint.verify(generation)
                foreign = {file.name for file in generation.iterdir()} - {checkpoint.MANIFEST, *digests["files"]}
                if foreign:
                    raise DataError(f"{generation / min(foreign)} does not belong to a checkpoint")
    except DataError as error:
        raise type(error)(_without_draft(path, error.message), error.hint) from error


def _is_beside(member: str) -> bool:
    """Whether a file of an archive is not one of the run as it was packed: the card, the corpus."""
    return member == README or member.startswith(packed_corpus.PREFIX)


def _without_draft(draft: Path, message: str) -> str:
    """`message` without the path of the temporary folder."""
    return message.replace(f"{draft}/", "").replace(str(draft), "this run")


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


def _limit(name: str) -> int:
    """Maximum size in bytes of a file of this name; 0 for a name outside `_LIMITS`."""
    return next((limit for pattern, limit in _LIMITS.items() if re.fullmatch(pattern, name)), 0)


def _header(name: str, size: int) -> bytes:
    header = tarfile.TarInfo(FOLDER + name)
    header.size = size
    return header.tobuf(tarfile.USTAR_FORMAT)


def _padding(size: int) -> bytes:
    """The zeros that fill the last block of a file."""
    return bytes(-size % tarfile.BLOCKSIZE)


def _read(path: Path) -> bytes:
    with files.machine_errors(path):
        return path.read_bytes()

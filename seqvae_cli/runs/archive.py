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
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UPGRADE, DataError, NotFoundError
from seqvae_cli.runs import arrival, checkpoint, evaluations, loading, packed_corpus, registry
from seqvae_cli.runs.arrival import Entry
from seqvae_cli.runs.run import Run, in_use_error
from seqvae_cli.system import files, json_files
from seqvae_cli.system.progress import Advance
from seqvae_cli.version import __version__

ARCHIVE_FORMAT = 1
FOLDER = "seqvae-run/"
MANIFEST = "manifest.json"
MAX_MANIFEST = 1_000_000
"""Bytes of the manifest, at most."""

_SMALL = (*arrival.REQUIRED, "metrics.jsonl", "tags.json")
_BLOCK = 1 << 18
_TAIL = 1 << 16
"""Fewer bytes than this, all zero, may follow the last file."""


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
            self._small_files[arrival.README] = readme.encode()
        self.run = run
        self.files = {
            name: Entry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in self._small_files.items()
        }
        folders = ("best", "last")
        packed = [(folder, path) for folder in folders for path in checkpoint.generations(run.path / folder)]
        if not any(folder == "last" for folder, _ in packed):  # a resume begins with these
            packed += [(checkpoint.INITIAL, path) for path in checkpoint.generations(run.path / checkpoint.INITIAL)]
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
            if entry.size > (limit := arrival.limit(name)):
                raise DataError(
                    f"{run.path / name} cannot be packed: it has {entry.size} bytes, over the limit of {limit}"
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
        source = self.source(name)
        if isinstance(source, bytes):
            yield source
            return
        with files.machine_errors(source), open(source, "rb") as file:
            while block := file.read(_BLOCK):
                yield block

    def source(self, name: str) -> bytes | Path:
        """The content of one of `files`, or the file that has it."""
        if name in self._small_files:
            return self._small_files[name]
        return self._elsewhere.get(name, self.run.path / name)


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
    with arrival.arriving(name, expected) as run:
        while (header := _next_header(stream)) is not None:
            member = header.name.removeprefix(FOLDER)
            if header.name != FOLDER + member or member not in run.missing:
                problem = "twice" if member in expected else "which its manifest does not list"
                raise DataError(f"the archive holds {header.name!r} {problem}")
            if header.size != expected[member].size:
                raise DataError(
                    f"{member} has {header.size} bytes in the archive, {expected[member].size} in its manifest"
                )
            run.write(member, _content(stream, header.size), watch)
        if run.missing:
            raise DataError(f"the archive is truncated: {min(run.missing)} is missing")
        _check_end(stream)
        return run.publish()


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
    return arrival.read_manifest(manifest, "the manifest of the archive")


def _check_end(stream: gzip.GzipFile) -> None:
    """Reads to the end, which also checks gzip's length and checksum. Only zeros may follow the last file."""
    tail = stream.read(_TAIL)
    if any(tail) or len(tail) == _TAIL:
        raise DataError("the archive has data after its end")


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

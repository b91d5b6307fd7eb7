"""Downloads of published corpora: mirrors are tried in order, and every file is checked against its SHA-256.

A file gets its name in the cache only after its digest is checked, so every named file can be trusted. Partial files
are resumed, from any mirror. Archive members are streamed out by their exact names; nothing else is unpacked.
"""

from __future__ import annotations

import gzip
import http.client
import io
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from seqvae_cli.data.catalog import KnownCorpus, Mirror
from seqvae_cli.errors import DataError
from seqvae_cli.system import files, places
from seqvae_cli.system.json_files import MAX_DIGITS
from seqvae_cli.system.progress import ProgressReport
from seqvae_cli.version import __version__

MAX_FILE = 64 << 20
"""Most bytes read of one file or archive; the published corpora are far smaller."""
MAX_UNPACKED = 256 << 20
"""Most bytes unpacked of an archive in search of its members."""

_BLOCK = 1 << 16
_LEAST_BYTES = 1024
"""Bytes that must arrive within a timeout; fewer count as a stall."""


class _UnusableError(Exception):
    """Why an address gave no valid file; with `gone` the rest of the mirror is skipped."""

    def __init__(self, reason: str, status: int = 0, gone: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.gone = gone


def fetch(
    corpus: KnownCorpus,
    cache: Path,
    *,
    watch: ProgressReport | None = None,
    timeout: float = 30.0,
    limit: int = MAX_FILE,
) -> dict[str, Path]:
    """The files of a corpus by split, from `cache` or else from the mirrors in order.

    watch: called with ("download NAME", bytes done, bytes in all).
    timeout: seconds without progress after which a mirror is given up.
    limit: most bytes read from one address.

    Raises `DataError` with every address and its failure where no mirror has the files, `MachineError` where the cache
    is not writable.
    """
    from filelock import FileLock

    client = _Client(watch, timeout, limit)
    digests = dict(corpus.files.values())
    failures: dict[str, list[str]] = {}
    with files.machine_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / ".lock"):  # a second download of the same files waits, and finds them
            missing = _missing(cache, digests)
            for mirror in corpus.mirrors:
                if missing:
                    for address, reason in _try_mirror(mirror, missing, cache, client):
                        failures.setdefault(reason, []).append(address)
                    missing = _missing(cache, missing)
    if missing:
        told = [f"{reason} ({', '.join(addresses)})" for reason, addresses in failures.items()]
        message = f"no mirror gave {', '.join(missing)}: {'; '.join(told)}"
        raise DataError(message, f"get the files elsewhere, then: seqvae prepare {corpus.name} --from DIR")
    return {split: cache / name for split, (name, _) in corpus.files.items()}


def local(corpus: KnownCorpus, folder: Path, *, verify: bool = True) -> dict[str, Path]:
    """The files of a corpus by split, from a folder; `verify=False` skips the SHA-256 check.

    Raises `DataError` with the missing file, or with the differing file and the start of both digests.
    """
    for name, expected in corpus.files.values():
        if not (folder / name).is_file():
            names = ", ".join(name for name, _ in corpus.files.values())
            raise DataError(f"{folder / name} is missing", f"{corpus.name} has {names}")
        if verify:
            try:
                files.verify(folder, {name: expected})
            except DataError as error:
                raise DataError(f"not the published file: {error.message}", "--no-verify accepts it anyway") from error
    return {split: folder / name for split, (name, _) in corpus.files.items()}


def licence_due(corpus: KnownCorpus) -> bool:
    """Whether the licence notice must still be shown on this machine."""
    return bool(corpus.licence) and not _licence_mark(corpus).exists()


def record_licence_shown(corpus: KnownCorpus) -> None:
    """Remembers that the notice was shown."""
    files.write(_licence_mark(corpus), corpus.licence.encode())


def _licence_mark(corpus: KnownCorpus) -> Path:
    return places.home() / "licences" / f"{corpus.name}.txt"


def _missing(cache: Path, digests: dict[str, str]) -> dict[str, str]:
    """Names and digests of the files missing from the cache; a damaged file is deleted and counts as missing."""
    missing = {}
    for name, digest in digests.items():
        if not files.is_whole(cache, {name: digest}):
            (cache / name).unlink(missing_ok=True)
            missing[name] = digest
    return missing


def _try_mirror(mirror: Mirror, missing: dict[str, str], cache: Path, client: _Client) -> Iterator[tuple[str, str]]:
    """Downloads the missing files; yields the address of each failure, and its reason."""
    if mirror.members is not None:
        try:
            _unpack(mirror.url, mirror.members, missing, cache, client)
        except _UnusableError as error:
            yield mirror.url, str(error)
        return
    for name, digest in missing.items():
        try:
            _download(mirror.url + name, cache / name, digest, client)
        except _UnusableError as error:
            yield f"{mirror.url}{name}", str(error)
            if error.gone:
                return


def _download(address: str, path: Path, digest: str, client: _Client) -> None:
    part = path.with_name(f"{path.name}.part")
    while True:
        resumed = part.stat().st_size if part.is_file() else 0
        if not resumed or not files.is_whole(path.parent, {part.name: digest}):
            try:
                _append(address, part, resumed, client)
            except _UnusableError as error:
                if part.is_file() and not part.stat().st_size:
                    part.unlink()
                if not resumed or error.status != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    raise
        try:
            with open(part, "rb") as file:
                files.write(path, iter(lambda: file.read(_BLOCK), b""), expected=digest)
        except DataError as error:
            part.unlink()
            if not resumed:
                raise _UnusableError(f"wrong checksum: {error.message}") from error
        else:
            part.unlink()
            return


def _length(response: http.client.HTTPResponse) -> int | None:
    """The bytes that a server says it sends; None where it does not, or says nonsense."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and len(length) < MAX_DIGITS else None


def _append(address: str, part: Path, resumed: int, client: _Client) -> None:
    """Downloads the rest of a partial file, or all of it where the server ignores ranges."""
    with client.open(address, resumed) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            resumed = 0
        length, done = _length(response), resumed
        total = None if length is None else resumed + length
        with open(part, "ab" if resumed else "wb") as file:
            for block in client.blocks(response):
                if not done and block.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
                    raise _UnusableError("an HTML page, not the file")
                done += len(block)
                if done > client.limit:
                    file.truncate(0)
                    raise _UnusableError(f"more than {client.limit} bytes")
                file.write(block)
                if client.watch:
                    client.watch(f"download {part.stem}", done, total)
    if total is not None and done < total:
        raise _UnusableError(f"broke off after {done} of {total} bytes")


def _unpack(address: str, prefix: str, wanted: dict[str, str], cache: Path, client: _Client) -> None:
    """Streams the wanted members, by their exact names, out of a .tgz; unpacks and writes nothing else."""
    left = dict(wanted)
    reason = "the archive has no {}"
    try:
        with client.open(address) as response:
            packed = io.BufferedReader(_Stream(client.watched(response, "download archive"), client.limit))
            with gzip.GzipFile(fileobj=packed) as unpacked:
                blocks = iter(lambda: unpacked.read(_BLOCK), b"")
                with tarfile.open(fileobj=_Stream(blocks, MAX_UNPACKED), mode="r|") as archive:
                    while left and (member := archive.next()) is not None:
                        cast(Any, archive).members.clear()  # else countless empty members fill the memory
                        name = member.name.removeprefix(prefix)
                        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
                        if member.name != prefix + name or name not in left or not plain or member.size > client.limit:
                            continue
                        data = cast(IO[bytes], archive.extractfile(member)).read()
                        try:
                            files.write(cache / name, data, expected=left[name])
                            del left[name]
                        except DataError:
                            reason = "wrong checksum of {}"
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, RecursionError) as error:
        raise _UnusableError(f"unreadable archive: {error}") from error
    if left:
        raise _UnusableError(reason.format(", ".join(left)))


class _Stream(io.RawIOBase):
    """A readable file over blocks of bytes; raises `_UnusableError` beyond `limit` bytes."""

    def __init__(self, blocks: Iterator[bytes], limit: int) -> None:
        self._blocks, self._left, self._rest = blocks, limit, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._blocks, b"")
        count = min(len(buffer), len(self._rest))
        self._left -= count
        if self._left < 0:
            raise _UnusableError("the archive is too large")
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


@dataclass(frozen=True)
class _Client:
    """HTTP with a timeout and a size limit; every failure is an `_UnusableError`."""

    watch: ProgressReport | None
    timeout: float
    limit: int

    def open(self, address: str, offset: int = 0) -> http.client.HTTPResponse:
        request = urllib.request.Request(address, headers={"User-Agent": f"seqvae/{__version__}"})
        if offset:
            request.add_header("Range", f"bytes={offset}-")
        try:
            response = cast(http.client.HTTPResponse, urllib.request.urlopen(request, timeout=self.timeout))
        except urllib.error.HTTPError as error:
            error.close()
            raise _UnusableError(f"HTTP {error.code} {error.reason}", error.code) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failure(getattr(error, "reason", error)) from error
        if "html" in response.headers.get_content_type():
            response.close()
            raise _UnusableError("an HTML page, not the file")
        return response

    def blocks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        since, arrived = time.monotonic(), 0
        while True:
            try:
                block = response.read1(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise self._failure(error) from error
            if not block:
                return
            arrived += len(block)
            if (now := time.monotonic()) - since > self.timeout:
                if arrived < _LEAST_BYTES:
                    raise self._failure(TimeoutError())
                since, arrived = now, 0
            yield block

    def watched(self, response: http.client.HTTPResponse, stage: str) -> Iterator[bytes]:
        length, done = _length(response), 0
        for block in self.blocks(response):
            done += len(block)
            if self.watch:
                self.watch(stage, done, length)
            yield block

    def _failure(self, error: object) -> _UnusableError:
        if isinstance(error, TimeoutError):
            return _UnusableError(f"no progress for {self.timeout:g} seconds", gone=True)
        return _UnusableError(f"no connection: {error or type(error).__name__}", gone=True)

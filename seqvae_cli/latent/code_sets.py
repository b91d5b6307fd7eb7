"""The codes of many sentences: encoded once, kept in the run folder, memory-mapped when they are used again.

RUN/codes/KEY/
    rows.bin         a record for each distinct sentence: its place, where its line in texts.jsonl starts, the posterior
                     mean and the scale (little-endian: 2 int64, 2 L float32)
    texts.jsonl      [text, id, [label, …]] of each
    manifest.json    SHA-256 of both, the number of sentences, the tally of their words; sealed

KEY is a digest of the encoder's weights and the sentences, so that other weights make another set. Sets are whole or
absent (written as drafts and renamed); a damaged one is made again. Where the folder cannot be written, the codes stay
in memory. Only the `KEPT` sets used last are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.corpus import content_hash
from seqvae_cli.data.mapped import memory_map
from seqvae_cli.data.records import Record
from seqvae_cli.data.repeats import Fingerprints, fingerprint
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.latent import generate
from seqvae_cli.latent.candidates import Candidates, of_sentences
from seqvae_cli.latent.streams import Tally
from seqvae_cli.model import SentenceVAE
from seqvae_cli.system import files, json_files
from seqvae_cli.system.progress import Advance

FORMAT = 1
FOLDER = "codes"
"""Of a run."""
KEPT = 4
"""Sets of codes in that folder, at most."""
ROWS_FILE, TEXTS_FILE, MANIFEST = "rows.bin", "texts.jsonl", "manifest.json"
BLOCK = 4096
"""Sentences that are written at once."""
_KEY = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class CodeSet:
    """The posteriors of N distinct sentences, in the order of their places."""

    candidates: Candidates
    rows: NDArray[Any]
    """[N] records of `row_type`."""
    texts: NDArray[np.uint8]
    """The bytes of texts.jsonl."""
    tally: Tally
    """Of all candidates, repeated ones counted."""
    path: Path | None = None
    """Where it is kept."""

    def __len__(self) -> int:
        return len(self.rows)

    def record(self, row: int) -> Record:
        """Text, labels and id of a row. Raises `DataError` where the set is damaged."""
        end = self.rows["start"][row + 1] if row + 1 < len(self.rows) else len(self.texts)
        try:
            text, own, labels = json.loads(self.texts[self.rows["start"][row] : end].tobytes())
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.path} is damaged: {error}", "delete it") from error
        return Record(text, tuple(labels), own)


def row_type(size: int) -> np.dtype[Any]:
    """The type of a row, with L = `size`."""
    return np.dtype([("place", "<i8"), ("start", "<i8"), ("mean", "<f4", (size,)), ("scale", "<f4", (size,))])


Among = str | Iterable[str] | Candidates | CodeSet
"""What neighbours are looked for among: a split by its name, sentences, or what `open_or_make` gave."""


def open_or_make(
    folder: Path,
    network: SentenceVAE,
    tokenizer: Tokenizer,
    among: Iterable[str] | Candidates | CodeSet,
    watch: Advance | None = None,
) -> CodeSet:
    """The codes of the candidates: those kept in `folder`, or else made, and kept there if that is possible.

    Sentences that repeat an earlier one, and those without words, are left out. watch: told sentences as they are
    encoded. Raises `DataError` where no sentence has words, a code is not finite, or the sentences change meanwhile.
    """
    if isinstance(among, CodeSet):
        return among
    candidates = among if isinstance(among, Candidates) else of_sentences(among, tokenizer)
    digest = candidates.digest()
    if digest is not None:
        path = folder / _key(network, tokenizer, digest)
        if (kept := _opened(path, network, candidates)) is not None:
            return kept
        with suppress(MachineError):
            return _keep(path, network, tokenizer, candidates, digest, watch)
    rows, texts = bytearray(), bytearray()
    _, tally = _encode(network, tokenizer, candidates, rows.extend, texts.extend, watch)
    found = np.frombuffer(rows, row_type(network.settings.latent_size))
    return CodeSet(candidates, found, np.frombuffer(texts, np.uint8), tally)


def _key(network: SentenceVAE, tokenizer: Tokenizer, digest: str) -> str:
    weights = hashlib.sha256()
    for name, value in sorted(network.encoder.state_dict().items()):
        weights.update(name.encode())
        weights.update(value.cpu().contiguous().numpy().data)
    parts = {
        "format": str(FORMAT),
        "settings": network.settings.model_dump_json(),
        "weights": weights.hexdigest(),
        "tokenizer": hashlib.sha256(tokenizer.to_bytes()).hexdigest(),
        "candidates": digest,
    }
    return content_hash(parts)[:32]


def _opened(path: Path, network: SentenceVAE, candidates: Candidates) -> CodeSet | None:
    """The set kept at `path`, verified; None where there is none, or it is damaged."""
    kind = row_type(network.settings.latent_size)
    try:
        manifest = json_files.unseal(json_files.read(path / MANIFEST), path / MANIFEST)
        count, digests = manifest["sentences"], manifest["files"]
        if set(digests) != {ROWS_FILE, TEXTS_FILE} or (path / ROWS_FILE).stat().st_size != count * kind.itemsize:
            return None
        files.verify(path, digests)
        rows = memory_map(path / ROWS_FILE, kind, count)
        texts = memory_map(path / TEXTS_FILE, np.dtype(np.uint8), (path / TEXTS_FILE).stat().st_size)
        tally = Tally(**manifest["tally"])
    except (DataError, MachineError, OSError, KeyError, TypeError, ValueError):
        return None
    with suppress(OSError):
        os.utime(path)  # used last
    return CodeSet(candidates, rows, texts, tally, path)


def _keep(
    path: Path,
    network: SentenceVAE,
    tokenizer: Tokenizer,
    candidates: Candidates,
    digest: str,
    watch: Advance | None,
) -> CodeSet:
    """Makes the set at `path`. Raises `MachineError` where the folder cannot be written."""
    with files.machine_errors(path.parent):
        path.parent.mkdir(exist_ok=True)  # not its parents: a run removed meanwhile must not come back in parts
    with files.claimed(path.parent, "codes") as draft:
        with (
            closing(files.DurableFile(draft / ROWS_FILE)) as rows,
            closing(files.DurableFile(draft / TEXTS_FILE)) as texts,
        ):
            count, tally = _encode(network, tokenizer, candidates, rows.write, texts.write, watch)
            digests = {ROWS_FILE: rows.commit(), TEXTS_FILE: texts.commit()}
        if candidates.digest() != digest:
            raise DataError(f"{candidates.name} changed while it was read", "start again when it is complete")
        manifest = {"format": FORMAT, "sentences": count, "tally": asdict(tally), "files": digests}
        json_files.write(draft / MANIFEST, manifest, sealed=True)
        made = _opened(path, network, candidates)  # another process may have been faster
        if made is None:
            with files.machine_errors(path):
                if path.is_symlink() or path.is_file():
                    path.unlink()
                shutil.rmtree(path, ignore_errors=True)
                draft.rename(path)
            made = _opened(path, network, candidates)
    _prune(path.parent)
    if made is None:
        raise MachineError(f"{path} cannot be read back")
    return made


def _prune(folder: Path) -> None:
    """Deletes all sets but the `KEPT` used last."""
    with suppress(OSError, MachineError):
        sets = [path for path in files.entries(folder) if _KEY.fullmatch(path.name) and not path.is_symlink()]
        for path in sorted(sets, key=lambda path: path.stat().st_mtime_ns, reverse=True)[KEPT:]:
            shutil.rmtree(path, ignore_errors=True)


def _encode(
    network: SentenceVAE,
    tokenizer: Tokenizer,
    candidates: Candidates,
    write_rows: Callable[[bytes], object],
    write_texts: Callable[[bytes], object],
    watch: Advance | None,
) -> tuple[int, Tally]:
    """Writes the rows and texts of the distinct sentences in blocks; returns their number and the tally of all."""
    tally, seen = Tally(), Fingerprints()
    waiting: deque[tuple[int, Record]] = deque()

    def distinct() -> Iterator[NDArray[np.int64]]:
        for place, (record, ids) in enumerate(candidates.read(tally)):
            if len(ids) and seen.add(fingerprint(tokenizer.normalized(record.text))):
                waiting.append((place, record))
                yield np.array(ids, dtype=np.int64)

    rows, texts = np.zeros(BLOCK, row_type(network.settings.latent_size)), bytearray()
    held = count = start = done = 0

    def flush() -> None:
        nonlocal held
        if not (np.isfinite(rows["mean"][:held]).all() and np.isfinite(rows["scale"][:held]).all()):
            raise DataError("the posterior means are not finite", "name another run")
        write_rows(rows[:held].tobytes())
        write_texts(bytes(texts))
        texts.clear()
        held = 0

    for mean, scale in generate.encode(network, distinct()):
        place, record = waiting.popleft()
        line = f"{json.dumps([record.text, record.id, record.labels])}\n".encode()
        rows[held] = (place, start, mean.numpy(), scale.numpy())
        texts += line
        start, held, count = start + len(line), held + 1, count + 1
        if held == BLOCK:
            flush()
        if watch:
            watch(place + 1 - done)
            done = place + 1
    flush()
    if not count:
        raise DataError(f"no sentences in {candidates.name}", "give sentences with words")
    return count, tally

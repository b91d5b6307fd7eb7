"""A recipe and its sentences -> a corpus folder: vocabulary, token ids, counts and digests.

The folder is written under a temporary name and renamed when it is complete, so that a crash leaves no partial corpus.
The same recipe gives the same folder; an existing one is reused.
"""

from __future__ import annotations

import bisect
import errno
import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seqvae_cli.data import blocks
from seqvae_cli.data.blocks import Encoding
from seqvae_cli.data.corpus import (
    ARRAY_CODES,
    CORPUS_FORMAT,
    SPLITS,
    Corpus,
    Split,
    SplitWriter,
    canonical,
    content_hash,
    list_prepared,
    prepared_at,
)
from seqvae_cli.data.inspection import Inspector
from seqvae_cli.data.text_counts import TextCounts
from seqvae_cli.data.vocabulary import TokenizerSettings
from seqvae_cli.errors import DataError
from seqvae_cli.system import files, json_files, places
from seqvae_cli.system.workers import Workers
from seqvae_cli.version import __version__

Dropped = dict[str, Counter[str]]
"""By split: how many lines were dropped, by reason."""
SentenceSource = Callable[[str, Dropped], Iterator[tuple[str, str]]]
"""(stage "count" or "encode", counters of dropped lines) -> (split, text) of each sentence; called once a pass."""


WHITESPACE = TokenizerSettings()


@dataclass(frozen=True)
class Prepared:
    """A corpus, and whether it was built now (`fresh`) or existed before."""

    corpus: Corpus
    fresh: bool


def build(
    name: str,
    recipe: dict[str, Any],
    description: str,
    sentences: SentenceSource,
    extras: Callable[[Path], tuple[dict[str, str], dict[str, Any]]] | None = None,
    tokens: TokenizerSettings = WHITESPACE,
    workers: int = 1,
) -> Prepared:
    """The corpus of a recipe: the existing one, or a new one.

    `extras` writes more files into the folder; it returns their SHA-256 and more entries of corpus.json. What `tokens`
    says stands in the recipe, too. `workers`: processes that work on a large text.
    """
    path = places.corpora() / f"{name}-{hashlib.sha256(canonical(recipe)).hexdigest()[:12]}"
    if (corpus := existing_corpus(path)) is not None:
        return Prepared(corpus, fresh=False)
    with files.claimed(places.corpora(), path.name) as folder:
        with files.machine_errors(folder):
            folder.mkdir()
        with Workers(workers, blocks.ALONE) as pool:
            digests, info = _encode(folder, tokens, recipe["max_len"], sentences, pool)
        if extras is not None:
            more, entries = extras(folder)
            digests, info = digests | more, info | entries
        head = {"format": CORPUS_FORMAT, "name": name, "hash": content_hash(digests), "seqvae": __version__}
        head |= {"created": datetime.now(UTC).isoformat(), "prepared_at": _next_timestamp(), "source": description}
        json_files.write(folder / "corpus.json", head | {"recipe": recipe} | info | {"files": digests}, sealed=True)
        return publish(folder, path)


def _encode(
    folder: Path, tokens: TokenizerSettings, max_len: int | None, sentences: SentenceSource, workers: Workers
) -> tuple[dict[str, str], dict[str, Any]]:
    """Writes the tokenizer and the splits; returns the SHA-256 of each file, and the counts."""
    counted = sentences("count", {name: Counter() for name in SPLITS})
    tokenizer, types, once = tokens.learn((text for split, text in counted if split == "train"), max_len, workers)
    dtype = "uint16" if len(tokenizer) <= 1 << 16 else "uint32"
    dropped: Dropped = {name: Counter() for name in SPLITS}
    counts = {name: TextCounts() for name in SPLITS}
    truncated: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    inspector = Inspector(tokenizer.kind)
    digests = {"tokenizer.json": tokenizer.save(folder / "tokenizer.json")}
    with ExitStack() as stack:
        writers = {split: stack.enter_context(closing(SplitWriter(folder, split, dtype))) for split in SPLITS}
        encoding = Encoding(tokenizer, max_len, ARRAY_CODES[dtype])
        for block in workers.map(encoding, blocks.of_sentences(sentences("encode", dropped))):
            inspector.extend(block.inspector)
            for split, found in block.splits.items():
                counts[split].extend(found.counts)
                truncated[split] += found.truncated
                unknown[split] += found.unknown
                writers[split].extend(found.ids, found.lengths)
        for writer in writers.values():
            digests |= writer.finish()
    splits = {
        split: {
            "sentences": (count := writer.lengths.total()),
            "tokens": writer.words + count,
            "words": writer.words,
            "unknown": unknown[split],
            "text": counts[split].to_json(),
            "truncated": truncated[split],
            "too_long": dropped[split]["too_long"],
            "empty": dropped[split]["empty"],
            "lengths": _percentiles(writer.lengths),
        }
        | ({"repeated": dropped[split]["repeated"]} if "repeated" in dropped[split] else {})
        for split, writer in writers.items()
    }

    def sentence(split: str, index: int) -> str:
        writer = writers[split]
        return tokenizer.decode(Split(folder, split, dtype, writer.lengths.total(), writer.words, "")[index])

    findings = [finding.record() for finding in inspector.findings(sentence)]
    info = {"splits": splits, "vocabulary": len(tokenizer), "types": types, "dtype": dtype}
    return digests, info | {"findings": findings} | ({} if once is None else {"once": once})


def _percentiles(lengths: Counter[int]) -> dict[str, float]:
    """Percentiles of the words per sentence, by nearest rank; zeros for an empty split."""
    total = lengths.total()
    if not total:
        return dict.fromkeys(("min", "p50", "p90", "p99", "max", "mean"), 0)
    ordered = sorted(lengths)
    ranks = list(itertools.accumulate(lengths[length] for length in ordered))
    at = {f"p{p}": ordered[bisect.bisect_left(ranks, total * p / 100)] for p in (50, 90, 99)}
    mean = sum(length * count for length, count in lengths.items()) / total
    return {"min": ordered[0], **at, "max": ordered[-1], "mean": round(mean, 3)}


def existing_corpus(path: Path) -> Corpus | None:
    """The intact corpus in `path`, marked as the last one prepared; None where it is missing or damaged."""
    with files.machine_errors(path):
        if not (path / "corpus.json").is_file():
            return None
    try:
        corpus = Corpus.open(path)
        corpus.verify()
    except DataError:
        return None
    namesakes = [other for other in list_prepared() if other.name[:-13] == path.name[:-13]]
    if max(namesakes, key=prepared_at) != path:
        corpus = Corpus(path, corpus.info | {"prepared_at": _next_timestamp()})
        json_files.write(path / "corpus.json", corpus.info, sealed=True)
    return corpus


def _next_timestamp() -> int:
    """Nanoseconds since 1970, later than those of all prepared corpora, even where the clock went back."""
    return min(json_files.MAX_TIME, max([time.time_ns(), *(prepared_at(path)[0] + 1 for path in list_prepared())]))


def publish(folder: Path, path: Path) -> Prepared:
    """Renames a finished folder to `path`; where another process was faster, returns its corpus."""
    with files.machine_errors(path):
        while True:
            try:
                folder.rename(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if (corpus := existing_corpus(path)) is not None:
                    return Prepared(corpus, fresh=False)
                with files.claimed(path.parent, "damaged") as damaged, suppress(FileNotFoundError):
                    path.rename(damaged)
            else:
                files.sync_directory(path.parent)
                return Prepared(Corpus.open(path), fresh=True)

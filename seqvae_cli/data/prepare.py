"""Text becomes a prepared corpus: a vocabulary from the training split, and token ids on disk.

Text is streamed, never held: one pass counts words, one encodes them (and one before them counts sentences, where the
splits have to be cut). The folder is written under a temporary name and renamed whole, so that a crash leaves nothing
that looks like a corpus. The same text with the same settings gives the same folder, and is done at once.
"""

from __future__ import annotations

import bisect
import errno
import hashlib
import itertools
import json
import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seqvae_cli.data import download
from seqvae_cli.data.corpus import (
    CORPORA,
    FORMAT,
    SPLITS,
    Corpus,
    SplitWriter,
    canonical,
    check_name,
    content_hash,
    list_prepared,
    prepared_at,
)
from seqvae_cli.data.sources import Progress, Text, TextSource
from seqvae_cli.data.text import check_encoding
from seqvae_cli.data.tokenizer import KINDS, SPECIALS, UNK, Tokenizer
from seqvae_cli.errors import DataError, NotFoundError, UsageError, nearest
from seqvae_cli.system import files, places
from seqvae_cli.version import __version__

Watch = download.Watch
HELD_OUT = 2_000
"""Sentences in each of toy's validation and test splits."""

Dropped = dict[str, Counter[str]]
Sentences = Callable[[str, Dropped], Iterator[tuple[str, str]]]
"""(stage "count" or "encode", where to count dropped lines) -> (split, text) of each sentence; called once a pass."""


@dataclass(frozen=True)
class Prepared:
    """A corpus, and whether it was made now (`fresh`) or lay there already."""

    corpus: Corpus
    fresh: bool


def prepare_text(
    source: TextSource,
    name: str,
    *,
    tokenizer: str = "whitespace",
    lower: bool = False,
    min_count: int = 1,
    max_len: int | None = None,
    valid_fraction: float = 0.05,
    test_fraction: float = 0.05,
    seed: int = 0,
    encoding: str = "utf-8",
    watch: Watch | None = None,
) -> Prepared:
    """Prepares text, a sentence a line; blank lines are skipped, lines over 1 MiB dropped, and both counted.

    tokenizer: the kind, see `Tokenizer`. The vocabulary is that of the training split.
    min_count: words seen less often in the training split become `<unk>`.
    max_len: tokens kept of a sentence, in every split; None cuts none.
    valid_fraction, test_fraction: shares of the sentences, drawn with `seed`, where the source has no such split;
        0 leaves the split empty.
    watch: told (stage, bytes done, bytes in all).

    Raises `UsageError` for a setting out of range, before anything is read; `DataError` for text that cannot be used,
    with file and line; `MachineError` where the machine refuses.
    """
    check_settings(name, tokenizer, min_count, max_len, valid_fraction, test_fraction)
    encoding = check_encoding(encoding)
    fractions = {"valid": valid_fraction, "test": test_fraction}
    with ExitStack() as stack:
        progress = Progress(watch)
        texts = {split: Text(split, items, encoding, progress, stack) for split, items in source.files.items()}
        everything = sum(text.size for text in texts.values())
        progress.start("hash", everything)
        cut = {split: fraction for split, fraction in fractions.items() if split not in texts and fraction}
        recipe = {
            "format": FORMAT,
            "sources": {split: text.digests() for split, text in texts.items()},
            "encoding": encoding,
            "tokenizer": tokenizer,
            "lower": lower,
            "min_count": min_count,
            "max_len": max_len,
            "fractions": cut,
            "seed": seed if cut else None,
        }
        shares: dict[str, int] = {}

        def sentences(stage: str, dropped: Dropped) -> Iterator[tuple[str, str]]:
            train = texts["train"]
            if cut and not shares:
                progress.start("lines", train.size)
                shares.update(_shares(sum(1 for _ in train.lines(Counter())), cut, train.label))
            progress.start(stage, everything if stage == "encode" else train.size)
            labels = itertools.chain(_labels(shares, seed) if cut else (), itertools.repeat("train"))
            for line, split in zip(train.lines(dropped["train"]), labels, strict=False):
                yield split, line
            if stage == "encode":
                for split in list(texts)[1:]:
                    yield from zip(itertools.repeat(split), texts[split].lines(dropped[split]), strict=False)

        return _prepare(name, recipe, source.description, sentences)


def prepare_known(
    name: str,
    *,
    from_dir: Path | None = None,
    verify: bool = True,
    tokenizer: str = "whitespace",
    lower: bool = False,
    min_count: int = 1,
    max_len: int | None = None,
    timeout: float = 30.0,
    watch: Watch | None = None,
) -> Prepared:
    """Prepares a corpus of `CORPORA` from its mirrors or, without network, from the files in `from_dir`.

    verify: False takes the files of `from_dir` even where their SHA-256 is another.
    timeout: seconds without progress after which a mirror is given up.

    Raises `NotFoundError` for an unknown name, else what `prepare_text` and `download.fetch` raise.
    """
    if name not in CORPORA:
        raise NotFoundError(f"no known corpus {name[:80]!r}", nearest(name, CORPORA))
    known = CORPORA[name]
    check_settings(name, tokenizer, min_count, max_len)
    if from_dir is None:
        paths = download.fetch(known, places.cache() / name, watch=watch, timeout=timeout)
    else:
        paths = download.local(known, from_dir, verify=verify)
    source = TextSource({split: (paths[split],) for split in SPLITS if split in paths}, known.description)
    return prepare_text(
        source, name, tokenizer=tokenizer, lower=lower, min_count=min_count, max_len=max_len, watch=watch
    )


def prepare_toy(*, sentences: int = 20_000, seed: int = 0, name: str = "toy", watch: Watch | None = None) -> Prepared:
    """Prepares the built-in corpus: one stream of sentences, cut into `sentences` for training and 2 × `HELD_OUT`.

    Beside every split lie SPLIT.factors.jsonl, what the grammar chose for each sentence, and SPLIT.logprob.bin,
    float64, log p(x) in nats. watch: told (stage, sentences done, sentences in all).
    """
    from seqvae_cli.data.toy import language

    check_settings(name, "whitespace", 1, None)
    if not 100 <= sentences <= 10_000_000:
        raise UsageError(f"{sentences} sentences", "toy has 100 to 10,000,000")
    sizes = {"train": sentences, "valid": HELD_OUT, "test": HELD_OUT}
    total = sum(sizes.values())
    recipe = {"format": FORMAT, "toy": language.VERSION, "sizes": sizes, "seed": seed, "tokenizer": "whitespace"}
    recipe |= {"lower": False, "min_count": 1, "max_len": None}

    def stream(stage: str) -> Iterator[tuple[str, language.ToySentence]]:
        labels = itertools.chain.from_iterable(itertools.repeat(split, size) for split, size in sizes.items())
        for done, pair in enumerate(zip(labels, language.generate(total, seed), strict=True)):
            if watch and done % 1000 == 0:
                watch(stage, done, total)
            yield pair

    def texts(stage: str, _dropped: Dropped) -> Iterator[tuple[str, str]]:
        return ((split, " ".join(sentence.words)) for split, sentence in stream(stage))

    def extras(folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
        digests = {}
        with ExitStack() as stack:

            def open_all(kind: str) -> dict[str, files.DurableFile]:
                made = {split: files.DurableFile(folder / f"{split}.{kind}") for split in sizes}
                for file in made.values():
                    stack.callback(file.close)
                return made

            factors, log_probs = open_all("factors.jsonl"), open_all("logprob.bin")
            for split, sentence in stream("factors"):
                factors[split].write((json.dumps(sentence.factors) + "\n").encode())
                log_probs[split].write(struct.pack("<d", language.log_prob(sentence.words)))
            for file in (*factors.values(), *log_probs.values()):
                digests[file.path.name] = file.commit()
        values = {factor: list(choices) for factor, choices in language.FACTORS.items()}
        return digests, {"entropy": language.entropy(), "toy": {"version": language.VERSION, "factors": values}}

    return _prepare(name, recipe, f"the built-in corpus, seed {seed}", texts, extras)


def check_settings(
    name: str,
    tokenizer: str,
    min_count: int,
    max_len: int | None,
    valid_fraction: float = 0.0,
    test_fraction: float = 0.0,
) -> None:
    """Raises `UsageError` with the range for what cannot be prepared with."""
    check_name(name)
    if tokenizer not in KINDS:
        raise UsageError(f"unknown tokenizer {tokenizer[:40]!r}", nearest(tokenizer, KINDS))
    if min_count < 1:
        raise UsageError(f"a minimal count of {min_count}", "it is 1 or more")
    if max_len is not None and max_len < 1:
        raise UsageError(f"a longest sentence of {max_len} tokens", "it is 1 or more")
    for split, fraction in (("valid", valid_fraction), ("test", test_fraction)):
        if not 0 <= fraction < 1:
            raise UsageError(f"a {split} fraction of {fraction}", "it lies in [0, 1)")
    if valid_fraction + test_fraction >= 1:
        raise UsageError(f"fractions of {valid_fraction} and {test_fraction} leave no training text", "lower them")


def _shares(total: int, fractions: dict[str, float], label: str) -> dict[str, int]:
    """Sentences of each split: one at least, and one at least for training."""
    shares = {split: max(1, round(total * fraction)) for split, fraction in fractions.items()}
    while sum(shares.values()) >= total:
        largest = max(shares, key=lambda split: shares[split])
        if shares[largest] == 1:
            empty = ("train", *fractions)[total]
            raise DataError(
                f"{label} has only {total} sentence{'s' * (total > 1)}: the {empty} split is empty",
                "add sentences, or give files with --valid and --test",
            )
        shares[largest] -= 1
    return shares | {"train": total - sum(shares.values())}


def _labels(shares: dict[str, int], seed: int) -> Iterator[str]:
    """A split for each sentence in turn, all ways to fill the `shares` being equally likely.

    References: Knuth, The Art of Computer Programming 2, section 3.4.2, algorithm S (selection sampling).
    """
    draw = random.Random(seed).random
    valid, test = shares.get("valid", 0), shares.get("test", 0)
    for left in range(shares["train"] + valid + test, 0, -1):
        point = draw() * left
        if point < valid:
            valid -= 1
            yield "valid"
        elif point < valid + test:
            test -= 1
            yield "test"
        else:
            yield "train"


def _prepare(
    name: str,
    recipe: dict[str, Any],
    description: str,
    sentences: Sentences,
    extras: Callable[[Path], tuple[dict[str, str], dict[str, Any]]] | None = None,
) -> Prepared:
    """The corpus of a recipe: the one that lies there, or a new one. `extras` adds files and entries of corpus.json."""
    path = places.corpora() / f"{name}-{hashlib.sha256(canonical(recipe)).hexdigest()[:12]}"
    if (corpus := _lying_there(path)) is not None:
        return Prepared(corpus, fresh=False)
    with files.claimed(places.corpora(), path.name) as folder:
        with files.machine_errors(folder):
            folder.mkdir()
        digests, info = _encode(folder, recipe, sentences)
        if extras is not None:
            more, entries = extras(folder)
            digests, info = digests | more, info | entries
        head = {"format": FORMAT, "name": name, "hash": content_hash(digests), "seqvae": __version__}
        head |= {"created": datetime.now(UTC).isoformat(), "prepared_at": _now(), "source": description}
        files.write_json(folder / "corpus.json", head | {"recipe": recipe} | info | {"files": digests}, sealed=True)
        return _published(folder, path)


def _encode(folder: Path, recipe: dict[str, Any], sentences: Sentences) -> tuple[dict[str, str], dict[str, Any]]:
    """Writes the tokenizer and the splits; returns the SHA-256 of each file, and the counts."""
    kind, lower, max_len = recipe["tokenizer"], recipe["lower"], recipe["max_len"]
    split_text = Tokenizer(kind, lower, SPECIALS).split
    counts: Counter[str] = Counter()
    for split, text in sentences("count", {name: Counter() for name in SPLITS}):
        if split == "train":
            counts.update(split_text(text)[:max_len])
    tokenizer = Tokenizer.fit(counts, kind, lower, recipe["min_count"])
    types = len(counts)
    counts.clear()
    if len(tokenizer) == len(SPECIALS):
        raise DataError(f"no word is seen {recipe['min_count']} times in the training text", "lower --min-count")
    dtype = "uint16" if len(tokenizer) <= 1 << 16 else "uint32"
    dropped: Dropped = {name: Counter() for name in SPLITS}
    truncated: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    digests = {"tokenizer.json": tokenizer.save(folder / "tokenizer.json")}
    with ExitStack() as stack:
        writers = {split: stack.enter_context(closing(SplitWriter(folder, split, dtype))) for split in SPLITS}
        for split, text in sentences("encode", dropped):
            pieces = split_text(text)
            if max_len is not None and len(pieces) > max_len:
                truncated[split] += 1
                pieces = pieces[:max_len]
            ids = tokenizer.ids(pieces)
            unknown[split] += ids.count(UNK)
            writers[split].add(ids)
        for writer in writers.values():
            digests |= writer.finish()
    splits = {
        split: {
            "sentences": (count := writer.lengths.total()),
            "tokens": writer.words + count,
            "words": writer.words,
            "unknown": unknown[split],
            "truncated": truncated[split],
            "too_long": dropped[split]["too_long"],
            "empty": dropped[split]["empty"],
            "lengths": _percentiles(writer.lengths),
        }
        for split, writer in writers.items()
    }
    return digests, {"splits": splits, "vocabulary": len(tokenizer), "types": types, "dtype": dtype}


def _percentiles(lengths: Counter[int]) -> dict[str, float]:
    """Of words a sentence, by nearest rank; zeros for an empty split."""
    total = lengths.total()
    if not total:
        return dict.fromkeys(("min", "p50", "p90", "p99", "max", "mean"), 0)
    ordered = sorted(lengths)
    ranks = list(itertools.accumulate(lengths[length] for length in ordered))
    at = {f"p{p}": ordered[bisect.bisect_left(ranks, total * p / 100)] for p in (50, 90, 99)}
    mean = sum(length * count for length, count in lengths.items()) / total
    return {"min": ordered[0], **at, "max": ordered[-1], "mean": round(mean, 3)}


def _lying_there(path: Path) -> Corpus | None:
    """The corpus that was prepared before, marked as the one its name means now; None for none or a damaged one."""
    with files.machine_errors(path):
        if not (path / "corpus.json").is_file():
            return None
    try:
        corpus = Corpus.open(path)
        corpus.verify()
    except DataError:
        return None
    rivals = [other for other in list_prepared() if other.name[:-13] == path.name[:-13]]
    if max(rivals, key=prepared_at) != path:
        corpus = Corpus(path, corpus.info | {"prepared_at": _now()})
        files.write_json(path / "corpus.json", corpus.info, sealed=True)
    return corpus


def _now() -> int:
    """Nanoseconds since 1970, but later than any corpus here: the last one prepared wins, whatever the clock does."""
    return max([time.time_ns(), *(prepared_at(path)[0] + 1 for path in list_prepared())])


def _published(folder: Path, path: Path) -> Prepared:
    """Gives a finished folder its name; where another process was faster, takes its folder."""
    with files.machine_errors(path):
        while True:
            try:
                folder.rename(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if (corpus := _lying_there(path)) is not None:
                    return Prepared(corpus, fresh=False)
                with files.claimed(path.parent, "damaged") as grave, suppress(FileNotFoundError):
                    path.rename(grave)
            else:
                files.sync_directory(path.parent)
                return Prepared(Corpus.open(path), fresh=True)

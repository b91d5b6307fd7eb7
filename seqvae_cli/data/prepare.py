"""Text -> a prepared corpus: a vocabulary from the training split, and token ids on disk.

Text is streamed, never held in memory: one pass counts words, one encodes them. Where splits are cut from the training
text, a pass before them counts sentences. The same text with the same settings gives the same folder; the second time
it is only hashed.
"""

from __future__ import annotations

import itertools
import json
import random
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, TypedDict, Unpack

from seqvae_cli.data import download, repeats, segments, sources
from seqvae_cli.data.build import Dropped, Prepared, build
from seqvae_cli.data.catalog import CORPORA
from seqvae_cli.data.corpus import CORPUS_FORMAT, SPLITS, check_name
from seqvae_cli.data.segments import Layout
from seqvae_cli.data.sources import SplitText, StageProgress, TextSource
from seqvae_cli.data.text import check_encoding
from seqvae_cli.data.tokenizer import KINDS
from seqvae_cli.errors import DataError, NotFoundError, UsageError, counted, nearest
from seqvae_cli.system import files, places
from seqvae_cli.system.progress import ProgressReport

TOY_SENTENCES = "choose 100 to 10,000,000"
HELD_OUT = 2_000
"""Sentences in each of toy's validation and test splits."""


class PrepareOptions(TypedDict, total=False):
    """The options of `prepare`. Leaving one out, None, and its default are the same."""

    name: str | None
    """Name of the corpus; None: that of the source."""
    sentences: int | str | None
    """toy: the number of training sentences; None: 20,000. Text: one of `segments.MODES`; None: line."""
    language: str | None
    """Text, with sentences "document" or "auto": the ISO 639 code of its language; None: guessed."""
    dedupe: bool
    """Keep one of each sentence (False)."""
    from_folder: str | Path | None
    """A known corpus: the folder with its files; None: they are downloaded."""
    verify: bool
    """A known corpus from a folder: check the SHA-256 of its files (True)."""
    valid: str | Path | None
    """Text: the file of the validation split; None: the split is cut from the text."""
    test: str | Path | None
    """Text: likewise for the test split."""
    valid_fraction: float | None
    """Text: share of the sentences cut for validation; None: 0.05."""
    test_fraction: float | None
    """Text: share of the sentences cut for test; None: 0.05."""
    tokenizer: str | None
    """A kind of `Tokenizer`; None: word for text, whitespace for a known corpus, whose words are separated already."""
    lower: bool
    """Lower-case the text (False)."""
    min_count: int
    """Words that occur less often in the training split become `<unk>` (1)."""
    max_len: int | None
    """Tokens kept of a sentence, in every split; None keeps all."""
    seed: int
    """Seed of the cut, and of toy (0)."""
    encoding: str
    """Text: its encoding (utf-8)."""
    watch: ProgressReport | None
    """Told (stage, units done, units in all)."""


DEFAULTS = {"verify": True, "dedupe": False, "lower": False, "min_count": 1, "seed": 0, "encoding": "utf-8"}
"""Those of the options whose default is not None."""

APPLICABLE = {
    "toy": {"name", "sentences", "seed"},
    "known": {"from_folder", "verify", "dedupe", "tokenizer", "lower", "min_count", "max_len", "seed"},
    "text": {"name", "valid", "test", "valid_fraction", "test_fraction", "tokenizer", "lower", "min_count", "max_len"}
    | {"sentences", "language", "dedupe", "seed", "encoding"},
}
"""The options that apply to each kind of source; `watch` applies to all."""


def kind_of_source(source: str | Path | BinaryIO) -> str:
    """The kind of a source: "toy", "known" (in the catalog) or "text"."""
    if isinstance(source, str) and source in ("toy", *CORPORA):
        return "toy" if source == "toy" else "known"
    return "text"


def refused_options(source: str | Path | BinaryIO, given: Iterable[str]) -> list[str]:
    """The `given` options that do not apply to the source, sorted."""
    return sorted(set(given) - APPLICABLE[kind_of_source(source)] - {"watch"})


def prepare(source: str | Path | BinaryIO, **options: Unpack[PrepareOptions]) -> Prepared:
    """Prepares `toy`, a known corpus such as `ptb`, or text: a file, a folder or a stream.

    Raises `UsageError` for options that do not apply to the source or exclude each other, else what `prepare_toy`,
    `prepare_known` and `prepare_text` raise.
    """
    given: dict[str, Any] = {key: value for key, value in options.items() if value not in (None, DEFAULTS.get(key))}
    kind = kind_of_source(source)
    if refused := refused_options(source, given):
        raise UsageError(f"{refused[0]} does not go with {'text' if kind == 'text' else source}", "leave it out")
    if kind == "toy":
        if isinstance(given.get("sentences"), str):
            raise UsageError(f"toy cannot have {given['sentences'][:40]!r} training sentences", TOY_SENTENCES)
        return prepare_toy(**given)
    if kind == "known":
        given.pop("seed", None)
        if "verify" in given and "from_folder" not in given:
            raise UsageError("verify=False applies only to files in a folder", "give from_folder")
        return prepare_known(str(source), **given)
    for split in ("valid", "test"):
        if split in given and f"{split}_fraction" in given:
            raise UsageError(f"{split} and {split}_fraction exclude each other", "give one of them")
    text = Path(source) if isinstance(source, str) else source
    held_out = {split: Path(given.pop(split)) for split in ("valid", "test") if split in given}
    defaults = {"name": sources.name_of(str(source) if isinstance(text, Path) else "-"), "tokenizer": "word"}
    return prepare_text(sources.text_source(text, **held_out), **defaults | given)


def prepare_text(
    source: TextSource,
    name: str,
    *,
    sentences: str = "line",
    language: str | None = None,
    dedupe: bool = False,
    tokenizer: str = "whitespace",
    lower: bool = False,
    min_count: int = 1,
    max_len: int | None = None,
    valid_fraction: float = 0.05,
    test_fraction: float = 0.05,
    seed: int = 0,
    encoding: str = "utf-8",
    watch: ProgressReport | None = None,
) -> Prepared:
    """Prepares text; blank lines and lines over 1 MiB are dropped and counted.

    sentences: "line", a sentence a line; "document", which sentencex splits (see `segments.sentences`); "auto", what
        the beginning of the training text looks like.
    language: the ISO 639 code of the language of documents; None: guessed from the beginning.
    dedupe: keep the first one of each sentence (see `repeats`), before splits are cut. The files of held-out splits
        stay whole; training loses what stands in them.
    tokenizer: the kind, see `Tokenizer`. The vocabulary comes from the training split.
    min_count: words that occur less often in the training split become `<unk>`.
    max_len: tokens kept of a sentence, in every split; None keeps all.
    valid_fraction, test_fraction: shares of the sentences, drawn with `seed`, where the source lacks that split;
        0 leaves the split empty.
    watch: called with (stage, bytes done, bytes in all).

    Raises `UsageError` for a setting out of range, before anything is read; `DataError` for unusable text, with file
    and line; `MachineError` where the disk fails or a permission is missing.
    """
    check_settings(name, tokenizer, min_count, max_len, valid_fraction, test_fraction)
    segments.check(sentences, language)
    encoding = check_encoding(encoding)
    fractions = {"valid": valid_fraction, "test": test_fraction}
    with ExitStack() as stack:
        progress = StageProgress(watch)
        texts = {split: SplitText(split, items, encoding, progress, stack) for split, items in source.files.items()}
        total_size = sum(text.size for text in texts.values())
        layout: Layout | None = None
        if sentences != "line":
            progress.start("look", texts["train"].size)
            layout = segments.look(texts["train"].lines(Counter(), keep_blank=True))
            if sentences == "auto" and not layout.documents:
                layout = None
        progress.start("hash", total_size)
        cut = {split: fraction for split, fraction in fractions.items() if split not in texts and fraction}
        recipe: dict[str, Any] = {
            "format": CORPUS_FORMAT,
            "sources": {split: text.digests() for split, text in texts.items()},
            "encoding": encoding,
            "tokenizer": tokenizer,
            "lower": lower,
            "min_count": min_count,
            "max_len": max_len,
            "fractions": cut,
            "seed": seed if cut else None,
        }
        if layout:
            recipe |= {"sentences": "document", "language": language or layout.language}
        if dedupe:
            recipe |= {"dedupe": True}
        sizes: dict[str, int] = {}

        def read(split: str, dropped: Counter[str]) -> Iterator[str]:
            if layout is None:
                return texts[split].lines(dropped)
            lines = texts[split].lines(dropped, keep_blank=True)
            return segments.sentences(lines, recipe["language"], layout.wrapped)

        @cache
        def kept() -> bytearray:
            """1 for each training sentence that stays, 0 for one that repeats."""
            progress.start("repeats", total_size)
            held_out = itertools.chain.from_iterable(read(split, Counter()) for split in texts if split != "train")
            mask = bytearray(repeats.firsts(read("train", Counter()), held_out, str.lower if lower else str))
            if not any(mask):
                raise DataError(f"every sentence of {texts['train'].label} stands in a held-out split, too")
            return mask

        def stream(stage: str, dropped: Dropped) -> Iterator[tuple[str, str]]:
            mask = kept() if dedupe else None
            if cut and not sizes:
                if mask is None:
                    progress.start("lines", texts["train"].size)
                total = sum(1 for _ in read("train", Counter())) if mask is None else mask.count(1)
                sizes.update(_split_sizes(total, cut, texts["train"].label))
            progress.start(stage, total_size if stage == "encode" else texts["train"].size)
            splits = itertools.chain(_draw_splits(sizes, seed) if cut else (), itertools.repeat("train"))
            train = read("train", dropped["train"])
            if mask is not None:
                dropped["train"]["repeated"] = mask.count(0)
                train = itertools.compress(train, mask)
            for text, split in zip(train, splits, strict=False):
                yield split, text
            if stage == "encode":
                for split in list(texts)[1:]:
                    yield from zip(itertools.repeat(split), read(split, dropped[split]), strict=False)

        return build(name, recipe, source.description, stream)


def prepare_known(
    name: str,
    *,
    from_folder: str | Path | None = None,
    verify: bool = True,
    dedupe: bool = False,
    tokenizer: str = "whitespace",
    lower: bool = False,
    min_count: int = 1,
    max_len: int | None = None,
    timeout: float = 30.0,
    watch: ProgressReport | None = None,
) -> Prepared:
    """Prepares a corpus of the catalog from its mirrors or, without network, from the files in `from_folder`.

    verify: False accepts files in `from_folder` whose SHA-256 differs.
    dedupe: training loses its repeats, and the sentences of the other splits.
    timeout: seconds without progress after which a mirror is given up.

    Raises `NotFoundError` for an unknown name, else what `prepare_text` and `download.fetch` raise.
    """
    if name not in CORPORA:
        raise NotFoundError(f"no known corpus {name[:80]!r}", nearest(name, CORPORA))
    known = CORPORA[name]
    check_settings(name, tokenizer, min_count, max_len)
    if from_folder is None:
        paths = download.fetch(known, places.cache() / name, watch=watch, timeout=timeout)
    else:
        paths = download.local(known, Path(from_folder), verify=verify)
    source = TextSource({split: (paths[split],) for split in SPLITS if split in paths}, known.description)
    options: dict[str, Any] = {"tokenizer": tokenizer, "lower": lower, "min_count": min_count, "max_len": max_len}
    return prepare_text(source, name, dedupe=dedupe, **options, watch=watch)


def prepare_toy(
    *, sentences: int = 20_000, seed: int = 0, name: str = "toy", watch: ProgressReport | None = None
) -> Prepared:
    """Prepares the built-in corpus: one stream of sentences, cut into `sentences` for training and 2 × `HELD_OUT`.

    Two more files a split: SPLIT.factors.jsonl, the hidden factors of each sentence, and SPLIT.logprob.bin, log p(x) in
    nats as float64. watch: called with (stage, sentences done, sentences in all).

    Raises `UsageError` for a number of sentences outside 100 to 10,000,000.
    """
    from seqvae_cli.data.toy import language

    check_settings(name, "whitespace", 1, None)
    if not 100 <= sentences <= 10_000_000:
        raise UsageError(f"toy cannot have {sentences} training sentences", TOY_SENTENCES)
    sizes = {"train": sentences, "valid": HELD_OUT, "test": HELD_OUT}
    total = sum(sizes.values())
    recipe = {"format": CORPUS_FORMAT, "toy": language.VERSION, "sizes": sizes, "seed": seed, "tokenizer": "whitespace"}
    recipe |= {"lower": False, "min_count": 1, "max_len": None}

    def stream(stage: str) -> Iterator[tuple[str, language.ToySentence]]:
        splits = itertools.chain.from_iterable(itertools.repeat(split, size) for split, size in sizes.items())
        for done, pair in enumerate(zip(splits, language.generate(total, seed), strict=True)):
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

    return build(name, recipe, f"the built-in corpus, seed {seed}", texts, extras)


def check_settings(
    name: str,
    tokenizer: str,
    min_count: int,
    max_len: int | None,
    valid_fraction: float = 0.0,
    test_fraction: float = 0.0,
) -> None:
    """Raises `UsageError` with the allowed range for an invalid setting."""
    check_name(name)
    if tokenizer not in KINDS:
        raise UsageError(f"unknown tokenizer {tokenizer[:40]!r}", nearest(tokenizer, KINDS))
    if min_count < 1:
        raise UsageError(f"min_count is {min_count}", "it must be at least 1")
    if max_len is not None and max_len < 1:
        raise UsageError(f"max_len is {max_len}", "it must be at least 1")
    for split, fraction in (("valid", valid_fraction), ("test", test_fraction)):
        if not 0 <= fraction < 1:
            raise UsageError(f"{split}_fraction is {fraction}", "it must lie in [0, 1)")
    if valid_fraction + test_fraction >= 1:
        raise UsageError(f"fractions {valid_fraction} and {test_fraction} leave no training text", "lower them")


def _split_sizes(total: int, fractions: dict[str, float], label: str) -> dict[str, int]:
    """The number of sentences of each split, at least one each, "train" included."""
    sizes = {split: max(1, round(total * fraction)) for split, fraction in fractions.items()}
    while sum(sizes.values()) >= total:
        largest = max(sizes, key=lambda split: sizes[split])
        if sizes[largest] == 1:
            empty = ("train", *fractions)[total]
            raise DataError(
                f"{label} has only {counted(total, 'sentence')}: the {empty} split is empty",
                "a line is a sentence: add lines, or give files with --valid and --test",
            )
        sizes[largest] -= 1
    return sizes | {"train": total - sum(sizes.values())}


def _draw_splits(sizes: dict[str, int], seed: int) -> Iterator[str]:
    """Yields the split of each sentence in turn; every assignment with these `sizes` is equally likely.

    References: Knuth, The Art of Computer Programming 2, section 3.4.2, algorithm S (selection sampling).
    """
    draw = random.Random(seed).random
    valid, test = sizes.get("valid", 0), sizes.get("test", 0)
    for left in range(sizes["train"] + valid + test, 0, -1):
        point = draw() * left
        if point < valid:
            valid -= 1
            yield "valid"
        elif point < valid + test:
            test -= 1
            yield "test"
        else:
            yield "train"

"""Text -> a prepared corpus: a vocabulary from the training split, and token ids on disk.

Text is streamed, never held in memory: one pass counts words, one encodes them. Where splits are cut from the training
text, a pass before them counts sentences. The same text with the same settings gives the same folder; the second time
it is only hashed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypedDict, Unpack

from seqvae_cli.data import download, segments, sources
from seqvae_cli.data.build import Prepared, build
from seqvae_cli.data.catalog import CORPORA
from seqvae_cli.data.corpus import CORPUS_FORMAT, SPLITS, check_name
from seqvae_cli.data.flow import Flow, check_drawn, chosen_reading, tables_recipe
from seqvae_cli.data.readers import Reading
from seqvae_cli.data.records import Columns
from seqvae_cli.data.sources import Filter, SplitText, StageProgress, TextSource
from seqvae_cli.data.text import check_encoding
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.data.vocabulary import TokenizerOptions, tokenizer_settings
from seqvae_cli.errors import NotFoundError, UsageError, nearest
from seqvae_cli.system import places
from seqvae_cli.system.cores import usable_cores
from seqvae_cli.system.progress import ProgressReport


class PrepareOptions(TypedDict, total=False):
    """The options of `prepare`. Leaving one out, None, and its default are the same."""

    name: str | None
    """Name of the corpus; None: that of the source, of several that of the first."""
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
    format: str | None
    """Text: that of the files, one of `readers.FORMATS`; None: by the endings of their names."""
    text: str | None
    """Tables: the column of the text; None: it is guessed."""
    label: str | Sequence[str] | None
    """Tables: the column of a label, or several."""
    split: str | None
    """Tables: the column that says train, valid (validation, val, dev) or test."""
    id: str | None
    """Tables: the column of the ids."""
    valid: str | Path | None
    """Text: the file of the validation split; None: the split is cut from the text."""
    test: str | Path | None
    """Text: likewise for the test split."""
    valid_fraction: float | None
    """Text: share of the sentences cut for validation; None: 0.05."""
    test_fraction: float | None
    """Text: share of the sentences cut for test; None: 0.05."""
    tokenizer: str | Tokenizer | None
    """A kind of `Tokenizer`; None: word for text, whitespace for a known corpus, whose words are separated already.
    Or the tokenizer of a run or corpus, with its vocabulary."""
    vocab_size: int | None
    """bpe, unigram: ids in all, at most; None: 8,000."""
    pattern: str | None
    """regex: a regular expression, or smiles."""
    tokenizer_file: str | Path | None
    """A tokenizer.json of the `tokenizers` library, in place of a kind."""
    lower: bool
    """Lower-case the text (False)."""
    normalize: str | None
    """Text: nfc, nfkc or none; None: nfc, or that of a given tokenizer."""
    min_count: int
    """Words that occur less often in the training split become `<unk>` (1)."""
    max_len: int | None
    """Tokens kept of a sentence, in every split; None keeps all."""
    seed: int
    """Seed of the cut, and of toy (0)."""
    encoding: str
    """Text: its encoding (utf-8)."""
    workers: int | None
    """Text: processes that work on a large one; None: one a core, at most `MOST_WORKERS`. The corpus is the same."""
    watch: ProgressReport | None
    """Told (stage, units done, units in all)."""


FRACTION = 0.05
"""Share of the sentences for each held-out split that the source lacks."""
DEFAULTS = {"verify": True, "dedupe": False, "lower": False, "min_count": 1, "seed": 0, "encoding": "utf-8"}
"""Those of the options whose default is not None."""

MOST_WORKERS = 4
"""Processes that the one that reads can keep busy: words cost it a quarter of the time (docs/own-text.md)."""

TOKENS = {"tokenizer", "vocab_size", "pattern", "tokenizer_file", "lower", "min_count"}
"""The options of `tokenizer_settings` that apply to all but toy."""

APPLICABLE = {
    "toy": {"name", "sentences", "seed"},
    "known": {"from_folder", "verify", "dedupe", *TOKENS, "max_len", "seed", "workers"},
    "text": {"name", "valid", "test", "valid_fraction", "test_fraction", *TOKENS, "normalize", "max_len"}
    | {"sentences", "language", "dedupe", "seed", "encoding", "format", "text", "label", "split", "id", "workers"},
}
"""The options that apply to each kind of source; `watch` applies to all."""


Source = str | Path | BinaryIO
"""The name of a corpus, a file, a pattern of files (`data/*.txt`), a folder or a stream."""


def kind_of_source(source: Source | Sequence[Source]) -> str:
    """The kind of a source: "toy", "known" (in the catalog) or "text", of which there may be several.

    Raises `UsageError` for no source, and for several of which one is a corpus.
    """
    several = list(source) if isinstance(source, Sequence) and not isinstance(source, str) else [source]
    kinds = [
        "text" if not isinstance(one, str) else {"toy": "toy"}.get(one, "known" if one in CORPORA else "text")
        for one in several
    ]
    if not kinds:
        raise UsageError("no text is given", "name a file, a folder or a corpus")
    named = [one for one, kind in zip(several, kinds, strict=True) if kind != "text"]
    if len(kinds) > 1 and named:
        raise UsageError(f"{named[0]} is a corpus of its own", f"prepare it alone; a file of that name is ./{named[0]}")
    return kinds[0]


def refused_options(source: Source | Sequence[Source], given: Iterable[str]) -> list[str]:
    """The `given` options that do not apply to the source, sorted."""
    return sorted(set(given) - APPLICABLE[kind_of_source(source)] - {"watch"})


def prepare(source: Source | Sequence[Source], **options: Unpack[PrepareOptions]) -> Prepared:
    """Prepares `toy`, a known corpus such as `ptb`, or text: files, patterns, folders or a stream, one or several.

    Raises `UsageError` for options that do not apply to the source or exclude each other, else what `prepare_toy`,
    `prepare_known` and `prepare_text` raise.
    """
    several = list(source) if isinstance(source, Sequence) and not isinstance(source, str) else [source]
    given: dict[str, Any] = {key: value for key, value in options.items() if value not in (None, DEFAULTS.get(key))}
    _check_types(several, given)
    kind = kind_of_source(several)
    if refused := refused_options(several, given):
        raise UsageError(f"{refused[0]} does not go with {'text' if kind == 'text' else several[0]}", "leave it out")
    if kind == "toy":
        from seqvae_cli.data.toy.build import TOY_SENTENCES, prepare_toy

        if isinstance(given.get("sentences"), str):
            raise UsageError(f"toy cannot have {given['sentences'][:40]!r} training sentences", TOY_SENTENCES)
        return prepare_toy(**given)
    if kind == "known":
        given.pop("seed", None)
        if "verify" in given and "from_folder" not in given:
            raise UsageError("verify=False applies only to files in a folder", "give from_folder")
        return prepare_known(str(several[0]), **given)
    for split in ("valid", "test"):
        if split in given and f"{split}_fraction" in given:
            raise UsageError(f"{split} and {split}_fraction exclude each other", "give one of them")
    texts = sources.expanded(several)
    held_out = {split: Path(given.pop(split)) for split in ("valid", "test") if split in given}
    label = given.pop("label", ())
    labels = tuple(dict.fromkeys([label] if isinstance(label, str) else label))
    columns = Columns(given.pop("text", None), labels, given.pop("split", None), given.pop("id", None))
    reading = Reading(given.pop("format", None), columns, given.pop("encoding", "utf-8"))
    first = texts[0]
    defaults = {"name": sources.name_of(str(first) if isinstance(first, Path) else "-"), "default_kind": "word"}
    if not isinstance(given.get("tokenizer"), Tokenizer):
        defaults["normalize"] = "nfc"
    text = sources.text_source(texts, **held_out, form=reading.format)
    return prepare_text(text, **defaults | given, encoding=reading.encoding, reading=reading)


def _check_types(source: Sequence[object], given: Mapping[str, Any]) -> None:
    """Raises `UsageError` for values that would be taken for others, or would fail far from here."""
    for one in source:
        if not isinstance(one, str | Path) and not hasattr(one, "read"):
            raise UsageError(f"the source is {one!r:.40}", "name a file, a folder or a corpus")
    for name in ("verify", "dedupe", "lower"):
        if name in given and not isinstance(given[name], bool):
            raise UsageError(f"{name} is {given[name]!r:.40}", "True or False")
    seed = given.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise UsageError(f"seed is {seed!r:.40}", "a whole number from 0 to 2^63 - 1")


def prepare_text(
    source: TextSource,
    name: str,
    *,
    sentences: str = "line",
    language: str | None = None,
    dedupe: bool = False,
    max_len: int | None = None,
    valid_fraction: float | None = None,
    test_fraction: float | None = None,
    seed: int = 0,
    encoding: str = "utf-8",
    reading: Reading | None = None,
    workers: int | None = None,
    watch: ProgressReport | None = None,
    **tokens: Unpack[TokenizerOptions],
) -> Prepared:
    """Prepares text, a sentence a line, or tables, a sentence a row; blank ones and those over 1 MiB are dropped.

    sentences: "line", a sentence a line; "document", which sentencex splits (see `segments.sentences`); "auto", what
        the beginning of the training text looks like.
    language: the ISO 639 code of the language of documents; None: guessed from the beginning.
    dedupe: keep the first one of each sentence (see `repeats`), before splits are cut. The files of held-out splits
        stay whole; training loses what stands in them.
    max_len: tokens kept of a sentence, in every split; None keeps all.
    valid_fraction, test_fraction: shares of the sentences, drawn with `seed`: 0 leaves the split empty; None:
        `FRACTION`, where the source lacks that split.
    reading: the format of the files and their columns; None: by the endings of their names, without labels.
    workers: processes that work on a large text; None: one a core, at most `MOST_WORKERS`.
    watch: called with (stage, bytes done, bytes in all).
    tokens: how text becomes tokens (`tokenizer_settings`): by default words between whitespace. The vocabulary comes
        from the training split.

    Raises `UsageError` for a setting out of range, before anything is read, for columns that the tables lack, and for a
    fraction of a split that the source has;
    `DataError` for unusable text, with file and line; `MachineError` where the disk fails or a permission is missing.
    """
    asked = {"valid": valid_fraction, "test": test_fraction}
    fractions = {split: FRACTION if share is None else share for split, share in asked.items()}
    check_settings(name, max_len, *fractions.values())
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}", "it must be at least 1")
    segments.check(sentences, language)
    encoding = check_encoding(encoding)
    chosen = tokenizer_settings(**tokens)
    with ExitStack() as stack:
        progress = StageProgress(watch)
        texts = {
            split: SplitText(split, items, progress, stack, source.folders) for split, items in source.files.items()
        }
        to_draw = [split for split, share in asked.items() if share is not None]
        check_drawn(to_draw, texts)
        reading = chosen_reading(texts, replace(reading or Reading(), encoding=encoding))
        layout = None if sentences == "line" else _layout(texts["train"], reading, progress)
        if layout and sentences == "auto" and not layout.documents:
            layout = None
        progress.start("hash", sum(text.size for text in texts.values()))
        cut = {split: fraction for split, fraction in fractions.items() if split not in texts and fraction}
        recipe: dict[str, Any] = {
            "format": CORPUS_FORMAT,
            "sources": {split: text.digests() for split, text in texts.items()},
            "encoding": encoding,
            **chosen.recipe(),
            "max_len": max_len,
            "fractions": cut,
            "seed": seed if cut else None,
        } | tables_recipe(texts, reading)
        filters: list[Filter] = []
        if layout:
            recipe |= {"sentences": "document", "language": language or layout.language}
            filters.append(partial(segments.of_records, language=recipe["language"], wrapped=layout.wrapped))
        if dedupe:
            recipe["dedupe"] = True
        flow = Flow(texts, reading, cut, seed, progress, filters, chosen.normalized if dedupe else None, to_draw)
        return build(
            name,
            recipe,
            source.description,
            flow.sentences,
            flow.extras if "records" in recipe else None,
            tokens=chosen,
            workers=workers or min(usable_cores(), MOST_WORKERS),
        )


def _layout(text: SplitText, reading: Reading, progress: StageProgress) -> segments.Layout:
    progress.start("look", text.size)
    lines = (record.text for record in text.records(reading, Counter(), keep_blank=True))
    return segments.look(lines, table=all(reading.is_table(file.label) for file in text.files))


def prepare_known(
    name: str,
    *,
    from_folder: str | Path | None = None,
    verify: bool = True,
    dedupe: bool = False,
    max_len: int | None = None,
    timeout: float = 30.0,
    workers: int | None = None,
    watch: ProgressReport | None = None,
    **tokens: Unpack[TokenizerOptions],
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
    check_settings(name, max_len)
    tokenizer_settings(**tokens)
    if from_folder is None:
        paths = download.fetch(known, places.cache() / name, watch=watch, timeout=timeout)
    else:
        paths = download.local(known, Path(from_folder), verify=verify)
    source = TextSource({split: (paths[split],) for split in SPLITS if split in paths}, known.description)
    options: TokenizerOptions = {**tokens, "code_points": True}
    return prepare_text(source, name, dedupe=dedupe, max_len=max_len, workers=workers, watch=watch, **options)


def check_settings(
    name: str,
    max_len: int | None,
    valid_fraction: float = 0.0,
    test_fraction: float = 0.0,
) -> None:
    """Raises `UsageError` with the allowed range for an invalid setting."""
    check_name(name)
    if max_len is not None and max_len < 1:
        raise UsageError(f"max_len is {max_len}", "it must be at least 1")
    for split, fraction in (("valid", valid_fraction), ("test", test_fraction)):
        if not 0 <= fraction < 1:
            raise UsageError(f"{split}_fraction is {fraction}", "it must lie in [0, 1)")
    if valid_fraction + test_fraction >= 1:
        raise UsageError(f"fractions {valid_fraction} and {test_fraction} leave no training text", "lower them")

"""`seqvae prepare`: text -> a corpus on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from seqvae_cli.cli import corpus_report, display
from seqvae_cli.cli import sentences as sentences_of
from seqvae_cli.cli.headings import KNOWN_CORPORA, SPLITS, VOCABULARY
from seqvae_cli.cli.options import Encoding, Format, Ids, Json, Labels, TextColumn, complete_source, one_of
from seqvae_cli.data.tokenizer import KINDS
from seqvae_cli.data.tokenizers.normalization import NORMALIZATIONS
from seqvae_cli.errors import NotFoundError, UsageError, nearest

app = typer.Typer()


@app.command()
def prepare(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="ptb|toy|FILE...|DIR|-",
            help="A known corpus; or text, a sentence a line, or tables, one a row.",
            autocompletion=one_of("ptb", "toy"),
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the corpus [default: that of the source].")] = None,
    form: Format = None,
    text: TextColumn = None,
    label: Labels = None,
    id_column: Ids = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Tables: the column that says train, valid (val, dev) or test.",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    from_dir: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="ptb: take the files of this folder, no network.",
            rich_help_panel=KNOWN_CORPORA,
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option(help="--from: check the files' SHA-256.", rich_help_panel=KNOWN_CORPORA)
    ] = True,
    valid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text or table of the validation split.", rich_help_panel=SPLITS)
    ] = None,
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text or table of the test split.", rich_help_panel=SPLITS)
    ] = None,
    valid_fraction: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the sentences cut off for validation, below 1 [default: 0.05].",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the sentences cut off for test, below 1 [default: 0.05].",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help=f"How text becomes tokens: {', '.join(KINDS)} [default: word; ptb: whitespace].",
            autocompletion=one_of(*KINDS),
            rich_help_panel=VOCABULARY,
        ),
    ] = None,
    vocab_size: Annotated[
        int | None,
        typer.Option(
            min=261,
            max=1_000_000,
            help="bpe, unigram: ids in all, at most; 260 are special ones and bytes [default: 8,000].",
            rich_help_panel=VOCABULARY,
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX|smiles",
            help="regex: tokens are its matches, and single characters between them.",
            autocompletion=one_of("smiles"),
            rich_help_panel=VOCABULARY,
        ),
    ] = None,
    tokenizer_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A tokenizer.json of Hugging Face's tokenizers, with its vocabulary.",
            rich_help_panel=VOCABULARY,
        ),
    ] = None,
    tokenizer_of: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|CORPUS",
            help="The tokenizer of a run or a corpus, with its vocabulary.",
            autocompletion=complete_source,
            rich_help_panel=VOCABULARY,
        ),
    ] = None,
    normalize: Annotated[
        str | None,
        typer.Option(
            help=f"Unicode form of the text: {', '.join(NORMALIZATIONS)} [default: nfc].",
            autocompletion=one_of(*NORMALIZATIONS),
            rich_help_panel=VOCABULARY,
        ),
    ] = None,
    lower: Annotated[bool, typer.Option(help="Lower-case the text.", rich_help_panel=VOCABULARY)] = False,
    min_count: Annotated[
        int,
        typer.Option(
            min=1,
            help="Words seen less often in training become <unk>.",
            show_default=True,
            rich_help_panel=VOCABULARY,
        ),
    ] = 1,
    max_len: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cut sentences, in every split, to so many tokens [default: never].",
            rich_help_panel=VOCABULARY,
        ),
    ] = None,
    sentences: Annotated[
        str | None,
        typer.Option(
            metavar="MODE|N",
            autocompletion=one_of("line", "document", "auto"),
            help="Text: line, a sentence a line; document, split into sentences; auto, what it looks like. "
            "toy: training sentences, 100 to 10,000,000 [default: line; toy: 20,000].",
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Language of documents, such as en or de [default: guessed]."),
    ] = None,
    dedupe: Annotated[
        bool,
        typer.Option("--dedupe", help="Keep one of each sentence, so that none stands in two splits."),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**63 - 1,
            help="Seed of the cut, and of toy.",
            show_default=True,
            rich_help_panel=SPLITS,
        ),
    ] = 0,
    encoding: Encoding = "utf-8",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=256,
            help="Processes that work on a large text [default: one a core, up to 4].",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Prepare a corpus: text to token ids on disk.

    Examples:

        seqvae prepare ptb
        seqvae prepare toy --sentences 50000
        seqvae prepare reviews.txt --lower --min-count 2
        seqvae prepare reviews.csv --text review_text --label sentiment
        seqvae prepare "parts/*.jsonl.gz" --name news
        seqvae prepare german.txt --tokenizer bpe --vocab-size 4000
        seqvae prepare molecules.txt --pattern smiles
        seqvae prepare new.txt --tokenizer-of latest
        seqvae prepare novel.txt --sentences document --language en --dedupe
    """
    from seqvae_cli.data import prepare

    options = {
        "name": name,
        "sentences": int(sentences) if sentences and sentences.isdecimal() and len(sentences) < 20 else sentences,
        "language": language,
        "dedupe": dedupe,
        "from_folder": from_dir,
        "verify": verify,
        "valid": valid,
        "test": test,
        "valid_fraction": valid_fraction,
        "test_fraction": test_fraction,
        "tokenizer": tokenizer,
        "vocab_size": vocab_size,
        "pattern": pattern,
        "tokenizer_file": tokenizer_file,
        "normalize": normalize,
        "lower": lower,
        "min_count": min_count,
        "max_len": max_len,
        "seed": seed,
        "encoding": encoding,
        "workers": workers,
        "format": form,
        "text": text,
        "label": label or None,
        "split": split,
        "id": id_column,
    }
    given: Any = {key: value for key, value in options.items() if value not in (None, prepare.DEFAULTS.get(key))}
    if tokenizer_of is not None:
        if tokenizer is not None:
            raise UsageError("--tokenizer does not go with --tokenizer-of", "leave one of them out")
        given["tokenizer"] = tokenizer_of
    _check_options(source, given)
    if tokenizer_of is not None:
        given["tokenizer"] = _tokenizer_of(tokenizer_of)
    kind = prepare.kind_of_source(source)
    if kind == "known":
        _licence(source[0])
    sources = [sys.stdin.buffer if one == "-" else one for one in source]
    with _StageBar("sentences" if kind == "toy" else "bytes") as watch:
        prepared = prepare.prepare(sources, **given, watch=watch)
    for folder in source if kind == "text" else ():
        if sentences_of.is_a_folder(folder):
            sentences_of.warn_of_skipped(Path(folder))
    corpus_report.say_layout(prepared.corpus.info["recipe"], given)
    corpus_report.report(prepared, json)


FLAGS = {"from_folder": "--from", "verify": "--no-verify"}
"""Flags whose name differs from that of the option in `data.prepare`."""


def _check_options(source: list[str], given: dict[str, Any]) -> None:
    """Raises `UsageError`, naming the flag, for options that do not go with the source or with each other."""
    from seqvae_cli.data import prepare

    if "-" in source and len(source) > 1:
        raise UsageError("standard input (-) cannot be combined with files", "give - alone")
    for option in prepare.refused_options(source, given):
        kind = "text" if prepare.kind_of_source(source) == "text" else source[0]
        flag = FLAGS.get(option, f"--{option.replace('_', '-')}")
        raise UsageError(f"{flag} does not go with {kind}", "see seqvae prepare --help")
    for split in ("valid", "test"):
        if split in given and f"{split}_fraction" in given:
            raise UsageError(f"--{split} and --{split}-fraction exclude each other", "give one of them")
    if "verify" in given and "from_folder" not in given:
        raise UsageError("--no-verify goes with --from", "downloads are always checked")


def _tokenizer_of(name: str) -> Any:
    """The tokenizer of the run or corpus of that name, or of the run that it abbreviates. Raises `NotFoundError`."""
    from seqvae_cli.data import corpus
    from seqvae_cli.runs import loading, registry

    corpora, runs = corpus.known_names(), registry.names()
    if name in corpora and name not in runs:
        return corpus.find(name).tokenizer
    try:
        run = registry.find(name, trained=True)
    except NotFoundError as error:
        if name in registry.ALIASES:
            raise
        raise NotFoundError(f"no run and no corpus {name[:80]!r}", nearest(name, {*corpora, *runs})) from error
    return loading.load_settings_and_tokenizer(run)[1]


def _licence(name: str) -> None:
    """Shows the licence notice of a known corpus, once: repeated notices are skipped unread."""
    from seqvae_cli.data import download
    from seqvae_cli.data.catalog import CORPORA

    if download.licence_due(CORPORA[name]):
        display.comment(CORPORA[name].licence)
        download.record_licence_shown(CORPORA[name])


class _StageBar:
    """A progress bar for each stage, one after another; `unit` is what the stages count."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.stage: str | None = None
        self.done = 0
        self.bar: Any = None
        self.advance: Any = None

    def __enter__(self) -> _StageBar:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.__exit__(None, None, None)

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage != self.stage:
            self.__exit__()
            self.stage, self.done = stage, 0
            self.bar = display.progress(stage, total, self.unit)
            self.advance = self.bar.__enter__()
        self.advance(done - self.done)
        self.done = done

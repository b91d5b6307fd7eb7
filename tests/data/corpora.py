"""Small corpora for the tests of data."""

from __future__ import annotations

from pathlib import Path

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.prepare import Prepared, prepare_text
from seqvae_cli.data.sources import text_source
from seqvae_cli.system import files, places


def prepared(path: Path, **options: object) -> Prepared:
    return prepare_text(text_source(path), "given", **options)  # type: ignore[arg-type]


def whole(path: Path, data: bytes, **options: object) -> Corpus:
    """A corpus of training text alone."""
    path.write_bytes(data)
    return prepared(path, valid_fraction=0.0, test_fraction=0.0, **options).corpus


def sentences(corpus: Corpus, split: str = "train") -> list[str]:
    return [corpus.tokenizer.decode(ids) for ids in corpus.split(split)]


def left_behind() -> list[str]:
    return [path.name for folder in (places.corpora(), places.cache()) for path in folder.glob(f"{files.TEMPORARY}*")]

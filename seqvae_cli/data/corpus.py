"""Prepared corpora on disk: writing, opening, and finding one by name.

A prepared corpus is a folder `NAME-ID`, where ID is the first 12 digits of its recipe's SHA-256:

    corpus.json          recipe, counts, SHA-256 of every other file
    tokenizer.json
    SPLIT.tokens.bin     the ids of all sentences one after another, little-endian uint16 or uint32, no <bos>, no <eos>
    SPLIT.offsets.bin    N+1 int64: sentence i is tokens[offsets[i]:offsets[i+1]]

Labels and ids lie beside them (see `labels`). Splits are memory-mapped, never loaded whole. `prepare` turns text into
such a folder.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqvae_cli.data import inspection, labels
from seqvae_cli.data.catalog import CORPORA
from seqvae_cli.data.inspection import Finding
from seqvae_cli.data.labels import Label
from seqvae_cli.data.mapped import memory_map
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.errors import UPGRADE, DataError, NotFoundError, UsageError, counted, nearest
from seqvae_cli.system import files, json_files, places

CORPUS_FORMAT = 1
SPLITS = ("train", "valid", "test")
NAME_RULE = "a corpus name has 1 to 64 of a-z 0-9 . _ - and starts with a letter or digit"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
FOLDER = re.compile(r"([a-z0-9][a-z0-9._-]{0,63})-[0-9a-f]{12}")
ARRAY_CODES = {"uint16": "H", "uint32": "I"}
"""The types of ids on disk, and their codes in the module `array`."""
COUNTED = 1 << 20
"""Ids that are counted at once: the count takes 8 bytes of memory for each."""


class Split:
    """The sentences of one split, memory-mapped; `split[i]` is the int64 ids of sentence i, without <bos> and <eos>.

    tokens: the flat ids on disk, shape (words,), uint16 or uint32.
    offsets: shape (sentences + 1,), int64.
    hash: SHA-256 over the digests of the split's files and the tokenizer's: the same data gives the same hash.
    """

    def __init__(self, folder: Path, name: str, dtype: str, sentences: int, words: int, digest: str) -> None:
        self.name = name
        self.hash = digest
        self.tokens = memory_map(folder / f"{name}.tokens.bin", np.dtype(dtype).newbyteorder("<"), words)
        self.offsets = memory_map(folder / f"{name}.offsets.bin", np.dtype("<i8"), sentences + 1)
        if self.offsets[0] != 0 or self.offsets[-1] != words:
            raise DataError(f"{folder / name}.offsets.bin is damaged", "prepare the corpus again")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> npt.NDArray[np.int64]:
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"split {self.name} has {counted(len(self), 'sentence')}")
        return self.tokens[self.offsets[index] : self.offsets[index + 1]].astype(np.int64)

    def __iter__(self) -> Iterator[npt.NDArray[np.int64]]:
        return (self[index] for index in range(len(self)))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Words of each sentence, without <eos>; shape (sentences,)."""
        return np.diff(self.offsets).astype(np.int64)

    def counts(self, vocabulary: int) -> npt.NDArray[np.int64]:
        """How often each id occurs: (vocabulary,). Raises `DataError` for an id beyond it."""
        found = np.zeros(vocabulary, dtype=np.int64)
        for start in range(0, len(self.tokens), COUNTED):
            block = self.tokens[start : start + COUNTED]
            if block.max() >= vocabulary:
                raise DataError(f"split {self.name} has ids outside the vocabulary", "prepare the corpus again")
            found += np.bincount(block, minlength=vocabulary)
        return found


class SplitWriter:
    """Writes the two files of a split, in blocks of sentences. Always `close` it, also after an error."""

    def __init__(self, folder: Path, name: str, dtype: str) -> None:
        self.name = name
        self.words = 0
        self.lengths: Counter[int] = Counter()
        self._code = ARRAY_CODES[dtype]
        self._tokens, self._offsets = array(self._code), array("q", [0])
        self._files = [files.DurableFile(folder / f"{name}.{part}.bin") for part in ("tokens", "offsets")]

    def extend(self, ids: array[int], lengths: Sequence[int]) -> None:
        """Adds sentences of these lengths, whose ids follow one another."""
        self._tokens.extend(ids)
        self._offsets.extend(itertools.accumulate(lengths[1:], initial=self.words + lengths[0]) if lengths else ())
        self.words += len(ids)
        self.lengths.update(lengths)
        if len(self._tokens) >= 1 << 17 or len(self._offsets) >= 1 << 15:
            self._flush()

    def finish(self) -> dict[str, str]:
        """Syncs the files to disk; returns the SHA-256 of each by name."""
        self._flush()
        return {file.path.name: file.commit() for file in self._files}

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _flush(self) -> None:
        for file, values in zip(self._files, (self._tokens, self._offsets), strict=True):
            if sys.byteorder == "big":
                values.byteswap()
            file.write(values.tobytes())
        self._tokens, self._offsets = array(self._code), array("q")


@dataclass(frozen=True)
class Corpus:
    """An opened corpus; `info` is its corpus.json. `Corpus.open` and `find` return one."""

    path: Path
    info: dict[str, Any] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Corpus:
        """Opens a folder and checks the sizes of its files; `verify` checks their content.

        Raises `DataError` for a folder that is damaged, half-copied or from a newer version.
        """
        info = json_files.read(path / "corpus.json")
        try:
            info = _validate(path, info)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise DataError(f"{path / 'corpus.json'} is damaged: {error!r}", "prepare the corpus again") from error
        return cls(path, info)

    @property
    def name(self) -> str:
        return str(self.info["name"])

    @property
    def hash(self) -> str:
        """SHA-256 over the digests of all files: it depends on the content, not on name and date."""
        return str(self.info["hash"])

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.info["splits"])

    @property
    def entropy(self) -> float | None:
        """Entropy of the source in nats a sentence, where it is known exactly (toy)."""
        entropy = self.info.get("entropy")
        return None if entropy is None else float(entropy)

    @property
    def findings(self) -> list[Finding]:
        """What is odd about the corpus, with what helps; empty where all is well."""
        return inspection.findings(self.info)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        files.verify(self.path, {"tokenizer.json": self.info["files"]["tokenizer.json"]})
        tokenizer = Tokenizer.load(self.path / "tokenizer.json")
        if len(tokenizer) != self.info["vocabulary"]:
            raise DataError(f"{self.path} has {len(tokenizer)} words, its corpus.json says {self.info['vocabulary']}")
        return tokenizer

    def split(self, name: str) -> Split:
        """Opens a split. Raises `UsageError` for an unknown one, with the names of all."""
        if name not in self.splits:
            raise UsageError(f"{self.path.name} has no split {name!r}", f"it has {', '.join(self.splits)}")
        counts = self.info["splits"][name]
        digests = self.info["files"]
        parts = ("tokenizer.json", f"{name}.tokens.bin", f"{name}.offsets.bin")
        digest = content_hash({part: digests[part] for part in parts})
        return Split(self.path, name, self.info["dtype"], counts["sentences"], counts["words"], digest)

    def sentences(self, name: str) -> int:
        """The number of sentences of a split; 0 for one that the corpus lacks."""
        return int(self.info["splits"].get(name, {}).get("sentences", 0))

    def nonempty_split(self, name: str) -> Split:
        """Opens a split with sentences. Raises `UsageError` for an unknown or an empty one."""
        split = self.split(name)
        if not len(split):
            others = [other for other in self.splits if self.sentences(other)]
            raise UsageError(f"split {name!r} of corpus {self.name} is empty", f"not empty: {', '.join(others)}")
        return split

    def label_names(self) -> tuple[str, ...]:
        """The labels of the sentences: those of the source, or the hidden factors where they are known (toy)."""
        return (*self.info.get("labels", ()), *self._factors())

    def labels(self, split: str) -> dict[str, Label]:
        """The labels of a split by name. Raises `UsageError` for an unknown split, `DataError` for a damaged file."""
        self.split(split)
        return labels.read_labels(self.path, self.info, split) | self._hidden(split)

    def ids(self, split: str) -> Iterator[str] | None:
        """The id of each sentence of a split, in order; None where the source has none. Raises as `labels` does."""
        self.split(split)
        return labels.read_ids(self.path, self.info, split)

    def _factors(self) -> dict[str, list[str]]:
        """Name of a hidden factor of toy -> its values."""
        return dict(self.info.get("toy", {}).get("factors", {}))

    def _hidden(self, split: str) -> dict[str, Label]:
        known = self._factors()
        if not known:
            return {}
        name = f"{split}.factors.jsonl"
        files.verify(self.path, {name: self.info["files"][name]})
        indices = {factor: array("q") for factor in known}
        with open(self.path / name, encoding="utf-8") as lines:
            for line in lines:
                for factor, value in json.loads(line).items():
                    indices[factor].append(known[factor].index(value))
        return {
            factor: Label(tuple(values), np.array(indices[factor], dtype=np.int64)) for factor, values in known.items()
        }

    def log_probs(self, split: str) -> npt.NDArray[np.float64] | None:
        """The exact log p(x) of each sentence under the source, where it is known (toy): [N], nats."""
        name = f"{split}.logprob.bin"
        if name not in self.info["files"]:
            return None
        files.verify(self.path, {name: self.info["files"][name]})
        return np.fromfile(self.path / name, dtype="<f8")

    def verify(self) -> None:
        """Checks the SHA-256 of every file, and that all ids are in the vocabulary.

        Raises `DataError` with the first file that fails.
        """
        files.verify(self.path, self.info["files"])
        for name in self.splits:
            split = self.split(name)
            if split.tokens.max(initial=0) >= self.info["vocabulary"]:
                raise DataError(f"{self.path / name}.tokens.bin has ids outside the vocabulary")
            if split.lengths.min(initial=0) < 0:
                raise DataError(f"{self.path / name}.offsets.bin is damaged", "prepare the corpus again")


def content_hash(digests: dict[str, str]) -> str:
    """SHA-256 over canonical JSON of file names and their SHA-256s."""
    return hashlib.sha256(canonical(digests)).hexdigest()


def canonical(value: Any) -> bytes:
    """Canonical JSON (sorted keys, no spaces), for hashing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def check_name(name: str) -> str:
    """Returns `name`. Raises `UsageError` with the rule for an invalid corpus name."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"invalid corpus name {name[:80]!r}", NAME_RULE)
    return name


def list_prepared() -> list[Path]:
    """The folders of all prepared corpora, by name; half-written ones are left out."""
    folder = places.corpora()
    with files.machine_errors(folder):
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if FOLDER.fullmatch(path.name) and _has_json(path))


def known_names() -> list[str]:
    """What `find` accepts: the names of prepared corpora, and their folder names."""
    folders = [path.name for path in list_prepared()]
    return sorted({folder[:-13] for folder in folders}) + folders


def find(name: str) -> Corpus:
    """Opens a prepared corpus by its folder name (NAME-ID), or by NAME: then the one prepared last.

    Raises `UsageError` for an invalid name, `NotFoundError` for an unknown corpus, `DataError` for a damaged one.
    """
    if not _NAME.fullmatch(name) and not FOLDER.fullmatch(name):
        raise UsageError(
            f"invalid corpus name {name[:80]!r}", f"{NAME_RULE}; text is prepared first: seqvae prepare FILE"
        )
    prepared = list_prepared()
    for path in prepared:
        if path.name == name:
            return Corpus.open(path)
    candidates = [path for path in prepared if path.name[:-13] == name]
    if not candidates:
        if FOLDER.fullmatch(name):
            known, source = set(known_names()), name[:-13]
        else:
            known, source = {path.name[:-13] for path in prepared}, name
        command = f"seqvae prepare {source}" if source in ("toy", *CORPORA) else f"seqvae prepare FILE --name {source}"
        hint = nearest(name, known)
        raise NotFoundError(f"no prepared corpus {name!r}", "; ".join(filter(None, [hint, command])))
    return Corpus.open(max(candidates, key=prepared_at))


def prepared_at(path: Path) -> tuple[int, str]:
    """Sort key: when `prepare` last returned a folder (nanoseconds since 1970; -1 if damaged), then its name."""
    try:
        return int(json_files.read(path / "corpus.json")["prepared_at"]), path.name
    except (DataError, KeyError, TypeError, ValueError):
        return -1, path.name


def _has_json(path: Path) -> bool:
    return (path / "corpus.json").is_file()


def _validate(path: Path, sealed: dict[str, Any]) -> dict[str, Any]:
    """The content of corpus.json. Raises where it is damaged, or a file does not have the size that it states."""
    number = sealed["format"]
    if isinstance(number, int) and number > CORPUS_FORMAT:
        raise DataError(f"{path} comes from a newer version (format {number})", UPGRADE)
    info = json_files.unseal(sealed, path / "corpus.json")
    if number != CORPUS_FORMAT or info["dtype"] not in ARRAY_CODES:
        raise ValueError(f"format {number!r}, {info['dtype']!r}")
    digests = info["files"]
    if content_hash(digests) != info["hash"] or not _NAME.fullmatch(info["name"]):
        raise ValueError("name or hash is wrong")
    if not isinstance(info["prepared_at"], int) or not 0 <= info["prepared_at"] <= json_files.MAX_TIME:
        raise ValueError(f"prepared at {info['prepared_at']!r:.40}")
    width = np.dtype(info["dtype"]).itemsize
    for split, counts in info["splits"].items():
        if split not in SPLITS:
            raise ValueError(f"split {split!r}")
        sizes = {"tokens": counts["words"] * width, "offsets": (counts["sentences"] + 1) * 8}
        sizes |= {f"label{number}": counts["sentences"] * 4 for number, _ in enumerate(info.get("labels", ()), 1)}
        for kind, size in sizes.items():
            part = f"{split}.{kind}.bin"
            found = (path / part).stat().st_size if (path / part).is_file() and part in digests else None
            if found != size:
                state = "is missing" if found is None else f"has {found} bytes, not {size}"
                raise DataError(f"{path / part} {state}", "prepare the corpus again")
    inspection.findings(info)
    tokenizer = "tokenizer.json" in digests and (path / "tokenizer.json").is_file()
    if not tokenizer or not isinstance(info["vocabulary"], int):
        raise DataError(f"{path / 'tokenizer.json'} is missing", "prepare the corpus again")
    return info


def latest() -> Corpus:
    """The corpus prepared last. Raises `NotFoundError` where none is prepared."""
    paths = list_prepared()
    if not paths:
        raise NotFoundError("no corpus is prepared yet", "seqvae prepare ptb, or seqvae prepare toy")
    return Corpus.open(max(paths, key=prepared_at))

"""The corpus in the archive of a run, below `corpus/`: where the archive is unpacked, the run can be evaluated."""

from __future__ import annotations

from pathlib import Path

from seqvae_cli.data import build
from seqvae_cli.data import corpus as corpora
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError
from seqvae_cli.runs.run import Run
from seqvae_cli.system import json_files, places

PREFIX = "corpus/"
MANIFEST = "corpus.json"
LIMITS = {
    rf"{PREFIX}(?:corpus|tokenizer|labels)\.json": 1 << 26,
    rf"{PREFIX}(?:{'|'.join(corpora.SPLITS)})\.[a-z]{{1,20}}[0-9]{{0,4}}\.(?:bin|jsonl)": (1 << 33) - 1,
}
"""Pattern of a file name in the archive -> its maximum size in bytes."""


def sources(corpus: Corpus) -> dict[str, Path]:
    """The files of a corpus by their names in the archive. Raises `DataError` where one is damaged."""
    corpus.verify()
    return {PREFIX + name: corpus.path / name for name in (MANIFEST, *corpus.info["files"])}


def publish(draft: Path, run: Run, now: int) -> None:
    """Gives the unpacked folder `draft` the name that `run` has for its corpus; where that is there, it is used.

    now: nanoseconds since 1970; a corpus that says to be newer is given this time.

    Raises `DataError` where it is damaged or another corpus than that of the run.
    """
    corpus = Corpus.open(draft)
    corpus.verify()
    folder, digest = (str(run.info["corpus"][key]) for key in ("folder", "hash"))
    if corpus.hash != digest or not corpora.FOLDER.fullmatch(folder) or folder[:-13] != corpus.name:
        raise DataError(f"the archive holds another corpus than that of its run: {corpus.name}, {corpus.hash[:12]}")
    if foreign := {path.name for path in draft.iterdir()} - {MANIFEST, *corpus.info["files"]}:
        raise DataError(f"{min(foreign)} does not belong to the corpus {corpus.name}")
    if corpus.info["prepared_at"] > now:
        json_files.write(draft / MANIFEST, corpus.info | {"prepared_at": now}, sealed=True)
    found = build.publish(draft, places.corpora() / folder).corpus
    if found.hash != digest:
        raise DataError(f"{found.path} is here already, with other content", "move it away, or export without it")

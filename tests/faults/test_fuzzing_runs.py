"""Row 29: whatever the files of a run or an archive say, errors are typed."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st

from seqvae_cli import api
from seqvae_cli.data import corpus
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import SeqvaeError
from seqvae_cli.runs import archive, doctor, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.training import session
from tests.faults.mutations import (
    CountTries,
    content,
    fill,
    fuzzed_home,
    mistakes,
    mutated_bytes,
    nearly,
    no_disk,
    sha256,
    survive,
    told_briefly,
    with_digests,
)

__all__ = ["fuzzed_home", "no_disk"]  # fixtures


def go_on(made: Corpus) -> None:
    """Resumes the run until all that was saved is restored and used."""
    with contextlib.closing(session.fit(registry.find("half"), made, resume=True)) as events:
        for _ in itertools.islice(events, 4):
            pass


@pytest.mark.row(29)
def test_a_random_checkpoint_is_loaded_and_resumed_or_a_typed_error(
    fuzzed_home: Path, home: Path, count_tries: CountTries
) -> None:
    shutil.copytree(fuzzed_home / "corpora", home / "corpora")
    made = corpus.find("few")
    path = home / "runs" / "half"
    members = content(fuzzed_home / "runs" / "half")
    random_state = torch.get_rng_state()

    def attempt(drawn: tuple[dict[str, bytes], Callable[[], object], int]) -> None:
        changed, reader, with_right_ones = drawn
        fill(path, with_digests(members | changed) if with_right_ones else members | changed)
        try:
            reader()
        except SeqvaeError as error:
            told_briefly(error)

    def load() -> None:
        api.load(Run(path))

    def look() -> None:
        registry.runs()
        doctor.examine(path)
        archive.Pack(Run(path))

    readers = st.sampled_from([lambda: go_on(made), load, load, look])

    try:
        count_tries(survive(st.tuples(mistakes(members), readers, st.integers(0, 4)), attempt))
    finally:
        torch.set_rng_state(random_state)


# Archives


def packed(members: list[tuple[str, bytes]]) -> bytes:
    blocks = b""
    for name, data in members:
        header = tarfile.TarInfo(archive.FOLDER + name)
        header.size = len(data)
        blocks += header.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
    return gzip.compress(blocks + bytes(1024), 1)


def members_of(tar: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as read:
        return [(info.name.removeprefix(archive.FOLDER), read.extractfile(info).read()) for info in read]  # type: ignore[union-attr]


def archives(data: bytes) -> st.SearchStrategy[tuple[Callable[[Any], bytes], Any]]:
    """How to make an archive with mistakes: in its bytes, in the tar within, in the manifest, in the files."""
    tar = gzip.decompress(data)
    (name, text), *others = members_of(tar)

    def with_files(changed: dict[str, bytes]) -> bytes:
        members = with_digests(dict(others) | changed)
        entries = {member: {"sha256": sha256(data), "size": len(data)} for member, data in members.items()}
        return packed([(name, json.dumps(json.loads(text) | {"files": entries}).encode()), *members.items()])

    head = mutated_bytes(tar[:1024])
    return (
        st.tuples(st.just(bytes), mutated_bytes(data[:200]).map(lambda start: start + data[200:]))
        | st.tuples(st.just(bytes), st.binary(max_size=100))
        | st.tuples(st.just(gzip.compress), st.binary(max_size=100) | head)
        | st.tuples(st.just(lambda start: gzip.compress(start + tar[1024:], 1)), head)
        | st.tuples(st.just(lambda manifest: packed([(name, manifest), *others])), nearly(text))
        | st.tuples(st.just(with_files), mistakes(dict(others)))
    )


@pytest.mark.row(29)
def test_a_random_archive_is_a_run_or_a_typed_error(fuzzed_home: Path, home: Path, count_tries: CountTries) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQVAE_HOME", str(fuzzed_home))
        data = b"".join(archive.Pack(registry.find("half")).blocks())

    def attempt(drawn: tuple[Callable[[Any], bytes], Any]) -> None:
        shutil.rmtree(home, ignore_errors=True)
        make, changed = drawn
        try:
            run = archive.unpack(io.BytesIO(make(changed)))
        except SeqvaeError as error:
            told_briefly(error)
            assert list(home.rglob("*")) in ([], [home / "runs"])  # nothing is left of it
            return
        assert run.path.parent == home / "runs"
        assert list(home.iterdir()) == [home / "runs"]
        with contextlib.suppress(SeqvaeError):
            api.load(run)

    count_tries(survive(archives(data), attempt))

"""Row 29: each field of each JSON file of a corpus and a run, one at a time, with a value that it cannot have."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from seqvae_cli import api
from seqvae_cli.data import corpus
from seqvae_cli.errors import SeqvaeError
from seqvae_cli.runs import archive, doctor, registry
from seqvae_cli.runs.run import Run
from tests.faults.matrix import FULL
from tests.faults.mutations import (
    CountTries,
    consistent,
    content,
    fill,
    fuzzed_home,
    no_disk,
    told_briefly,
    with_digests,
)
from tests.faults.test_fuzzing import read_corpus
from tests.faults.test_fuzzing_runs import go_on

__all__ = ["fuzzed_home", "no_disk"]  # fixtures

GONE = object()
VALUES: list[Any] = [GONE, -1]
if FULL:
    VALUES += [
        None,
        10**400,
        "",
        True,
        0,
        1,
        2,
        2**63,
        0.5,
        1e-320,
        1e308,
        float("nan"),
        float("inf"),
        "1",
        "..",
        "/x",
        "a\0b",
        "\ud800",
    ]
    VALUES += [[], {}, [0], {"a": 1}, [[]], "x" * 100]


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every field below `tree`."""
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield (*path, key)
        yield from places(tree[key], (*path, key))


def changed(tree: Any) -> Iterator[bytes]:
    """The tree with each of its fields gone, or with each of the values."""
    for *path, key in places(tree):
        for value in VALUES:
            other = copy.deepcopy(tree)
            parent = other
            for part in path:
                parent = parent[part]
            if value is GONE:
                del parent[key]
            else:
                parent[key] = value
            yield json.dumps(other).encode()


def read_all(readers: tuple[Callable[[], object], ...]) -> None:
    for reader in readers:
        try:
            reader()
        except SeqvaeError as error:
            told_briefly(error)


@pytest.mark.row(29)
@pytest.mark.parametrize("name", ["corpus.json", *(["tokenizer.json"] if FULL else [])])
def test_each_field_of_a_corpus(fuzzed_home: Path, home: Path, name: str, count_tries: CountTries) -> None:
    (original,) = (fuzzed_home / "corpora").iterdir()
    path, members = home / "corpora" / original.name, content(original)
    tries = 0
    for data in changed(json.loads(members[name])):
        files = members | {name: data}
        consistent(files, "corpus.json")
        fill(path, files)
        read_all((lambda: read_corpus(path), lambda: corpus.find("few"), corpus.latest))
        tries += 1
    assert tries
    count_tries(tries)


@pytest.mark.row(29)
@pytest.mark.parametrize(
    "name", ["run.json", "manifest.json", *(["training.json", "metrics.jsonl", "tokenizer.json"] if FULL else [])]
)
def test_each_field_of_a_run(fuzzed_home: Path, home: Path, name: str, count_tries: CountTries) -> None:
    shutil.copytree(fuzzed_home / "corpora", home / "corpora")
    made, path = corpus.find("few"), home / "runs" / "half"
    members = content(fuzzed_home / "runs" / "half")
    file = next(member for member in sorted(members, reverse=True) if member.endswith(name))
    random_state, tries = torch.get_rng_state(), 0

    def look() -> None:
        registry.runs()
        doctor.examine(path)
        Run(path).metrics()
        archive.Pack(Run(path))

    readers: tuple[Callable[[], object], ...] = (look, lambda: api.load(Run(path)))
    try:
        for data in changed(json.loads(members[file].splitlines()[0] if file.endswith("l") else members[file])):
            fill(path, with_digests(members | {file: data}))
            read_all((*readers, lambda: go_on(made)) if FULL else readers)
            tries += 1
    finally:
        torch.set_rng_state(random_state)
    assert tries
    count_tries(tries)

"""What hypothesis makes of valid data: trees, bytes and texts that are nearly right, so that they reach far."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqvae_cli.config import layers
from seqvae_cli.data import corpus, prepare
from seqvae_cli.data.sources import text_source
from seqvae_cli.errors import SeqvaeError
from seqvae_cli.runs import checkpoint, registry
from seqvae_cli.system import json_files
from seqvae_cli.training import session
from tests.conftest import tiny_text
from tests.faults.matrix import FULL

CountTries = Callable[[int], None]

TRIES = 10_000 if FULL else 50

NUMBERS = st.sampled_from([0, 1, -1, 2, 3, 255, 65536, 2**31, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400]) | (
    st.sampled_from([0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), -float("inf")])
)
TEXTS = st.text(max_size=6) | st.sampled_from(["", "1", "nan", "true", "null", "..", "/x", "../x", "a\0b", "\x1b[2J"])
_SCALARS = st.none() | st.booleans() | NUMBERS | st.integers() | st.floats() | TEXTS
TREES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
"""What JSON can say, NaN among it."""


def survive(values: st.SearchStrategy[Any], attempt: Callable[[Any], None], part: int = 1) -> int:
    """Makes `attempt` with random values; returns how often it was, `TRIES` at least or a `part` of them."""
    made = 0

    # The same in every quick run of the same tests (hypothesis also draws constants of the modules that are loaded);
    # in full others every time. No failure is kept in the repository for the next run.
    @settings(
        max_examples=TRIES // part,
        deadline=None,
        derandomize=not FULL,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(values)
    def try_once(value: Any) -> None:
        nonlocal made
        made += 1
        attempt(value)

    try_once()
    assert made >= TRIES // part
    return made


@st.composite
def mutated_tree(draw: st.DrawFn, tree: Any) -> Any:
    """A tree of JSON with one to three places changed, added, taken away or wrapped."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        tree = _mutated(draw, tree)
    return tree


def _mutated(draw: st.DrawFn, tree: Any) -> Any:
    if isinstance(tree, dict | list) and tree and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(list(tree) if isinstance(tree, dict) else range(len(tree))))
        match draw(st.integers(0, 9)):
            case 0:
                del tree[key]
            case 1 if isinstance(tree, dict):
                tree[draw(TEXTS)] = tree.pop(key)
            case 2 if isinstance(tree, dict):
                tree[draw(TEXTS)] = draw(TREES)
            case 3 if isinstance(tree, list):
                tree.append(copy.deepcopy(tree[key]))
            case _:
                tree[key] = _mutated(draw, tree[key])
        return tree
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return [tree]
    if kind == 1:
        return str(tree)
    if kind <= 3 and isinstance(tree, int | float):
        return draw(NUMBERS)
    return draw(TREES)


@st.composite
def mutated_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with one to four places flipped, cut out, doubled, filled or cut off."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(changed)))
        end = min(len(changed), start + draw(st.integers(0, 16)))
        match draw(st.integers(0, 5)):
            case 0 if start < len(changed):
                changed[start] ^= 1 << draw(st.integers(0, 7))
            case 1:
                changed[start:end] = draw(st.binary(max_size=16))
            case 2:
                changed[start:start] = changed[start:end]
            case 3:
                del changed[start:]
            case 4:
                changed[start:end] = b"\xff" * (end - start)
            case _:
                changed[start:end] = draw(st.sampled_from([b"", b"\0", b"\n", b"9" * 30, b"null", b"[", b"{", b'"']))
    return bytes(changed)


def nearly(data: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes; seldom random ones, mostly `data` with mistakes, as JSON where it is JSON."""
    try:
        tree = json.loads(data)
    except ValueError:
        return mutated_bytes(data) | st.binary(max_size=100)
    trees = mutated_tree(tree) | mutated_tree(tree) | TREES
    return trees.map(lambda value: json.dumps(value).encode()) | mutated_bytes(data)


_YAML = "train: model: lr: lr epochs seed data : - { } [ ] &a *a <<: ? | > ' \" \\ # , --- ... %YAML ~ yes"
_YAML += (
    " !!int !!float !!bool !!binary !!timestamp !!set !!omap !!pairs !!str !!null !!map !!seq !x ! = '' 1 0 .inf .nan"
)
_YAML += " !!python/object:os.system !!python/name:os 1e3 0x 0b 1_0 1:30 -0o7 2020-01-01 2020-13-45"
_YAML_PIECE = st.sampled_from(
    [*_YAML.split(), "\t", "\0", "\ufeff", "\u2028", "\x85", "é", "\U0001f600", "9" * 5000, "1-1-1T0:0:0+99:99"]
)
YAML = st.lists(st.tuples(_YAML_PIECE, st.sampled_from([" ", ": ", "\n", "\n  ", ""])), max_size=12).map(
    lambda pieces: "".join(piece + space for piece, space in pieces)
)
"""Pieces of YAML in no good order."""


# What is tried

SMALLEST = {
    **{"model.embed_size": 3, "model.hidden_size": 4, "model.latent_size": 2},
    **{"train.epochs": 2, "train.batch_size": 8, "runtime.device": "cpu", "runtime.threads": 1},
}


@pytest.fixture(autouse=True)
def no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried here are readers: no need to wait for the disk after each of thousands of files."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def fuzzed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a corpus of 24 sentences and a run on it that was stopped in its second epoch."""
    path = tmp_path_factory.mktemp("fuzzed") / "home"
    (path.parent / "text.txt").write_text("\n".join(tiny_text()[:24]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQVAE_HOME", str(path))
        source = text_source(path.parent / "text.txt")
        made = prepare.prepare_text(source, "few", valid_fraction=0.1, test_fraction=0.1).corpus
        run = session.start(layers.resolve(overrides=SMALLEST), made, name="half")
        asked = itertools.count()
        for _ in session.fit(run, made, stop=lambda: (run.path / "best").exists() and next(asked) > 0):
            pass
        assert registry.find("half").status == "interrupted"
        assert json_files.read(checkpoint.newest(run.path / "last") / "training.json")["batch"] > 0
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fill(folder: Path, members: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def told_briefly(error: SeqvaeError, words: str = "", limit: int = 6000) -> None:
    assert type(error) is not SeqvaeError
    assert 0 < len(error.message) < limit
    assert words in error.message


def safetensors(header: bytes, data: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + data


@st.composite
def mutated_weights(draw: st.DrawFn, data: bytes) -> bytes:
    (size,) = struct.unpack("<Q", data[:8])
    header, body = data[8 : 8 + size], data[8 + size :]
    match draw(st.integers(0, 5)):
        case 0:
            return draw(mutated_bytes(data))
        case 1:
            return safetensors(header, draw(mutated_bytes(body)))
        case 2:
            return safetensors(draw(st.binary(max_size=40)), body)
        case 3:
            return struct.pack("<Q", draw(st.integers(0, 2**64 - 1))) + data[8:]
    return safetensors(draw(nearly(header)), body)


@st.composite
def mistakes(draw: st.DrawFn, members: dict[str, bytes]) -> dict[str, bytes]:
    """One or two files of a folder with mistakes: those alone."""
    names = [name for name in sorted(members) if not name.endswith("lock")]
    changed = {}
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)):
        changed[name] = draw((mutated_weights if name.endswith(".safetensors") else nearly)(members[name]))
    return changed


def consistent(members: dict[str, bytes], name: str, folder: str = "") -> None:
    """Makes the digests right that `name` says of files in `folder` and of itself."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        value = json.loads(members[name])
        value["files"] |= {file: sha256(members[folder + file]) for file in value["files"] if folder + file in members}
        if "hash" in value:
            value["hash"] = corpus.content_hash(value["files"])
        if "digest" in value:
            body = {key: item for key, item in value.items() if key != "digest"}
            value["digest"] = sha256(json.dumps(body, sort_keys=True).encode())
        members[name] = json.dumps(value).encode()


def with_digests(members: dict[str, bytes]) -> dict[str, bytes]:
    """The files of a run, all digests in it right."""
    members = dict(members)
    for name in sorted(members):
        if name.endswith("manifest.json"):
            consistent(members, name, name.removesuffix("manifest.json"))
    consistent(members, "run.json")
    return members

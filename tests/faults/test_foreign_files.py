"""Rows 12 and 13: files that a stranger made, each with its right digest. None is executed or believed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save
from torch import Tensor

from seqvae_cli.runs import checkpoint, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import json_files
from tests.conftest import SMALL, Seqvae
from tests.faults.matrix import FULL, assert_one_line, snapshot, still_loads
from tests.preloaded import Preloaded

WEIGHTS, TRAINING = "best/model.safetensors", "last/training.safetensors"


@pytest.fixture
def run(trained_home: Path) -> Run:
    """A run to put foreign files into, beside `tiny-run`, which nothing may touch."""
    shutil.copytree(trained_home / "runs" / "tiny-run", trained_home / "runs" / "hurt")
    return registry.find("hurt")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def forge(run: Run, name: str, data: bytes) -> None:
    """Puts `data` in place of a file of the run, and its SHA-256 where the run keeps that: no damage to be found."""
    folder, _, file = name.rpartition("/")
    if not folder:
        (run.path / name).write_bytes(data)
        run.update(files={**run.info["files"], name: sha256(data)})
        return
    path = checkpoint.newest(run.path / folder)
    (path / file).write_bytes(data)
    manifest = json_files.unseal(json_files.read(path / checkpoint.MANIFEST), path)
    manifest["files"][file] = sha256(data)
    json_files.write(path / checkpoint.MANIFEST, manifest, sealed=True)
    checkpoint.verify(path)


COMMANDS = {
    WEIGHTS: ("sample", "hurt"),
    TRAINING: ("train", "--resume", "hurt", "--epochs", "3"),
    "last/model.safetensors": ("train", "--resume", "hurt", "--epochs", "3"),
    "tokenizer.json": ("encode", "-r", "hurt", "the cat"),
    "config.yaml": ("score", "-r", "hurt", "the cat"),
}
"""What reads each file."""


# Row 12


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def torch_pickle(marker: Path, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(Payload(marker), buffer, **options)
    return buffer.getvalue()


def torch_legacy(marker: Path) -> bytes:
    return torch_pickle(marker, _use_new_zipfile_serialization=False)


def plain_pickle(marker: Path) -> bytes:
    return pickle.dumps(Payload(marker))


def text_pickle(marker: Path) -> bytes:
    return pickle.dumps(Payload(marker), protocol=0)


def numpy_pickle(marker: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def yaml_call(marker: Path) -> bytes:
    return f"seed: !!python/object/apply:os.mkdir ['{marker}']\n".encode()


def yaml_call_as_key(marker: Path) -> bytes:
    return f"? !!python/object/apply:os.mkdir ['{marker}']\n: 1\n".encode()


def yaml_object(marker: Path) -> bytes:
    return f"train: !!python/object/new:os.mkdir ['{marker}']\n".encode()


def torch_load(data: bytes) -> object:
    return torch.load(io.BytesIO(data), weights_only=False)


def numpy_load(data: bytes) -> object:
    return np.load(io.BytesIO(data), allow_pickle=True)


# What is written, the file of the run in whose place, and what would execute it.
PAYLOADS: list[tuple[Callable[[Path], bytes], str, Callable[[bytes], object]]] = [
    (torch_pickle, WEIGHTS, torch_load),
    (torch_legacy, WEIGHTS, torch_load),
    (plain_pickle, WEIGHTS, pickle.loads),
    (numpy_pickle, WEIGHTS, numpy_load),
    (torch_pickle, "last/model.safetensors", torch_load),
    (torch_pickle, TRAINING, torch_load),
    (plain_pickle, "tokenizer.json", pickle.loads),
    (text_pickle, "tokenizer.json", pickle.loads),
    (yaml_call, "config.yaml", yaml.unsafe_load),
    (yaml_object, "config.yaml", yaml.unsafe_load),
    (plain_pickle, "config.yaml", pickle.loads),
]


@pytest.mark.row(12)
@pytest.mark.parametrize(("build", "name", "execute"), PAYLOADS)
def test_a_payload_in_place_of_a_file_of_a_run_is_refused_and_never_executed(
    build: Callable[[Path], bytes],
    name: str,
    execute: Callable[[bytes], object],
    run: Run,
    seqvae: Seqvae,
    tmp_path: Path,
) -> None:
    marker = tmp_path / "executed"
    data = build(marker)
    forge(run, name, data)
    tiny = snapshot(run.path.parent / "tiny-run")
    for arguments in (COMMANDS[name], ("runs", "doctor"), ("runs", "list")):
        answer = seqvae(*arguments)
        assert "Traceback" not in answer.err
        assert not marker.exists()
        if arguments == COMMANDS[name]:
            assert answer.code == 4, answer.err
            assert_one_line(answer.err, "hurt", name.rpartition("/")[2] if "tokenizer" in name else "")
    assert snapshot(run.path.parent / "tiny-run") == tiny
    still_loads(registry.find("tiny-run"))
    execute(data)
    assert marker.exists()  # it would have shown


@pytest.mark.row(12)
@pytest.mark.parametrize("build", [yaml_call, yaml_call_as_key, yaml_object])
def test_python_tags_in_a_settings_file_are_refused_and_never_executed(
    build: Callable[[Path], bytes], run: Run, seqvae: Seqvae, tmp_path: Path
) -> None:
    marker, file = tmp_path / "executed", tmp_path / "settings.yaml"
    file.write_bytes(build(marker))
    before = snapshot(run.path.parent)
    answer = seqvae("train", *SMALL, "--config", str(file), "--name", "new")
    assert answer.code == 4
    assert_one_line(answer.err, f"{file}, line 1", "python")
    assert not marker.exists()
    assert snapshot(run.path.parent) == before
    still_loads(run)
    with suppress(TypeError, yaml.YAMLError):  # as a key it is executed, and then cannot be one
        yaml.unsafe_load(file.read_bytes())
    assert marker.exists()


@pytest.mark.row(12)
@pytest.mark.parametrize("build", [numpy_pickle, plain_pickle])
def test_a_pickle_in_place_of_vectors_is_refused_and_never_executed(
    build: Callable[[Path], bytes], run: Run, seqvae: Seqvae, tmp_path: Path
) -> None:
    marker, file = tmp_path / "executed", tmp_path / "vectors.npy"
    data = build(marker)
    file.write_bytes(data)
    answer = seqvae("decode", "-r", "hurt", str(file))
    assert answer.code == 4
    assert_one_line(answer.err)
    assert not marker.exists()
    still_loads(run)
    numpy_load(data) if build is numpy_pickle else pickle.loads(data)
    assert marker.exists()


# Row 13


def tensor_file(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + data


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


LIES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "half a length": lambda: b"\x01\x00",
    "huge length": lambda: tensor_file({}, length=2**63),
    "long length": lambda: tensor_file({}, length=90_000_000),
    "overlapping": lambda: tensor_file({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)),
    "beyond the end": lambda: tensor_file({"a": entry("F32", [200], 0, 800)}, bytes(8)),
    "backwards": lambda: tensor_file({"a": entry("F32", [2], 8, 0)}, bytes(8)),
    "shape too large": lambda: tensor_file({"a": entry("F32", [2**62, 8], 0, 8)}, bytes(8)),
    "shape beyond int64": lambda: tensor_file({"a": entry("F32", [2**63, 0], 0, 0)}),
    "negative shape": lambda: tensor_file({"a": entry("F32", [-2], 0, 8)}, bytes(8)),
    "unknown type": lambda: tensor_file({"a": entry("Q9", [2], 0, 8)}, bytes(8)),
    "type without a tensor": lambda: tensor_file({"a": entry("F6_E2M3", [4], 0, 3)}, bytes(3)),
    "no object": lambda: tensor_file(b"[]      "),
    "no text": lambda: tensor_file(b"\xff\xfe\xff\xff"),
    "nested": lambda: tensor_file(b'{"a":' * 100_000),
    "a bit of everything": lambda: tensor_file({"a": 1, "__metadata__": {"b": [1]}}),
    "100,000 tensors": lambda: tensor_file({f"t{i}": entry("F32", [0], 0, 0) for i in range(100_000)}),
    "40,000,000 dimensions": lambda: tensor_file(
        b'{"a":{"dtype":"F32","shape":[' + b"0," * 40_000_000 + b'0],"data_offsets":[0,0]}}'
    ),
    "a text of 99 MB": lambda: tensor_file(b'{"__metadata__":{"a":"' + b"x" * 99_000_000 + b'"}}'),
}
HUGE = list(LIES)[-2:]


def of_another_shape(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return tensors | {name: torch.zeros(3, 3)}


def of_another_type(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return tensors | {name: tensors[name].double() if tensors[name].is_floating_point() else tensors[name].float()}


def missing(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in tensors.items() if key != name}


def one_more(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {**tensors, f"{name}2": torch.zeros(1)}


def not_finite(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return tensors | {name: tensors[name] * float("nan")}


CHANGES = [of_another_shape, of_another_type, missing]
CHANGED = [
    *((WEIGHTS, "decoder.vocabulary.weight", change) for change in (*CHANGES, one_more, not_finite)),
    *((TRAINING, "encoder.mean.weight/exp_avg", change) for change in (*CHANGES, one_more)),
    *((TRAINING, "encoder.mean.weight/step", change) for change in CHANGES),
    *((TRAINING, "random/cpu", change) for change in CHANGES),
]


def refuse(run: Run, name: str, data: bytes, seqvae: Seqvae) -> str:
    """Asserts that the foreign file is refused in a second of CPU time, and that nothing is lost; gives stderr."""
    seqvae("runs", "doctor", "tiny-run")  # what is imported once is none of the second
    forge(run, name, data)
    last, tiny = snapshot(run.path / "last"), snapshot(run.path.parent / "tiny-run")
    began = time.process_time()
    answer = seqvae(*COMMANDS[name])
    seconds = time.process_time() - began
    assert answer.code == 4, answer.err
    assert_one_line(answer.err)
    assert len(answer.err) < 1000
    assert seconds < 1
    assert snapshot(run.path / "last") == last
    assert snapshot(run.path.parent / "tiny-run") == tiny
    still_loads(registry.find("tiny-run"))
    return answer.err


@pytest.mark.row(13)
@pytest.mark.parametrize("name", [WEIGHTS, TRAINING])
@pytest.mark.parametrize("lie", list(LIES) if FULL else list(LIES)[4:-1:3])
def test_a_lying_header_is_refused_in_a_second(lie: str, name: str, run: Run, seqvae: Seqvae) -> None:
    assert "hurt" in refuse(run, name, LIES[lie](), seqvae)


@pytest.mark.row(13)
@pytest.mark.parametrize(("name", "tensor", "change"), CHANGED)
def test_tensors_that_are_not_those_of_the_model_are_refused_by_name(
    name: str,
    tensor: str,
    change: Callable[[dict[str, Tensor], str], dict[str, Tensor]],
    run: Run,
    seqvae: Seqvae,
) -> None:
    folder, _, file = name.rpartition("/")
    tensors = checkpoint.read_tensors(checkpoint.newest(run.path / folder) / file)
    told = refuse(run, name, save(change(tensors, tensor)), seqvae)
    assert (tensor if name == WEIGHTS else tensor.partition("/")[0]) in told


@pytest.mark.row(13)
def test_settings_of_a_giant_cost_nothing_where_the_weights_do_not_bear_them_out(run: Run, seqvae: Seqvae) -> None:
    giant = {"embed_size": 65536, "hidden_size": 65536, "latent_size": 65536, "encoder_layers": 16}
    settings = yaml.safe_load((run.path / "config.yaml").read_text())
    settings["model"] |= giant
    assert "hurt" in refuse(run, "config.yaml", yaml.safe_dump(settings).encode(), seqvae)


@pytest.mark.row(13)
def test_no_lie_costs_a_second_or_200_mb(run: Run, forked: Preloaded, count_tries: Callable[[int], None]) -> None:
    lies = {f"lie-{number}": lie for number, lie in enumerate(LIES if FULL else ("overlapping", HUGE[0]))}
    honest = forked.run("score", "-r", "tiny-run", "it")
    assert honest.code == 0
    costs = {}
    for name, lie in lies.items():
        shutil.copytree(run.path, run.path.parent / name)
        forge(registry.find(name), WEIGHTS, LIES[lie]())
        cost = forked.run("score", "-r", name, "it")
        assert cost.code == 4
        costs[lie] = cost.seconds - honest.seconds, (cost.bytes - honest.bytes) >> 20
    assert {lie: cost for lie, cost in costs.items() if cost[0] >= 1 or cost[1] >= 200} == {}
    count_tries(len(lies))

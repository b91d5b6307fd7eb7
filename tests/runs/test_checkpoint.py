"""Checkpoints are atomic and verified, and resuming from one equals never having stopped."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqvae_cli import api
from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.errors import CheckpointError, MachineError, NotFoundError, SeqvaeError
from seqvae_cli.model import SentenceVAE
from seqvae_cli.runs import checkpoint, loading, registry
from seqvae_cli.system import files, json_files


def group(seed: int = 0) -> dict[str, Tensor]:
    """Tensors of every kind that training saves."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "weight": torch.randn(3, 5, generator=generator),
        "view": torch.randn(4, 4, generator=generator).T[1:, ::2],
        "scalar": torch.tensor(0.1),
        "double": torch.randn(2, dtype=torch.float64, generator=generator),
        "bytes": torch.randint(0, 256, (7,), dtype=torch.uint8, generator=generator),
        "empty": torch.empty(0, 3),
        "special": torch.tensor([float("nan"), float("inf"), -0.0, 1e-42]),
    }


def save(folder: Path, step: int, *, keep: int = 1, state: bool = True) -> Path:
    tensors = {"model": {"weight": torch.full((3,), float(step))}, "training": group(step)}
    return checkpoint.write(folder, step, tensors, {"step": step} if state else None, keep=keep)


def bits(tensors: dict[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size, bytes]]:
    return {
        name: (value.dtype, value.shape, value.contiguous().numpy().tobytes())
        for name, value in sorted(tensors.items())
    }


def is_step(path: Path, step: int) -> bool:
    """Whether the checkpoint verifies and all its files are those of `step`."""
    assert checkpoint.verify(path) == checkpoint.step_of(path)
    return (
        checkpoint.step_of(path) == step
        and json_files.read(path / "training.json") == {"step": step}
        and bits(checkpoint.read_tensors(path / "training.safetensors")) == bits(group(step))
        and checkpoint.read_tensors(path / "model.safetensors")["weight"].tolist() == [float(step)] * 3
    )


def remanifest(path: Path, manifest: Any) -> None:
    """Writes `manifest` with a recomputed digest, if it has one."""
    if isinstance(manifest, dict) and "digest" in manifest:
        body = {key: value for key, value in manifest.items() if key != "digest"}
        manifest["digest"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))


# Writing and finding


def test_a_checkpoint_loads_bit_for_bit(tmp_path: Path) -> None:
    path = save(tmp_path / "last", 7)
    assert is_step(path, 7)
    assert path == checkpoint.newest(tmp_path / "last")
    assert sorted(file.name for file in path.iterdir()) == [
        "manifest.json",
        "model.safetensors",
        "training.json",
        "training.safetensors",
    ]


def test_saving_keeps_tensors_unchanged_and_accepts_shared_memory(tmp_path: Path) -> None:
    shared = torch.randn(4, 4)
    tensors = {"a": shared, "b": shared, "c": shared[1:3], "d": nn.Parameter(shared)}
    before = bits({"a": shared.clone()})
    path = checkpoint.write(tmp_path, 1, {"model": tensors})
    assert bits({"a": shared}) == before
    back = checkpoint.read_tensors(path / "model.safetensors")
    assert torch.equal(back["a"], shared)
    assert torch.equal(back["b"], shared)
    assert torch.equal(back["c"], shared[1:3])


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_saving_keeps_the_newest_and_deletes_the_others(keep: int, tmp_path: Path) -> None:
    for step in range(1, 6):
        path = save(tmp_path, step, keep=keep)
        kept = checkpoint.generations(tmp_path)
        assert kept[0] == path
        assert sorted(kept) == sorted(tmp_path.iterdir())
        assert [checkpoint.verify(each) for each in kept] == list(range(step, max(0, step - keep), -1))


def test_numbers_go_on_beyond_the_width_of_the_name(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    path.rename(tmp_path / "999999")
    newer = save(tmp_path, 2, keep=2)
    assert newer.name == "1000000"
    assert checkpoint.generations(tmp_path) == [newer, tmp_path / "999999"]


def test_a_folder_without_manifest_is_ignored_and_deleted_by_the_next_save(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    half = tmp_path / "000002"
    shutil.copytree(path, half)
    (half / "manifest.json").unlink()
    (half / f"{files.TEMPORARY}manifest.json-1").write_bytes(b"{")
    assert checkpoint.generations(tmp_path) == [path]
    assert checkpoint.newest(tmp_path) == path
    newer = save(tmp_path, 2)
    assert newer.name == "000003"
    assert list(tmp_path.iterdir()) == [newer]


def test_foreign_files_neither_stop_a_save_nor_are_deleted(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "last", tmp_path / "elsewhere"
    moved = save(elsewhere, 1)
    save(folder, 2)
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "000000").symlink_to(moved)
    (folder / "my copy").mkdir()
    (folder / "²").mkdir()
    newer = save(folder, 3)
    assert checkpoint.newest(folder) == newer
    assert is_step(moved, 1)
    assert (folder / ".DS_Store").exists()
    assert (folder / "my copy").exists()


def test_without_a_checkpoint_newest_raises_not_found(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotFoundError):
            checkpoint.newest(folder)


# Crashes


class Crash(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("number", range(1, 5))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_between_the_files_of_a_save_leaves_the_old_or_the_new(
    number: int, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = save(tmp_path, 1)
    write, calls = files.write, 0

    def crashing(path: Path, data: bytes) -> str:
        nonlocal calls
        calls += 1
        if calls == number and not after:
            raise Crash
        digest = write(path, data)
        if calls == number:
            raise Crash
        return digest

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", crashing)
        with pytest.raises(Crash):
            save(tmp_path, 2)
    assert is_step(old, 1)
    assert is_step(checkpoint.newest(tmp_path), 2 if after and number == 4 else 1)
    newer = save(tmp_path, 3)
    assert is_step(newer, 3)
    assert list(tmp_path.iterdir()) == [newer]


@pytest.mark.parametrize("number", range(1, 10))
def test_a_failed_sync_is_a_machine_error_and_loses_nothing(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = save(tmp_path, 1)
    fsync, calls = os.fsync, 0

    def refusing(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(errno.EIO, "broken")
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refusing)
        with pytest.raises(MachineError) as caught:
            save(tmp_path, 2)
    assert str(tmp_path) in caught.value.message
    assert is_step(old, 1)
    assert is_step(checkpoint.newest(tmp_path), 2 if number >= 9 else 1)
    newer = save(tmp_path, 3)
    assert list(tmp_path.iterdir()) == [newer]


def test_the_manifest_is_written_last_and_old_checkpoints_are_deleted_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)
    order: list[str] = []
    write, rmtree = files.write, shutil.rmtree

    def watched(path: Path, data: bytes) -> str:
        order.append(path.name)
        return write(path, data)

    def watched_removal(path: Path, **options: Any) -> None:
        assert not (path / "manifest.json").exists()  # half deleted, it must not look like a checkpoint
        order.append("delete")
        rmtree(path, **options)

    monkeypatch.setattr(files, "write", watched)
    monkeypatch.setattr(shutil, "rmtree", watched_removal)
    save(tmp_path, 2)
    assert order == ["model.safetensors", "training.safetensors", "training.json", "manifest.json", "delete"]


# Damage


def test_every_flipped_bit_of_the_manifest_is_found(tmp_path: Path) -> None:
    path = checkpoint.write(tmp_path, 25, {"model": {"weight": torch.zeros(2)}})
    original = (path / "manifest.json").read_bytes()
    missed = []
    for place in range(len(original)):
        for bit in range(8):
            data = bytearray(original)
            data[place] ^= 1 << bit
            (path / "manifest.json").write_bytes(bytes(data))
            try:
                checkpoint.verify(path)
            except CheckpointError:
                continue
            missed.append(bytes(data[max(0, place - 12) : place + 3]))
    assert missed == []


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    for name in ("model.safetensors", "training.safetensors", "training.json"):
        path = save(tmp_path, 1)
        (path / name).unlink()
        with pytest.raises(CheckpointError, match=name):
            checkpoint.verify(path)


def test_newest_falls_back_to_an_intact_one_and_reports_the_damaged(tmp_path: Path) -> None:
    paths = [save(tmp_path, step, keep=3) for step in (1, 2, 3)]
    (paths[2] / "training.json").write_bytes(b"{}")
    (paths[1] / "manifest.json").write_bytes(b"")
    damaged: list[str] = []
    assert checkpoint.newest(tmp_path, damaged) == paths[0]
    assert len(damaged) == 2
    assert str(paths[2] / "training.json") in damaged[0]
    assert str(paths[1] / "manifest.json") in damaged[1]
    with pytest.raises(CheckpointError, match="training"):
        checkpoint.newest(tmp_path)
    (paths[0] / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="training"):
        checkpoint.newest(tmp_path, [])


def test_newest_falls_back_from_an_unreadable_one(tmp_path: Path) -> None:
    paths = [save(tmp_path, step, keep=2) for step in (1, 2)]
    (paths[1] / "manifest.json").unlink()
    (paths[1] / "manifest.json").mkdir()
    damaged: list[str] = []
    assert checkpoint.newest(tmp_path, damaged) == paths[0]
    assert str(paths[1]) in damaged[0]
    with pytest.raises(SeqvaeError):
        checkpoint.newest(tmp_path)


def test_a_newer_format_is_refused_with_a_hint_to_upgrade(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    manifest = json_files.read(path / "manifest.json")
    remanifest(path, manifest | {"format": checkpoint.CHECKPOINT_FORMAT + 1})
    with pytest.raises(CheckpointError, match="newer") as caught:
        checkpoint.verify(path)
    assert "upgrade" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["../x", "../000001/x", "/x", "a/b", "..\\x", "..", ".", "", "x\0", "x" * 5000], ids=lambda n: repr(n)[:14]
)
def test_a_manifest_cannot_name_files_outside_its_folder(name: str, tmp_path: Path) -> None:
    path = save(tmp_path / "last", 1)
    (tmp_path / "last" / "x").write_bytes(b"")
    manifest = json_files.read(path / "manifest.json")
    manifest["files"][name] = hashlib.sha256(b"").hexdigest()
    remanifest(path, manifest)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.verify(path)
    assert len(caught.value.message) < 6000


@pytest.mark.parametrize(
    "change",
    [
        {"format": None},
        {"format": "1"},
        {"step": None},
        {"step": "7"},
        {"files": None},
        {"files": []},
        {"files": {}},
        {"files": {"model.safetensors": 5}},
        {"files": {"model.safetensors": None}},
        {"files": {"model.safetensors": ["0" * 64]}},
        {"files": {"training.json": "0" * 64}},
    ],
    ids=str,
)
def test_a_manifest_of_the_wrong_shape_is_a_checkpoint_error(change: dict[str, Any], tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    remanifest(path, json_files.read(path / "manifest.json") | change)
    with pytest.raises(CheckpointError):
        checkpoint.verify(path)


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b'"x"', b"", b"\x80\x04K\x01.", b"[" * 100_000])
def test_a_malformed_manifest_is_a_checkpoint_error(data: bytes, tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    (path / "manifest.json").write_bytes(data)
    with pytest.raises(CheckpointError):
        checkpoint.verify(path)


# Weights


def tiny_model(tied: bool = False) -> SentenceVAE:
    settings = ModelSettings(embed_size=6, hidden_size=8, latent_size=2, dropout=0.3, tied=tied)
    return SentenceVAE(settings, 11)


def test_weights_of_another_shape_type_or_name_are_refused_by_name(tmp_path: Path) -> None:
    model = tiny_model()
    good = model.state_dict()
    name = "decoder.vocabulary.weight"
    changes: dict[str, dict[str, Tensor]] = {
        "shape": good | {name: torch.zeros(8, 11)},
        "type": good | {name: good[name].double()},
        "missing": {key: value for key, value in good.items() if key != name},
        "extra": {**good, f"{name}2": torch.zeros(1)},
    }
    before = bits(good)
    for kind, tensors in changes.items():
        path = checkpoint.write(tmp_path / kind, 1, {"model": tensors})
        checkpoint.verify(path)
        with pytest.raises(CheckpointError, match=name) as caught:
            checkpoint.load_weights(model, path)
        assert bits(model.state_dict()) == before, kind
        if kind == "type":
            assert "float64" in caught.value.message
            assert "float32" in caught.value.message
    path = checkpoint.write(tmp_path / "good", 1, {"model": good})
    other = tiny_model()
    checkpoint.load_weights(other, path)
    assert bits(other.state_dict()) == before


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    model, other = tiny_model(tied=True), tiny_model(tied=True)
    path = checkpoint.write(tmp_path, 1, {"model": model.state_dict()})
    checkpoint.load_weights(other, path)
    assert other.decoder.vocabulary.weight is other.encoder.embedding.weight
    assert bits(other.state_dict()) == bits(model.state_dict())


# Loading a run


def test_a_run_loads_its_best_weights_in_eval_mode(trained_home: Path) -> None:
    model = api.load("tiny-run")
    run = trained_home / "runs" / "tiny-run"
    best = checkpoint.newest(run / "best")
    assert model.step == checkpoint.step_of(best)
    assert bits(model.network.state_dict()) == bits(checkpoint.read_tensors(best / "model.safetensors"))
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert len(model.tokenizer) == model.network.encoder.embedding.num_embeddings
    assert model.settings.model.latent_size == 4
    assert bits(api.load(registry.find("latest")).network.state_dict()) == bits(model.network.state_dict())


def test_without_best_weights_the_last_ones_load(trained_home: Path) -> None:
    run = trained_home / "runs" / "tiny-run"
    shutil.rmtree(run / "best")
    assert api.load("tiny-run").step == checkpoint.step_of(checkpoint.newest(run / "last"))
    shutil.rmtree(run / "last")
    with pytest.raises(NotFoundError, match="no checkpoint"):
        api.load("tiny-run")
    with pytest.raises(NotFoundError):
        api.load("latest")


@pytest.mark.parametrize("name", ["config.yaml", "tokenizer.json"])
def test_a_run_with_a_flipped_bit_does_not_load(name: str, trained_home: Path) -> None:
    path = trained_home / "runs" / "tiny-run" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=name) as caught:
        api.load("tiny-run")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("digests", [None, [], {}, {"config.yaml": "0"}, {"config.yaml": 1, "tokenizer.json": None}])
def test_a_run_without_digests_of_its_parts_does_not_load(digests: Any, trained_home: Path) -> None:
    run = registry.find("tiny-run")
    assert run.path.is_relative_to(trained_home)
    run.update(files=digests)
    with pytest.raises(CheckpointError):
        api.load("tiny-run")


def test_a_run_loads_while_its_training_saves_a_better_one(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best = trained_home / "runs" / "tiny-run" / "best"
    weights = checkpoint.read_tensors(checkpoint.newest(best) / "model.safetensors")
    read = checkpoint.read_weights

    def overtaken(module: nn.Module, path: Path) -> dict[str, torch.Tensor]:
        monkeypatch.setattr(loading, "read_weights", read)
        checkpoint.write(best, 1000, {"model": weights})
        assert not path.exists()
        return read(module, path)

    monkeypatch.setattr(loading, "read_weights", overtaken)
    assert api.load("tiny-run").step == 1000

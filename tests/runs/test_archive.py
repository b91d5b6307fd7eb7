"""Archives of runs: unpacked bit for bit, and refused where anything differs from the manifest."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from seqvae_cli import api
from seqvae_cli.data import corpus
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError, MachineError, UsageError
from seqvae_cli.runs import archive, checkpoint, doctor, registry
from seqvae_cli.runs.run import NAME_RULE, Run
from seqvae_cli.system import files, json_files, places
from seqvae_cli.system.progress import Advance
from tests import trainings
from tests.runs.folders import holder

Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def run(trained_home: Path) -> Run:
    """`tiny-run` with a tag, an evaluation, and foreign files."""
    assert trained_home.is_dir()
    run = registry.find("tiny-run")
    run.tag(["paper"])
    model = api.load(run)
    model.store(model.evaluate(samples=2))
    (run.path / f"{files.TEMPORARY}x").write_text("half")
    (run.path / "notes.txt").write_text("mine")
    (run.path / "last" / "notes.txt").write_text("mine")
    return run


def packed(run: Run) -> bytes:
    return b"".join(archive.Pack(run).blocks())


def unpack(data: bytes, name: str | None = "new") -> Run:
    return archive.unpack(io.BytesIO(data), name)


def content(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def members(data: bytes) -> list[Member]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def repacked(found: list[Member], tail: bytes = b"") -> bytes:
    blocks = b""
    for info, data in found:
        blocks += info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
    return gzip.compress(blocks + bytes(1024) + tail)


def with_manifest(found: list[Member], change: Callable[[dict[str, Any]], object]) -> bytes:
    manifest = json.loads(found[0][1])
    change(manifest)
    return repacked([member(archive.MANIFEST, json.dumps(manifest).encode()), *found[1:]])


def member(name: str, data: bytes = b"", **values: Any) -> Member:
    info = tarfile.TarInfo(archive.FOLDER + name if "full" not in values else values.pop("full"))
    info.size = len(data)
    for key, value in values.items():
        setattr(info, key, value)
    return info, data


def index(found: list[Member], name: str) -> int:
    return next(i for i, (info, _) in enumerate(found) if info.name == archive.FOLDER + name)


# Packing and unpacking


def test_a_run_is_unpacked_bit_for_bit_under_its_name_or_another(run: Run) -> None:
    data = packed(run)
    before = content(run.path)
    taken = {name for name in before if not name.endswith(("lock", "notes.txt")) and files.TEMPORARY not in name}
    new = unpack(data, "elsewhere.2")
    assert new.path == places.runs() / "elsewhere.2"
    assert content(new.path) == {name: before[name] for name in taken}
    assert {"tags.json", "metrics.jsonl", "run.json"} < taken
    assert any(name.startswith("evaluations/") for name in taken)
    assert new.status == "finished"
    state = api.load(run).network.state_dict()
    assert all(value.equal(state[key]) for key, value in api.load(new).network.state_dict().items())
    run.path.rename(run.path.parent.parent / "away")
    assert unpack(data, None).name == "tiny-run"


def test_the_same_run_gives_the_same_bytes_and_the_manifest_comes_first(run: Run) -> None:
    data = packed(run)
    assert packed(registry.find("tiny-run")) == data
    found = members(data)
    assert found[0][0].name == archive.FOLDER + archive.MANIFEST
    manifest = json.loads(found[0][1])
    assert [archive.FOLDER + name for name in manifest["files"]] == [info.name for info, _ in found[1:]]
    for (info, block), entry in zip(found[1:], manifest["files"].values(), strict=True):
        assert (info.size, hashlib.sha256(block).hexdigest()) == (entry["size"], entry["sha256"])
        assert (info.mtime, info.uid, info.uname, info.mode) == (0, 0, "", 0o644)
    assert packed(unpack(data, "copy")) != data  # its name is in the manifest
    assert members(packed(registry.find("copy")))[1:][0][1] == found[1][1]


def test_a_run_without_a_checkpoint_can_be_packed(tiny_corpus: Corpus) -> None:
    from seqvae_cli.config import layers
    from seqvae_cli.training import session

    run = session.start(layers.resolve(), tiny_corpus, name="fresh")
    new = unpack(packed(run))
    assert new.status == "interrupted"
    assert not new.has_checkpoint()


def test_a_run_that_has_not_begun_takes_the_weights_that_it_begins_with(tiny_corpus: Corpus, run: Run) -> None:
    from seqvae_cli.training import session
    from seqvae_cli.training.initial import Initial, weights

    initial = Initial(run)
    settings, _ = session.settle(corpus=tiny_corpus, initial=initial)
    begun = session.start(settings, tiny_corpus, name="begun", initial=initial)
    new, before = unpack(packed(begun)), weights(begun)
    assert before is not None
    found = weights(new)
    assert found is not None
    assert (found / "model.safetensors").read_bytes() == (before / "model.safetensors").read_bytes()


def test_what_arrives_is_not_newer_than_what_is_made_from_now_on(run: Run, tiny_corpus: Corpus) -> None:
    """Made by a clock that was ahead, or by hand: it would stay the latest run and corpus for good."""
    run.update(created=json_files.MAX_TIME)
    info = tiny_corpus.info | {"prepared_at": json_files.MAX_TIME}
    json_files.write(tiny_corpus.path / "corpus.json", info, sealed=True)
    data = b"".join(archive.Pack(run, corpus=Corpus.open(tiny_corpus.path)).blocks())
    shutil.rmtree(places.runs())
    shutil.rmtree(places.corpora())
    before = time.time_ns()
    new = unpack(data, "came")
    corpus = Corpus.open(places.corpora() / str(new.info["corpus"]["folder"]))
    for moment in (registry.find("came").info["created"], corpus.info["prepared_at"]):
        assert before <= moment <= time.time_ns()
    corpus.verify()


@pytest.mark.parametrize("moment", [-1, json_files.MAX_TIME + 1, "now", None])
def test_a_corpus_was_prepared_at_a_time_that_can_be(tiny_corpus: Corpus, moment: object) -> None:
    json_files.write(tiny_corpus.path / "corpus.json", tiny_corpus.info | {"prepared_at": moment}, sealed=True)
    with pytest.raises(DataError, match=r"corpus\.json is damaged"):
        Corpus.open(tiny_corpus.path)


def test_the_best_weights_alone_answer_as_the_run_and_are_not_resumed(run: Run) -> None:
    pack = archive.Pack(run, weights_only=True)
    weights = [name for name in pack.files if name.endswith(".safetensors")]
    assert weights == [f"best/{checkpoint.newest(run.path / 'best').name}/model.safetensors"]
    small = archive.unpack(io.BytesIO(b"".join(pack.blocks())), "small")
    codes = [api.load(name).encode(["the cat sees the sea"]).tolist() for name in ("tiny-run", "small")]
    assert codes[0] == codes[1]
    assert not doctor.examine(small.path)
    before = trainings.weights(small, "best")
    with pytest.raises(UsageError, match="weights alone"):
        trainings.fit(small, corpus.find("tiny"), resume=True, epochs=9)
    assert all(torch.equal(before[name], value) for name, value in trainings.weights(small, "best").items())
    assert small.status == "finished"


def test_progress_counts_every_byte(run: Run) -> None:
    pack, told = archive.Pack(run), [0, 0]

    def watch(which: int) -> Advance:
        def count(size: int) -> None:
            told[which] += size

        return count

    data = b"".join(pack.blocks(watch(0)))
    archive.unpack(io.BytesIO(data), "new", watch(1))
    assert told == [pack.size, pack.size]


# Packing refuses


def test_a_run_that_is_being_trained_is_not_packed(run: Run) -> None:
    with holder(run), pytest.raises(MachineError, match="being trained by process"):
        archive.Pack(registry.find("tiny-run"))


@pytest.mark.parametrize("name", ["config.yaml", "tokenizer.json", "best/*/model.safetensors", "last/*/manifest.json"])
def test_a_flipped_bit_is_found_before_anything_is_packed(run: Run, name: str) -> None:
    (path, *_) = run.path.glob(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError):
        archive.Pack(run)


def test_a_checkpoint_that_changes_while_it_is_packed_is_noticed(run: Run) -> None:
    pack = archive.Pack(run)
    (path, *_) = run.path.glob("best/*/model.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="changed while"):
        list(pack.blocks())


def test_a_tag_set_during_packing_is_not_packed(run: Run) -> None:
    blocks = archive.Pack(run).blocks()
    data = next(blocks)
    run.tag(["late"])
    assert unpack(data + b"".join(blocks)).tags() == ["paper"]


# Names


def test_a_taken_name_is_wrong_usage_that_compares_the_content(run: Run) -> None:
    data = packed(run)
    with pytest.raises(UsageError, match="same content") as caught:
        unpack(data, None)
    assert "--name" in caught.value.hint
    run.tag(["other"])
    with pytest.raises(UsageError, match="different content") as caught:
        unpack(data, None)
    assert "--name" in caught.value.hint
    (places.runs() / "link").symlink_to(run.path.parent / "nowhere")
    with pytest.raises(UsageError):
        unpack(data, "link")


@pytest.mark.parametrize("name", ["../x", "/x", "latest", "x\n", ""])
def test_a_bad_name_for_the_run_is_wrong_usage(run: Run, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        unpack(packed(run), name)
    assert NAME_RULE in caught.value.hint


# Hostile archives

Hostile = Callable[[list[Member]], bytes]
HOSTILE: dict[str, Hostile] = {}


def hostile(build: Hostile) -> Hostile:
    HOSTILE[build.__name__] = build
    return build


@hostile
def missing(found: list[Member]) -> bytes:
    return repacked(found[:-1])


@hostile
def no_manifest(found: list[Member]) -> bytes:
    return repacked(found[1:])


@hostile
def manifest_last(found: list[Member]) -> bytes:
    return repacked([*found[1:], found[0]])


@hostile
def two_manifests(found: list[Member]) -> bytes:
    return repacked([found[0], *found])


@hostile
def longer_than_declared(found: list[Member]) -> bytes:
    info, data = found[1]
    return repacked([found[0], member(info.name.removeprefix(archive.FOLDER), data + b" "), *found[2:]])


@hostile
def flipped(found: list[Member]) -> bytes:
    info, data = found[-1]
    return repacked([*found[:-1], (info, bytes([data[0] ^ 1]) + data[1:])])


@hostile
def data_after_the_end(found: list[Member]) -> bytes:
    return repacked(found, tail=b"x")


@hostile
def zeros_without_end(found: list[Member]) -> bytes:
    return repacked(found, tail=bytes(1 << 24))


@hostile
def garbage_after_gzip(found: list[Member]) -> bytes:
    return repacked(found) + b"garbage"


@hostile
def wrong_gzip_sum(found: list[Member]) -> bytes:
    data = bytearray(repacked(found))
    data[-6] ^= 1
    return bytes(data)


@hostile
def cut_in_half(found: list[Member]) -> bytes:
    data = repacked(found)
    return data[: len(data) // 2]


@hostile
def cut_at_the_end(found: list[Member]) -> bytes:
    return repacked(found)[:-4]


@hostile
def no_end_of_tar(found: list[Member]) -> bytes:
    return gzip.compress(gzip.decompress(repacked(found))[:-1024])


@hostile
def wrong_header_sum(found: list[Member]) -> bytes:
    data = bytearray(gzip.decompress(repacked(found)))
    data[3] ^= 1
    return gzip.compress(bytes(data))


@hostile
def not_gzipped(found: list[Member]) -> bytes:
    return gzip.decompress(repacked(found))


@hostile
def empty(_: list[Member]) -> bytes:
    return b""


@hostile
def text(_: list[Member]) -> bytes:
    return b"<!doctype html><html></html>"


@hostile
def bomb_in_place_of_a_manifest(found: list[Member]) -> bytes:
    return repacked([member(archive.MANIFEST, bytes(archive.MAX_MANIFEST + 1)), *found[1:]])


@hostile
def manifest_that_is_not_json(found: list[Member]) -> bytes:
    return repacked([member(archive.MANIFEST, b"{"), *found[1:]])


@hostile
def manifest_nested_deeply(found: list[Member]) -> bytes:
    return repacked([member(archive.MANIFEST, b"[" * 500_000), *found[1:]])


@hostile
def manifest_of_numbers(found: list[Member]) -> bytes:
    return repacked([member(archive.MANIFEST, b"[1, 2]"), *found[1:]])


@hostile
def newer(found: list[Member]) -> bytes:
    return with_manifest(found, lambda manifest: manifest.update(format=99))


@hostile
def without_tokenizer(found: list[Member]) -> bytes:
    return with_manifest(found, lambda manifest: manifest["files"].pop("tokenizer.json"))


@hostile
def an_invalid_digest(found: list[Member]) -> bytes:
    return with_manifest(found, lambda manifest: manifest["files"]["run.json"].update(sha256="x"))


@hostile
def an_invalid_entry(found: list[Member]) -> bytes:
    return with_manifest(found, lambda manifest: manifest["files"].update({"run.json": 1}))


@hostile
def a_run_from_another_archive(found: list[Member]) -> bytes:
    """Every file agrees with the manifest, but config.yaml disagrees with run.json."""
    changed = b"seed: 1\n"
    i = index(found, "config.yaml")
    entry = {"size": len(changed), "sha256": hashlib.sha256(changed).hexdigest()}
    data = with_manifest(found, lambda manifest: manifest["files"].update({"config.yaml": entry}))
    found = members(data)
    found[i] = member("config.yaml", changed)
    return repacked(found)


def replaced(found: list[Member], name: str, data: bytes) -> bytes:
    """`name` in the archive and in its manifest, added or changed."""
    entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    others = [other for other in found[1:] if other[0].name != archive.FOLDER + name]
    return with_manifest([found[0], *others, member(name, data)], lambda m: m["files"].update({name: entry}))


@hostile
def a_file_beside_a_checkpoint(found: list[Member]) -> bytes:
    return replaced(found, "best/000001/extra.json", b"{}")


@hostile
def a_checkpoint_without_manifest(found: list[Member]) -> bytes:
    return replaced(found, "best/000077/model.safetensors", b"x")


@hostile
def broken_metrics(found: list[Member]) -> bytes:
    return replaced(found, "metrics.jsonl", b"{")


@hostile
def broken_tags(found: list[Member]) -> bytes:
    return replaced(found, "tags.json", b'["\\u001b[31m"]')


@hostile
def broken_evaluation(found: list[Member]) -> bytes:
    return replaced(found, "evaluations/0123456789abcdef.json", b"{}")


@hostile
def run_json_of_a_newer_version(found: list[Member]) -> bytes:
    info = json.loads(found[index(found, "run.json")][1])
    return replaced(found, "run.json", json.dumps(info | {"format": 99}).encode())


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused(run: Run, kind: str) -> None:
    refuse(HOSTILE[kind](members(packed(run))))


@pytest.mark.parametrize("name", ["../x", "/x", "best", "x\x1b[31m", "", None, 5, ["x"], "x" * 200_000])
def test_a_manifest_with_a_bad_name_of_the_run_is_refused(run: Run, name: object) -> None:
    data = with_manifest(members(packed(run)), lambda manifest: manifest.update(run=name))
    refuse(data, name=None)


@pytest.mark.parametrize("size", [-1, 1 << 40, 1.5, "1", None])
def test_a_manifest_with_an_impossible_size_is_refused(run: Run, size: object) -> None:
    refuse(with_manifest(members(packed(run)), lambda manifest: manifest["files"]["run.json"].update(size=size)))


def refuse(data: bytes, name: str | None = "new") -> None:
    """Asserts a `DataError` of one line, and an unchanged home."""
    home = places.home()
    before = {path: path.lstat().st_mtime_ns for path in home.rglob("*") if path != places.runs()}
    with pytest.raises(DataError) as caught:
        unpack(data, name)
    assert caught.value.exit_code == 4
    assert str(home) not in caught.value.message
    assert len(caught.value.message) < 500
    assert {path: path.lstat().st_mtime_ns for path in home.rglob("*") if path != places.runs()} == before


def test_an_archive_larger_than_the_free_disk_is_refused_before_unpacking(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = packed(run)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(MachineError, match="10 are free"):
        unpack(data)
    assert registry.names() == ["tiny-run"]


def test_every_flipped_bit_is_found_or_changes_nothing(run: Run) -> None:
    data = packed(run)
    expected = content(unpack(data, "good").path)
    for i in range(40):
        hurt = bytearray(data)
        hurt[i * len(data) // 40] ^= 1 << (i % 8)
        try:
            new = unpack(bytes(hurt), f"hurt-{i}")
        except DataError:
            assert f"hurt-{i}" not in registry.names()
        else:  # an unused bit of the gzip header
            assert content(new.path) == expected

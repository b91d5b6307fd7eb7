"""Row 34: small files that would cost much to read, as settings, in a run and in an archive."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from seqvae_cli.config import layers
from seqvae_cli.errors import DataError
from seqvae_cli.runs import archive, arrival, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import json_files
from tests.conftest import Seqvae
from tests.faults.matrix import assert_one_line, snapshot, still_loads
from tests.runs.test_archive import member, members, packed, repacked, with_manifest

pytestmark = pytest.mark.row(34)

MERGED = "a0: &a0 {seed: 1}\n" + "".join(
    f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}\n" for level in range(1, 9)
)
"""Each level costs nine times the one before: 45 s of a core in 600 bytes."""

BOMBS = {
    "merge keys": (MERGED, "anchors and aliases"),
    "a merge key": ("train:\n  <<: {lr: 0.1}\n", "line 2: merge keys"),
    "an anchor": ("seed: &seed 1\n", "line 1: anchors and aliases"),
    "an alias": ("seed: *seed\n", "line 1: anchors and aliases"),
    "deep lists": ("seed: " + "[" * 60_000, "nested too deeply"),
    "deep mappings": ("".join(" " * level + "train:\n" for level in range(300)), "nested too deeply"),
    "many keys": ("".join(f"k{number}: 1\n" for number in range(6000)), "too many values"),
    "many values": (f"seed: [{'1, ' * 20_000}]\n", "too many values"),
    "many bytes": ("# nothing\n" * 7000, "65,536 bytes"),
    "a long number": ("seed: " + "9" * 60_000 + "\n", "not valid YAML"),
}


@pytest.fixture
def run(trained_home: Path) -> Run:
    """A run to put a bomb into, beside `tiny-run`, which nothing may touch."""
    shutil.copytree(trained_home / "runs" / "tiny-run", trained_home / "runs" / "hurt")
    return registry.find("hurt")


@pytest.mark.parametrize("bomb", BOMBS)
def test_settings_that_are_a_bomb_are_refused_wherever_they_are_read(
    bomb: str, run: Run, seqvae: Seqvae, home: Path, tmp_path: Path
) -> None:
    text, problem = BOMBS[bomb]
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    before = snapshot(home)
    answer = seqvae("train", "--config", str(file))
    assert (answer.code, answer.out) == (4, "")
    assert_one_line(answer.err, str(file), problem)
    assert snapshot(home) == before

    shutil.copy(file, run.path / "config.yaml")
    run.update(files=run.info["files"] | {"config.yaml": hashlib.sha256(text.encode()).hexdigest()})
    for command in (["sample", "hurt"], ["runs", "show", "hurt"], ["train", "--resume", "hurt", "--epochs", "3"]):
        answer = seqvae(*command)
        assert answer.code == 4
        assert_one_line(answer.err, str(run.path / "config.yaml"), problem)
    still_loads(registry.find("tiny-run"))


def swapped(found: list[tuple[object, bytes]], contents: dict[str, bytes]) -> bytes:
    """An archive with other files under the names of its own, as its manifest promises."""
    entries = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()}
    again = members(with_manifest(found, lambda manifest: manifest["files"].update(entries)))  # type: ignore[arg-type]
    names = {archive.FOLDER + name: name for name in contents}
    return repacked([member(names[i.name], contents[names[i.name]]) if i.name in names else (i, d) for i, d in again])


@pytest.mark.parametrize("bomb", ["merge keys", "deep lists", "many keys"])
def test_an_archive_with_a_bomb_as_settings_is_refused(bomb: str, run: Run, seqvae: Seqvae, tmp_path: Path) -> None:
    text, problem = BOMBS[bomb]
    found = members(packed(run))
    info = {**run.info, "files": run.info["files"] | {"config.yaml": hashlib.sha256(text.encode()).hexdigest()}}
    digest = json_files.write(tmp_path / "run.json", info, sealed=True)
    contents = {"config.yaml": text.encode(), "run.json": (tmp_path / "run.json").read_bytes()}
    assert digest
    refuse_import(swapped(found, contents), seqvae, tmp_path, "config.yaml", problem)


@pytest.mark.parametrize("value", ["[]", "{}", "1"])
@pytest.mark.parametrize("name", ["tokenizer.json", "metrics.jsonl"])
def test_an_archive_with_more_values_than_a_run_has_is_refused(
    name: str, value: str, run: Run, seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 MB of empty lists, 50 kB as an archive, are 400 MB in memory; here a hundredth of that."""
    monkeypatch.setattr(arrival, "MAX_VALUES", 10_000)
    data = f"[{value}{f',{value}' * 10_000}]".encode()
    refuse_import(swapped(members(packed(run)), {name: data}), seqvae, tmp_path, f"{name} has more than 10,000 values")


def refuse_import(data: bytes, seqvae: Seqvae, tmp_path: Path, *words: str) -> None:
    file = tmp_path / "stranger.tar.gz"
    file.write_bytes(data)
    before = snapshot(tmp_path)
    answer = seqvae("runs", "import", str(file), "--name", "new")
    assert (answer.code, answer.out) == (4, "")
    assert_one_line(answer.err, *words)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "9" * 301, "1e999", "NaN", '{"a": -Infinity}'])
def test_json_that_is_deep_or_not_finite_is_a_typed_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json"):
        json_files.read(tmp_path / "x.json")


@pytest.mark.parametrize("key", ["best_neg_elbo", "seconds", "epoch", "created", "best_epoch"])
def test_a_number_beyond_every_float_in_a_run_is_damage_and_no_bug(key: str, run: Run, seqvae: Seqvae) -> None:
    json_files.write(run.path / "run.json", {**run.info, key: 10**400}, sealed=True)
    for command in (["runs", "best"], ["runs", "compare", "hurt", "tiny-run"], ["runs", "show", "hurt"]):
        answer = seqvae(*command)
        assert answer.code == (0 if command[1] == "best" else 4), answer.err
    assert registry.runs()[1][0][0] == "hurt"


def test_the_settings_of_every_run_and_preset_are_no_bomb(run: Run) -> None:
    settings = layers.load(run.path / "config.yaml")
    nodes = json.dumps(settings.model_dump()).count(":")
    assert 2 * nodes < layers.MAX_NODES / 4
    assert len(layers.dump(settings)) < layers.MAX_BYTES / 16
    for text in ("&a 1", "*a", "{<<: {a: 1}}", "[" * 1000, "{a: " * 20):
        with pytest.raises(ValueError, match=r".+"):
            layers.scalar(text)

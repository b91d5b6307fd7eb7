"""Rows 4, 8 and 28: damaged checkpoints, damaged run folders, and a corpus that is not the one of the training."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from seqvae_cli import api
from seqvae_cli.data import corpus, prepare
from seqvae_cli.data.sources import text_source
from seqvae_cli.errors import CheckpointError
from seqvae_cli.runs import checkpoint, registry
from seqvae_cli.runs.run import RUN_FORMAT, Run
from seqvae_cli.system import files, json_files, places
from tests.conftest import Seqvae, tiny_text
from tests.faults.matrix import FULL, assert_one_line, snapshot, still_loads, tries

Damage = Callable[[bytes, random.Random], bytes]


@pytest.fixture
def run(trained_home: Path) -> Run:
    """`tiny-run`, and beside it another run that nothing may touch."""
    shutil.copytree(trained_home / "runs" / "tiny-run", trained_home / "runs" / "other")
    return registry.find("tiny-run")


def other() -> dict[str, bytes]:
    return snapshot(places.runs() / "other")


# Row 4


def flipped(data: bytes, choice: random.Random) -> bytes:
    place = choice.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << choice.randrange(8)]) + data[place + 1 :]


def truncated(data: bytes, choice: random.Random) -> bytes:
    return data[: choice.choice([0, 1, len(data) - 1, len(data) // 2, choice.randrange(len(data))])]


def parts(run: Run) -> list[Path]:
    """Every file of the newest checkpoints."""
    return [path for folder in ("best", "last") for path in sorted(checkpoint.newest(run.path / folder).iterdir())]


def harm(path: Path, damage: Damage, seed: int) -> None:
    data = path.read_bytes()
    path.write_bytes(damage(data, random.Random(seed)))
    assert path.read_bytes() != data


def assert_found(run: Run, hurt: Path) -> None:
    """The damaged file is named, the checkpoint before it is whole, and neither is changed."""
    bad, before = hurt.parent, snapshot(run.path)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.verify(bad)
    assert caught.value.exit_code == 4
    assert str(hurt if hurt.name != checkpoint.MANIFEST else bad) in caught.value.message
    with pytest.raises(CheckpointError):
        checkpoint.newest(bad.parent)
    damaged: list[str] = []
    good = checkpoint.newest(bad.parent, damaged)
    assert int(good.name) == int(bad.name) - 1
    assert damaged == [caught.value.message]
    if bad.parent.name == "best":
        with pytest.raises(CheckpointError, match="best"):
            api.load(run)
    else:
        still_loads(run)
    assert snapshot(run.path) == before


@pytest.mark.row(4)
@pytest.mark.parametrize("seed", tries(200, 12))
def test_a_flipped_bit_is_found(run: Run, seed: int) -> None:
    all_parts = parts(run)
    assert len(all_parts) == 6
    hurt = all_parts[seed % 6]
    harm(hurt, flipped, seed)
    assert_found(run, hurt)


@pytest.mark.row(4)
@pytest.mark.parametrize("seed", tries(50, 9))
def test_a_truncation_is_found(run: Run, seed: int) -> None:
    hurt = parts(run)[seed % 6]
    harm(hurt, truncated, seed)
    assert_found(run, hurt)


READERS = {
    "sample": ("sample", "tiny-run"),
    "eval": ("eval", "tiny-run", "--samples", "2"),
    "score": ("score", "-r", "tiny-run", "the cat sees it"),
    "encode": ("encode", "-r", "tiny-run", "the cat sees it"),
    "interpolate": ("interpolate", "--random", "-r", "tiny-run"),
    "reconstruct": ("reconstruct", "-r", "tiny-run", "the cat sees it"),
    "export": ("runs", "export", "tiny-run", "out.tar.gz"),
}


@pytest.mark.row(4)
@pytest.mark.parametrize("damage", [flipped, truncated])
@pytest.mark.parametrize("name", list(READERS)[:: 1 if FULL else 2])
def test_no_command_uses_damaged_weights(
    name: str, damage: Damage, run: Run, seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hurt = checkpoint.newest(run.path / "best") / "model.safetensors"
    harm(hurt, damage, 0)
    before, others = snapshot(run.path), other()
    answer = seqvae(*READERS[name])
    assert answer.code == 4
    assert_one_line(answer.err, str(hurt))
    assert answer.out == ""
    assert not (tmp_path / "out.tar.gz").exists()
    assert (snapshot(run.path), other()) == (before, others)
    checkpoint.newest(run.path / "last")
    still_loads(registry.find("other"))


@pytest.mark.row(4)
@pytest.mark.parametrize("damage", [flipped, truncated])
@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "training.json", "manifest.json"])
def test_a_resume_goes_on_from_the_checkpoint_before_and_names_the_damaged_one(
    name: str, damage: Damage, run: Run, seqvae: Seqvae
) -> None:
    run.update(status="interrupted")
    newest, finished, others = checkpoint.newest(run.path / "last"), weights(run), other()
    validated = [line["neg_elbo"] for line in run.metrics()]
    harm(newest / name, damage, 1)
    answer = seqvae("train", "--resume", "auto")
    assert answer.code == 0, answer.err
    (warning,) = [line for line in answer.err.splitlines() if "going on from step" in line]
    assert warning.startswith("warning: ")
    assert str(newest / name if name != checkpoint.MANIFEST else newest) in warning
    # What was lost is trained again, bit for bit.
    assert weights(registry.find("tiny-run")) == finished
    assert [line["neg_elbo"] for line in run.metrics()] == validated
    assert other() == others
    still_loads(run)


def weights(run: Run) -> dict[str, bytes]:
    folders = ("best", "last")
    return {name: (checkpoint.newest(run.path / name) / "model.safetensors").read_bytes() for name in folders}


@pytest.mark.row(4)
@pytest.mark.parametrize("damage", [flipped, truncated])
def test_where_no_checkpoint_is_whole_a_resume_says_so_and_destroys_nothing(
    damage: Damage, run: Run, seqvae: Seqvae
) -> None:
    generations = checkpoint.generations(run.path / "last")
    for path in generations:
        harm(path / "training.json", damage, 2)
    before, others = snapshot(run.path / "last"), other()
    answer = seqvae("train", "--resume", "tiny-run", "--epochs", "3")
    assert answer.code == 4
    assert_one_line(answer.err, str(generations[0]))
    assert (snapshot(run.path / "last"), other()) == (before, others)
    still_loads(registry.find("tiny-run"))  # its best one is whole


# Row 8


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(500))


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def half(path: Path) -> None:
    """A copy that stopped half-way."""
    copied = sorted(file for file in path.rglob("*") if file.is_file())
    for file in copied[len(copied) // 2 :]:
        file.unlink()


def empty(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def newer_run(path: Path) -> None:
    Run(path).update(format=RUN_FORMAT + 1)


def newer_checkpoint(path: Path) -> None:
    manifest = json_files.read(path) | {"format": checkpoint.CHECKPOINT_FORMAT + 1}
    manifest.pop("digest", None)
    json_files.write(path, manifest, sealed=True)


# What is damaged, how, the exit code of `runs doctor` and that of `sample`.
FOLDERS: dict[str, tuple[str, Callable[[Path], object], int, int]] = {
    "only begun": (".", empty, 4, 4),
    "half-copied": (".", half, 4, 4),
    "run.json cut": ("run.json", cut, 4, 4),
    "run.json garbled": ("run.json", garble, 4, 4),
    "run.json missing": ("run.json", Path.unlink, 4, 4),
    "run.json a folder": ("run.json", become_folder, 4, 5),
    "run.json a loop": ("run.json", become_loop, 4, 5),
    "newer": (".", newer_run, 0, 4),
    "settings missing": ("config.yaml", Path.unlink, 4, 4),
    "vocabulary cut": ("tokenizer.json", cut, 4, 4),
    "metrics garbled": ("metrics.jsonl", garble, 4, 0),
    "weights missing": ("best/*2/model.safetensors", Path.unlink, 4, 4),
    "optimizer cut": ("last/*2/training.safetensors", cut, 4, 0),
    "checkpoint newer": ("best/*2/manifest.json", newer_checkpoint, 0, 4),
    "checkpoints missing": ("last", shutil.rmtree, 4, 0),
}


@pytest.mark.row(8)
@pytest.mark.parametrize("what", FOLDERS)
def test_a_damaged_run_folder_is_named_and_hides_no_other(what: str, run: Run, seqvae: Seqvae) -> None:
    name, damage, doctor_code, sample_code = FOLDERS[what]
    hurt = places.runs() / "hurt"
    shutil.copytree(run.path, hurt)
    (path,) = [hurt] if name == "." else hurt.glob(name)
    damage(path)
    before = snapshot(places.runs())

    listed = seqvae("runs", "list")
    assert listed.code == 0
    assert "error:" not in listed.err
    names = [line.split()[0] for line in listed.lines]
    assert {"tiny-run", "other"} <= set(names)
    assert "hurt" in names or "hurt" in listed.err

    doctor = seqvae("runs", "doctor")
    assert doctor.code == doctor_code
    assert {line.split()[0] for line in doctor.lines[1:]} == {"hurt"}
    assert "Traceback" not in doctor.err

    sample = seqvae("sample", "hurt", "-n", "1", "--max-len", "3")
    assert sample.code == sample_code, sample.err
    if sample_code:
        assert_one_line(sample.err, str(hurt))
    if what in ("newer", "checkpoint newer"):
        assert "upgrade seqvae" in sample.err
    assert seqvae("runs", "doctor", "tiny-run", "other").code == 0
    assert snapshot(places.runs()) == before
    still_loads(run)


# Row 28


def another_file(folder: Path) -> tuple[str, str]:
    """One word of the training text is another one."""
    path = folder / "train.tokens.bin"
    before, data = files.sha256(path), bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    return before, files.sha256(path)


def another_vocabulary(folder: Path) -> tuple[str, str]:
    """Two words have changed places."""
    path = folder / "tokenizer.json"
    before, text = files.sha256(path), path.read_text()
    path.write_text(text.replace('"the"', '"\0"').replace('"a"', '"the"').replace('"\0"', '"a"'))
    return before, files.sha256(path)


def another_corpus(folder: Path) -> tuple[str, str]:
    """A corpus that is whole, prepared from other text, lies where the old one was."""
    before = corpus.Corpus.open(folder).hash
    text = folder.parent / "other.txt"
    text.write_text("\n".join(tiny_text()[:80]) + "\n")
    made = prepare.prepare_text(text_source(text), "tiny", valid_fraction=0.1, test_fraction=0.1).corpus
    shutil.rmtree(folder)
    made.path.rename(folder)
    return before, made.hash


@pytest.mark.row(28)
@pytest.mark.parametrize("command", ["resume", "eval"])
@pytest.mark.parametrize("change", [another_file, another_vocabulary, another_corpus])
def test_a_changed_corpus_is_refused_with_both_hashes(
    change: Callable[[Path], tuple[str, str]], command: str, run: Run, seqvae: Seqvae, tmp_path: Path
) -> None:
    folder = places.corpora() / str(run.info["corpus"]["folder"])
    shutil.copytree(folder, tmp_path / "as it was")
    trained_on, found = change(folder)
    assert trained_on != found
    before, corpora = snapshot(places.runs()), snapshot(places.corpora())
    arguments = {"resume": ("train", "--resume", "tiny-run", "--epochs", "3"), "eval": ("eval", "--samples", "2")}
    answer = seqvae(*arguments[command])
    assert answer.code == 4
    assert_one_line(answer.err, folder.name, trained_on[:12], found[:12])
    assert answer.out == ""
    assert (snapshot(places.runs()), snapshot(places.corpora())) == (before, corpora)
    still_loads(run)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "as it was", folder)
    assert seqvae(*arguments[command]).code == 0


@pytest.mark.row(28)
@pytest.mark.parametrize("command", [("train", "--resume", "tiny-run", "--epochs", "3"), ("eval", "--samples", "2")])
def test_a_corpus_that_has_grown_is_refused_with_both_sizes(command: tuple[str, ...], run: Run, seqvae: Seqvae) -> None:
    path = places.corpora() / str(run.info["corpus"]["folder"]) / "test.tokens.bin"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"\4\0")
    before = snapshot(places.runs())
    answer = seqvae(*command)
    assert answer.code == 4
    assert_one_line(answer.err, str(path), f" {size + 2} bytes, not {size}")
    assert snapshot(places.runs()) == before
    still_loads(run)

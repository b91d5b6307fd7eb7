"""The doctor finds every kind of damage, gives advice, and changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from seqvae_cli import api
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.runs import doctor, registry
from seqvae_cli.runs.doctor import Finding
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files, places
from tests.runs.folders import KILLED, holder


@pytest.fixture
def run(trained_home: Path) -> Run:
    assert trained_home.is_dir()
    run = registry.find("tiny-run")
    run.tag(["paper"])
    model = api.load(run)
    model.store(model.evaluate("valid", samples=2))
    return run


def look(run: Run) -> list[Finding]:
    """The findings; asserts that looking changed nothing."""
    before = {path: path.lstat().st_mtime_ns for path in places.home().rglob("*")}
    found = doctor.examine(run.path) + doctor.leftovers()
    assert {path: path.lstat().st_mtime_ns for path in places.home().rglob("*")} == before
    assert all(finding.problem and finding.advice for finding in found)
    return found


def kinds(run: Run) -> list[str]:
    return [finding.kind for finding in look(run)]


def test_an_intact_run_has_no_findings(run: Run) -> None:
    assert look(run) == []


def test_every_file_with_a_flipped_bit_is_found(run: Run) -> None:
    checked = [
        path
        for path in sorted(run.path.rglob("*"))
        if path.is_file() and path.suffix in (".json", ".yaml", ".safetensors") and path.name != "run.json"
    ]
    assert len(checked) >= 9
    for path in checked:
        whole = path.read_bytes()
        data = bytearray(whole)
        data[0 if path.parent.name == "evaluations" or path.name == "tags.json" else len(data) // 2] ^= 1
        path.write_bytes(data)
        found = look(run)
        assert [finding.kind for finding in found] == ["damaged"], path
        assert found[0].harmful
        assert str(path) in found[0].problem or path.name == "manifest.json"
        path.write_bytes(whole)
    assert look(run) == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def newer(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))


@pytest.mark.parametrize(
    ("name", "damage", "kind"),
    [
        ("run.json", cut, "damaged"),
        ("run.json", Path.unlink, "half-copied"),
        ("run.json", newer, "newer"),
        ("config.yaml", Path.unlink, "half-copied"),
        ("tokenizer.json", cut, "damaged"),
        ("metrics.jsonl", Path.unlink, "half-copied"),
        ("metrics.jsonl", cut, "damaged"),
        ("best", shutil.rmtree, "half-copied"),
        ("last", shutil.rmtree, "half-copied"),
        ("best/*/model.safetensors", cut, "damaged"),
        ("last/*/training.safetensors", Path.unlink, "half-copied"),
        ("last/*/manifest.json", newer, "newer"),
        ("tags.json", cut, "damaged"),
        ("evaluations/*", cut, "damaged"),
        ("evaluations/*", newer, "newer"),
    ],
)
def test_each_damage_has_its_kind(run: Run, name: str, damage: Callable[[Path], object], kind: str) -> None:
    (path, *_) = sorted(run.path.glob(name))
    damage(path)
    (finding,) = look(run)
    assert (finding.run, finding.kind) == ("tiny-run", kind)
    assert finding.harmful == (kind != "newer")


def test_the_advice_is_to_resume_where_an_older_checkpoint_is_intact(run: Run) -> None:
    old, new = sorted((run.path / "last").iterdir())
    cut(new / "model.safetensors")
    (finding,) = look(run)
    assert "seqvae train --resume tiny-run" in finding.advice
    cut(old / "model.safetensors")
    found = look(run)
    assert len(found) == 2
    assert all("runs rm" in finding.advice for finding in found)


def test_a_killed_run_is_stale_and_a_running_one_has_no_findings(run: Run) -> None:
    run.update(status="finished")
    with holder(run) as process:
        assert kinds(run) == []
        process.kill()
        process.wait(timeout=60)
        (finding,) = look(run)
    assert (finding.kind, finding.harmful) == ("stale", False)
    assert finding.advice == "seqvae train --resume tiny-run"


def test_a_run_without_a_checkpoint_is_not_harmful(tiny_corpus: Corpus) -> None:
    from seqvae_cli.config import layers
    from seqvae_cli.training import session

    fresh = session.start(layers.resolve(), tiny_corpus, name="fresh")
    assert kinds(fresh) == ["untrained", "stale"]
    assert not any(finding.harmful for finding in look(fresh))


def test_a_run_killed_between_its_first_best_and_its_first_last_is_not_damaged(run: Run) -> None:
    shutil.rmtree(run.path / "last")
    (run.path / "metrics.jsonl").unlink()
    run.update(epoch=1)
    assert kinds(run) == []


def test_unfinished_files_are_leftovers_unless_the_run_is_training(run: Run) -> None:
    (run.path / f"{files.TEMPORARY}run.json-0123").write_text("half")
    (run.path / "last" / "000099").mkdir()
    (run.path / "last" / "000099" / f"{files.TEMPORARY}model.safetensors-0123").write_text("half")
    found = look(run)
    assert [finding.kind for finding in found] == ["leftover"] * 3
    assert not any(finding.harmful for finding in found)
    with holder(run):
        assert kinds(run) == []


def test_abandoned_drafts_and_broken_links_are_leftovers(run: Run, tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys

    assert subprocess.run([sys.executable, "-c", KILLED], timeout=60, check=False).returncode == -signal.SIGKILL
    (places.runs() / "gone").symlink_to(tmp_path / "nowhere")
    found = look(run)
    assert [finding.kind for finding in found] == ["leftover", "leftover"]
    assert "gone" in found[1].problem
    assert "seqvae runs rm gone" in found[1].advice
    with files.claimed(places.runs(), "run") as draft:  # sweeps the draft of the killed process
        draft.mkdir()
        assert len(doctor.leftovers()) == 1


def test_a_file_that_cannot_be_read_is_unreadable(run: Run) -> None:
    (run.path / "run.json").unlink()
    (run.path / "run.json").mkdir()
    (finding,) = look(run)
    assert finding.kind == "unreadable"
    assert finding.harmful

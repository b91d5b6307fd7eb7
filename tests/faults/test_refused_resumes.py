"""Row 33: a resume that is refused, or that was read before another process went on, leaves the run as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from seqvae_cli.config import layers
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import NotFoundError, UsageError
from seqvae_cli.runs import checkpoint, registry, trash
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files, json_files, places, runtime
from tests.conftest import Seqvae
from tests.faults.matrix import assert_one_line, snapshot
from tests.trainings import fit, new_run

pytestmark = pytest.mark.row(33)


def set_setting(run: Run, key: str, value: str) -> None:
    """Changes a setting of a run, digest and all, as if it had been made on another machine."""
    settings = layers.load(run.path / "config.yaml")
    group = settings.runtime.model_copy(update={key: value})
    text = layers.dump(settings.model_copy(update={"runtime": group}))
    digest = files.write(run.path / "config.yaml", text.encode())
    run.update(files=run.info["files"] | {"config.yaml": digest})


def nothing(_run: Run, _patch: pytest.MonkeyPatch) -> None: ...


def without_bfloat16(run: Run, patch: pytest.MonkeyPatch) -> None:
    set_setting(run, "precision", "bfloat16")
    patch.setattr(runtime, "_supports_bfloat16", lambda: False)


def with_cuda(run: Run, _patch: pytest.MonkeyPatch) -> None:
    set_setting(run, "device", "cuda:7")


def without_corpus(run: Run, _patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(places.corpora() / run.info["corpus"]["folder"])


def with_another_corpus(run: Run, _patch: pytest.MonkeyPatch) -> None:
    run.update(corpus=run.info["corpus"] | {"hash": "f" * 64})


def with_damaged_sentences(run: Run, _patch: pytest.MonkeyPatch) -> None:
    path = places.corpora() / run.info["corpus"]["folder"] / "train.tokens.bin"
    path.write_bytes(bytes(path.stat().st_size))


def with_damaged(name: str) -> Callable[[Run, pytest.MonkeyPatch], None]:
    def damage(run: Run, _patch: pytest.MonkeyPatch) -> None:
        for path in checkpoint.generations(run.path / "last"):
            (path / name).write_bytes(b"{}")

    return damage


def with_an_optimizer_of_another_model(run: Run, _patch: pytest.MonkeyPatch) -> None:
    """Each file is what its digest says: only when all is loaded does it show."""
    for path in checkpoint.generations(run.path / "last"):
        shutil.copy(path / "model.safetensors", path / "training.safetensors")
        manifest = json_files.unseal(json_files.read(path / checkpoint.MANIFEST), path)
        manifest["files"]["training.safetensors"] = files.sha256(path / "training.safetensors")
        json_files.write(path / checkpoint.MANIFEST, manifest, sealed=True)


MORE = ("--epochs", "3")
REFUSED = {
    "fewer epochs": (nothing, ("--epochs", "1"), 2),
    "no epochs": (nothing, ("--epochs", "0"), 2),
    "another setting": (nothing, ("--lr", "0.1", *MORE), 2),
    "another precision": (nothing, ("--precision", "bfloat16", *MORE), 2),
    "no such precision": (nothing, ("--precision", "float16", *MORE), 2),
    "another device": (nothing, ("--device", "cuda:7", *MORE), 2),
    "no schedule to keep": (nothing, ("--keep-schedule",), 2),
    "no bfloat16 here": (without_bfloat16, MORE, 5),
    "no such device here": (with_cuda, MORE, 5),
    "no corpus": (without_corpus, MORE, 3),
    "another corpus": (with_another_corpus, MORE, 4),
    "damaged corpus": (with_damaged_sentences, MORE, 4),
    "damaged weights": (with_damaged("model.safetensors"), MORE, 4),
    "damaged state": (with_damaged("training.json"), MORE, 4),
    "another optimizer": (with_an_optimizer_of_another_model, MORE, 4),
}


@pytest.mark.parametrize("status", ["finished", "interrupted"])
@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_resume_changes_no_byte_of_the_run(
    case: str, status: str, trained_home: Path, seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm, arguments, code = REFUSED[case]
    run = registry.find("tiny-run")
    run.update(status=status)
    harm(run, monkeypatch)
    before = snapshot(trained_home / "runs")
    answer = seqvae("train", "--resume", "tiny-run" if status == "finished" else "auto", *arguments)
    assert answer.code == code, answer.err
    assert_one_line(answer.err)
    assert snapshot(trained_home / "runs") == before
    assert registry.find("tiny-run").status == status
    if status == "finished":
        with pytest.raises(NotFoundError, match="no run was interrupted"):
            registry.resumable()


def test_a_run_read_before_another_process_trained_it_is_read_again(tiny_corpus: Corpus) -> None:
    run = registry.find("tiny-run")
    stale = registry.find("tiny-run")
    fit(run, tiny_corpus, resume=True, epochs=4)
    events = fit(stale, tiny_corpus, resume=True)
    assert events[-1].reason == "complete", "the stale run would train on from epoch 2 of 2"
    assert registry.find("tiny-run").info == registry.find("tiny-run").info | run.info
    fit(stale, tiny_corpus, resume=True, epochs=5)
    info = registry.find("tiny-run").info
    best = min(registry.find("tiny-run").metrics()[1:], key=lambda line: line["neg_elbo"])
    assert (info["epoch"], info["epochs"], info["best_epoch"]) == (5, 5, best["epoch"])
    assert info["best_neg_elbo"] == best["neg_elbo"]


@pytest.mark.parametrize("act", [lambda run: run.tag(add=["late"]), lambda run: run.lock().__enter__()])
@pytest.mark.usefixtures("trained_home")
def test_a_run_removed_since_it_was_read_does_not_come_back_in_parts(act: Callable[[Run], object]) -> None:
    run = registry.find("tiny-run")
    trash.discard(run.path)
    with pytest.raises(NotFoundError, match="tiny-run"):
        act(run)
    assert not run.path.exists()


def test_a_resume_with_nothing_left_says_so_in_one_line_and_changes_nothing(trained_home: Path, seqvae: Seqvae) -> None:
    before = snapshot(trained_home / "runs")
    answer = seqvae("train", "--resume", "tiny-run")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "run tiny-run has all its 2 epochs; --epochs 12 trains on\n"
    assert snapshot(trained_home / "runs") == before
    registry.find("tiny-run").update(status="running")  # killed after its last checkpoint
    answer = seqvae("train", "--resume", "auto", "--json")
    assert json.loads(answer.out)["status"] == "finished"
    assert registry.find("tiny-run").info["status"] == "finished"


@pytest.mark.usefixtures("trained_home")
def test_a_run_in_bfloat16_goes_on_in_float32_when_told_so_and_stays_there(
    seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = registry.find("tiny-run")
    run.update(precision="bfloat16")
    without_bfloat16(run, monkeypatch)
    refused = seqvae("train", "--resume", "tiny-run", *MORE)
    assert (refused.code, refused.err.splitlines()[-1]) == (5, "hint: --precision float32")
    told = seqvae("train", "--resume", "tiny-run", *MORE, "--precision", "float32")
    assert told.code == 0
    assert "last trained in bfloat16, and goes on in float32" in told.err
    assert registry.find("tiny-run").info["precision"] == "float32"
    assert seqvae("train", "--resume", "tiny-run", "--epochs", "4").code == 0, "told once is enough"


def test_a_resume_takes_no_other_precision_than_float32(tiny_corpus: Corpus) -> None:
    run = registry.find("tiny-run")
    before = snapshot(run.path)
    with pytest.raises(UsageError, match="bfloat16"):
        fit(run, tiny_corpus, resume=True, epochs=5, precision="bfloat16")
    assert snapshot(run.path) == before


def test_an_interrupted_run_that_gets_no_more_epochs_is_finished(tiny_corpus: Corpus, seqvae: Seqvae) -> None:
    run = new_run(tiny_corpus, "short", train__epochs=5)
    end = fit(run, tiny_corpus, stop=lambda: len(registry.find("short").metrics()) == 2)[-1]
    assert (end.reason, end.epoch) == ("interrupted", 2)
    answer = seqvae("train", "--resume", "short", "--epochs", "2")
    assert answer.err.splitlines() == [
        "warning: 5 epochs were planned; the run now ends after 2",
        "run short has all its 2 epochs; --epochs 12 trains on",
    ]
    found = registry.find("short").info
    assert (found["status"], found["epochs"]) == ("finished", 2)


SCHEDULED = {
    "train__epochs": 2,
    "train__pretrain": 0,
    "objective__kl_schedule": "cyclical",
    "objective__kl_cycles": 1,
    "objective__kl_ratio": 1,
}


def test_more_epochs_say_what_jumps_and_the_schedules_can_be_kept(tiny_corpus: Corpus, seqvae: Seqvae) -> None:
    """One linear rise of the KL weight, one cosine of the learning rate (0.002), both over all epochs."""
    run = new_run(tiny_corpus, "moved", **SCHEDULED)
    fit(run, tiny_corpus)
    shutil.copytree(run.path, run.path.with_name("kept"))
    answer = seqvae("train", "--resume", "moved", "--epochs", "4")
    jump = "the schedules now take 4 epochs, not 2: learning rate 0 -> 0.001, KL weight 1 -> 0.5"
    lines = answer.err.splitlines()
    assert f"warning: {jump}" in lines
    assert "hint: --keep-schedule leaves them as they were" in lines
    assert lines.index(f"warning: {jump}") < next(i for i, line in enumerate(lines) if line.startswith("run moved: "))

    kept = seqvae("train", "--resume", "kept", "--epochs", "4", "--keep-schedule")
    assert "the schedules keep their 2 epochs; now learning rate 0 -> 0.0002" in kept.err.splitlines()
    assert seqvae("train", "--resume", "kept", "--epochs", "5").code == 0, "kept for later resumes, too"
    for line in registry.find("kept").metrics()[2:]:
        assert (line["learning_rate"], line["kl_weight"]) == pytest.approx((0.0002, 1.0))
    assert len(registry.find("kept").metrics()) == 5


def test_a_schedule_is_kept_after_it_was_stretched_and_at_a_second_interruption(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "late", **SCHEDULED)
    fit(run, tiny_corpus)
    fit(run, tiny_corpus, resume=True, epochs=6, stop=lambda: True)  # the user reads the warning, and stops
    fit(run, tiny_corpus, resume=True, keep_schedule=True, stop=lambda: True)
    fit(registry.find("late"), tiny_corpus, resume=True)
    whole = new_run(tiny_corpus, "whole", **SCHEDULED)
    fit(whole, tiny_corpus)
    fit(whole, tiny_corpus, resume=True, epochs=6, keep_schedule=True)
    for name in ("late", "whole"):
        assert [line["kl_weight"] for line in registry.find(name).metrics()[2:]] == [1.0] * 4
    kept = ("neg_elbo", "learning_rate", "train_neg_elbo")
    late, straight = (registry.find(name).metrics() for name in ("late", "whole"))
    assert [[line[key] for key in kept] for line in late] == [[line[key] for key in kept] for line in straight]

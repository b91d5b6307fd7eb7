"""Trainings that cannot go on: rows 22 (the loss is not finite) and 23 (the memory is used up)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.evaluation import metrics
from seqvae_cli.runs import checkpoint, registry
from seqvae_cli.training.loop import Trainer
from tests.conftest import SMALL, Seqvae
from tests.faults.matrix import assert_one_line, memory_limit, seqvae_process, snapshot, some, still_loads
from tests.preloaded import Preloaded
from tests.trainings import new_run, weights


def kept(name: str, step: int) -> None:
    """The run is marked as diverged, and its last checkpoint is that of `step`, of finite numbers."""
    run = registry.find(name)
    assert run.status == "diverged"
    assert checkpoint.step_of(checkpoint.newest(run.path / "last")) == step
    assert all(bool(tensor.isfinite().all()) for tensor in weights(run).values())
    still_loads(run)


@pytest.mark.row(22)
@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("step", [11, 17])
def test_a_loss_that_is_not_finite_ends_with_its_step_and_the_last_finite_checkpoint(
    tiny_corpus: Corpus, seqvae: Seqvae, step: int, number: float
) -> None:
    new_run(tiny_corpus, "bad", train__epochs=3)
    others = snapshot(registry.find("tiny-run").path)
    real = Trainer.step

    def poisoned(trainer: Any, rows: Any) -> Any:
        if trainer.state.step == step - 1:
            with torch.no_grad():
                next(trainer.learner.model.parameters()).fill_(number)
        return real(trainer, rows)

    seqvae.monkeypatch.setattr(Trainer, "step", poisoned)
    answer = seqvae("train", "--resume", "bad")
    assert answer.code == 6
    assert_one_line(answer.err, f"step {step}", "lower --lr")
    kept("bad", 10)
    assert snapshot(registry.find("tiny-run").path) == others


@pytest.mark.row(22)
def test_a_validation_that_is_not_finite_ends_likewise(tiny_corpus: Corpus, seqvae: Seqvae) -> None:
    new_run(tiny_corpus, "bad", train__epochs=3)
    real, calls = metrics.elbo, []

    def no_number(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        calls.append(1)
        return type(result)(**(vars(result) | {"distortion": math.nan})) if len(calls) > 1 else result

    seqvae.monkeypatch.setattr(metrics, "elbo", no_number)
    answer = seqvae("train", "--resume", "bad")
    assert answer.code == 6
    assert_one_line(answer.err, "step 20", "lower --lr")
    kept("bad", 10)


GIGABYTE = 1 << 30
HUNGRY = [
    (["train", *SMALL, "--name", "hungry", "--hidden-size", "20000"], "--hidden-size"),
    (["sample", "-n", "30000", "--batch-size", "30000", "--max-len", "10000"], "--batch-size"),
    (["train", *SMALL, "--name", "hungry", "--hidden-size", "5000"], "--hidden-size"),
]
"""For the weights, for the sentences, for the gradients there is no room."""


@pytest.fixture
def loaded(forked: Preloaded) -> int:
    """Bytes of address space of a process that has loaded what it needs: a CUDA build of PyTorch takes gigabytes."""
    status = Path(f"/proc/{forked.pid}/status")
    if not status.exists():
        pytest.skip("needs /proc to see the memory of a process")
    return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmPeak"))) << 10


@pytest.mark.row(23)
def test_too_little_memory_to_begin_with_is_told(trained_home: Path, loaded: int) -> None:
    before = snapshot(trained_home)
    result = seqvae_process("sample", "-n", "1", preexec_fn=memory_limit(loaded // 2))
    assert result.returncode == 5, result.stderr
    assert_one_line(result.stderr, "memory")
    assert snapshot(trained_home) == before


@pytest.mark.row(23)
@pytest.mark.parametrize(("arguments", "lower"), some(HUNGRY, 1), ids=lambda value: value[0] if len(value) > 9 else "")
def test_out_of_memory_says_what_to_lower(trained_home: Path, loaded: int, arguments: list[str], lower: str) -> None:
    before = snapshot(trained_home)
    result = seqvae_process(*arguments, preexec_fn=memory_limit(loaded + GIGABYTE))
    assert result.returncode == 5, result.stderr
    assert_one_line(result.stderr, "out of memory", lower)
    if arguments[0] == "train":
        assert registry.find("hungry").status == "failed"
    assert {name: data for name, data in snapshot(trained_home).items() if "hungry" not in name} == before
    still_loads(registry.find("tiny-run"))

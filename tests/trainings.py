"""Runs for tests: made, trained and compared bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from seqvae_cli.config import layers
from seqvae_cli.config.schema import Settings
from seqvae_cli.data import corpus
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.runs import checkpoint
from seqvae_cli.runs.run import Run
from seqvae_cli.training import session
from seqvae_cli.training.learner import Learner
from tests.conftest import TINY

TIMES = {"tokens_per_second"}
"""Fields of a metrics line that no two runs share."""


def new_run(corpus: Corpus, name: str, **overrides: object) -> Run:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return session.start(layers.resolve(overrides=TINY | dotted), corpus, name=name)


def long_run(corpus: Corpus, name: str) -> Run:
    """Seconds of steps, with a checkpoint every 50 milliseconds beside those of epochs: faults hit saves too."""
    return new_run(corpus, name, train__epochs=16, train__batch_size=4, train__save_every=0.0008)


def undisturbed(tiny_home: Path, folder: Path) -> Run:
    """`long_run` from its begin to its end, in a copy of `tiny_home` in `folder`."""
    shutil.copytree(tiny_home, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQVAE_HOME", str(folder))
        tiny = corpus.find("tiny")
        run = long_run(tiny, "quiet")
        fit(run, tiny)
    return run


def fit(run: Run, corpus: Corpus, **options: Any) -> list[Any]:
    return list(session.fit(run, corpus, **options))


def weights(run: Run, folder: str = "last") -> dict[str, torch.Tensor]:
    return checkpoint.read_tensors(checkpoint.newest(run.path / folder) / "model.safetensors")


def figures(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if key not in TIMES} for line in run.metrics()]


def assert_same_run(one: Run, other: Run) -> None:
    for folder in ("last", "best"):
        first, second = weights(one, folder), weights(other, folder)
        assert first.keys() == second.keys()
        for name in first:
            assert torch.equal(first[name], second[name]), f"{other.name}, {folder}: {name}"
    assert figures(one) == figures(other), other.name
    assert len(figures(one)) > 0


def small_learner(corpus: Corpus, objective: Mapping[str, object] | None = None, **train: object) -> Learner:
    sizes = {"hidden_size": 16, "embed_size": 12, "latent_size": 4}
    settings = Settings.model_validate({"model": sizes, "objective": objective or {}, "train": train})
    return Learner(settings, len(corpus.tokenizer), torch.device("cpu"), torch.float32)


def copied(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], model: torch.nn.Module) -> set[str]:
    """The weights that differ from those of `before`, by name."""
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}

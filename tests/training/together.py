"""What the processes of `test_distributed` do: they train without dropout and with given noise, and note the losses."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.config import layers, presets
from seqvae_cli.data import corpus as corpora
from seqvae_cli.data.batching import AnyBatch, Batch
from seqvae_cli.model import SentenceVAE, Terms
from seqvae_cli.runs import registry
from seqvae_cli.system.processes import Processes, joined
from seqvae_cli.training import aggressive, session
from seqvae_cli.training.learner import Learner
from seqvae_cli.training.objective import Loss
from tests.conftest import TINY, normal_noise
from tests.faults.matrix import FULL
from tests.trainings import figures

NO_NOISE = {"model.dropout": 0.0, "model.weight_drop": 0.0, "model.word_dropout": 0.0}
PRESETS = ["default", "lagging", "mdr"]
"""Those whose losses, or steps, bend at the mean of a batch in a way of their own; the others under `make faults`."""
if FULL:
    PRESETS = [name for name in presets.names() if layers.resolve(name).model.word_dropout < 1]

PLATEAU = {"train.lr_schedule": "plateau", "train.patience": 1, "train.epochs": 4, "train.lr": 0.03}
CASES: dict[str, dict[str, Any]] = {name: {"preset": name} for name in PRESETS} | {
    "few rows": {"train.batch_tokens": 60, "train.unknown": 0.5},
    "plateau": PLATEAU
    | {"train.batch_size": 40, "train.pretrain": 0, "objective.target_rate": 500.0, "objective.kl_schedule": "none"},
}
"""Presets; batches with fewer sentences than processes, and unknown words; a rate that spoils the bound, so that the
best weights are loaded again."""


def settings(preset: str = "default", **changes: Any) -> Any:
    overrides = (
        TINY
        | NO_NOISE
        | {"model.shortlist": 8, "model.components": 3, "train.batch_size": 7, "train.epochs": 1}
        | changes
    )
    if preset == "lm":
        del overrides["model.latent_size"]
    return layers.resolve(preset, overrides=overrides)


@contextmanager
def noted() -> Iterator[list[list[float]]]:
    """The total, distortion and rate of every step, and noise that only the sentence decides."""
    found: list[list[float]] = []
    forward: Callable[..., Terms] = SentenceVAE.forward
    step: Callable[..., Loss] = Learner.step

    def given(self: SentenceVAE, batch: AnyBatch) -> Terms:
        assert isinstance(batch, Batch)
        sentences = [ids[:length] for ids, length in zip(batch.ids, batch.lengths, strict=True)]
        return forward(self, batch, normal_noise(0, sentences, (self.settings.latent_size,)))

    def note(self: Learner, *arguments: Any, **options: Any) -> Loss:
        loss = step(self, *arguments, **options)
        found.append([float(loss.total), float(loss.distortion), float(loss.rate)])
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SentenceVAE, "forward", given)
        patch.setattr(Learner, "step", note)
        patch.setattr(aggressive, "MAX_ENCODER_STEPS", 5)
        patch.setattr(aggressive, "STEPS_PER_COMPARISON", 2)
        yield found


def trained(processes: Processes) -> dict[str, Any]:
    """The losses of each case, and the figures of its epochs, in the first process."""
    results = {}
    for name, changes in CASES.items():
        with noted() as losses:
            if processes.first:
                tiny = corpora.find("tiny")
                run = session.start(settings(**changes), tiny)
                for _ in session.fit(run, tiny, processes=processes):
                    pass
                results[name] = {"losses": losses, "figures": figures(run)}
            else:
                session.follow(processes)
    return results


def stopped(processes: Processes) -> None:
    """A training with dropout, and the same stopped in one process in its first epoch, then resumed."""
    for name, after in (("quiet", 1000), ("stopped", 5), ("stopped", 1000)):
        asked = itertools.count()
        # Only the last process is asked to stop.
        stop = lambda: processes.rank == processes.size - 1 and next(asked) >= after  # noqa: B023, E731
        if not processes.first:
            session.follow(processes, stop)
            continue
        tiny = corpora.find("tiny")
        noisy = settings(**{"model.dropout": 0.5, "train.unknown": 0.5})
        resume = name in registry.names()
        run = registry.find(name) if resume else session.start(noisy, tiny, name=name)
        events = list(session.fit(run, tiny, resume=resume, stop=stop, processes=processes))
        assert events[-1].reason == ("interrupted" if after < 1000 else "finished")


def steps(answer: str) -> None:
    """In one of the processes; the first writes the results to the file `answer`."""
    with joined() as processes:
        results = trained(processes)
        stopped(processes)
    if processes.first:
        Path(answer).write_text(json.dumps(results))

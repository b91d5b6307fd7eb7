"""Trials are runs: chosen by Optuna, pruned, resumed, shared by processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import optuna
import pytest

from seqvae_cli.config import layers
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UsageError
from seqvae_cli.runs import registry
from seqvae_cli.sweeps.plan import Choices, Plan, Range
from seqvae_cli.sweeps.trials import Sweep, TrialEndEvent, TrialEvent
from seqvae_cli.training.events import EvalEvent
from tests.conftest import TINY

PLAN = Plan(
    name="small",
    preset="default",
    data="",
    settings=TINY | {"train.pretrain": 0, "objective.kl_schedule": "none"},
    space={"train.lr": Range(0.001, 0.1, log=True), "model.latent_size": Choices((2, 3))},
    trials=3,
    prune=False,
    seed=0,
)
"""Two epochs a trial."""


def trained(plan: Plan = PLAN) -> Sweep:
    sweep = Sweep(plan)
    for _ in sweep.train():
        pass
    return sweep


@pytest.mark.usefixtures("tiny_corpus")
def test_each_trial_is_a_run_with_the_settings_that_were_drawn() -> None:
    sweep = trained()
    trials = sweep.trials()
    assert [(one.run, one.state) for one in trials] == [(f"small-{number}", "finished") for number in range(3)]
    for one in trials:
        run = registry.find(str(one.run))
        settings = layers.load(run.path / "config.yaml")
        assert (settings.train.lr, settings.model.latent_size) == (
            one.settings["train.lr"],
            one.settings["model.latent_size"],
        )
        assert 0.001 <= settings.train.lr <= 0.1
        assert run.tags() == ["small"]
        assert one.neg_elbo == run.info["best_neg_elbo"]
    best = sweep.best()
    assert best is not None
    assert best.neg_elbo == min(one.neg_elbo for one in trials if one.neg_elbo is not None)
    assert len({one.settings["train.lr"] for one in trials}) == 3


@pytest.mark.usefixtures("tiny_corpus")
def test_a_sweep_goes_on_with_more_trials_and_never_with_another_plan() -> None:
    first = trained(replace(PLAN, trials=1)).trials()
    second = trained(replace(PLAN, trials=2)).trials()
    assert second[:1] == first
    assert len(second) == 2
    assert trained(replace(PLAN, trials=2)).trials() == second, "nothing is left"
    with pytest.raises(UsageError, match="other settings"):
        Sweep(replace(PLAN, space={"train.lr": Range(0.001, 0.2)}))


@pytest.mark.usefixtures("tiny_corpus")
def test_a_trial_that_was_stopped_goes_on_in_its_run() -> None:
    sweep, stop, epochs = Sweep(PLAN), threading.Event(), 0
    for event in sweep.train(stop.is_set):
        epochs += isinstance(event, EvalEvent)
        if epochs == 3:  # in the second trial, after its first epoch
            stop.set()
    before = sweep.trials()
    assert [one.state for one in before] == ["finished", "running"]
    assert registry.find("small-1").status == "interrupted"
    again = Sweep(PLAN)
    begun = [event for event in again.train() if isinstance(event, TrialEvent)]
    assert [(event.trial.run, event.resumed) for event in begun] == [("small-1", True), ("small-3", False)]
    assert [one.run for one in again.trials()] == ["small-0", "small-1", "small-3"]
    assert begun[0].trial.settings == before[1].settings
    assert len(registry.find("small-1").metrics()) == 2


@pytest.mark.usefixtures("tiny_corpus")
def test_a_trial_whose_run_was_removed_has_failed_and_the_others_go_on() -> None:
    sweep, stop, epochs = Sweep(replace(PLAN, trials=2)), threading.Event(), 0
    for event in sweep.train(stop.is_set):
        epochs += isinstance(event, EvalEvent)
        if epochs == 1:
            stop.set()
    registry.find("small-0").path.rename(registry.find("small-0").path.with_name("small-0b"))
    again = Sweep(replace(PLAN, trials=2))
    for _ in again.train():
        pass
    assert [(one.run, one.state) for one in again.trials()] == [("small-0", "failed"), ("small-2", "finished")]
    assert again.trials()[0].reason == "its run small-0 is gone"
    assert registry.find("small-0b").status == "interrupted", "a run whose name begins alike is another one"


@pytest.mark.usefixtures("tiny_corpus")
def test_processes_share_the_trials() -> None:
    one, other = Sweep(PLAN), Sweep(PLAN)
    streams: list[Iterator[Any]] = [one.train(), other.train()]
    first, second = (next(stream) for stream in streams)
    assert (first.trial.run, second.trial.run) == ("small-0", "small-1")
    assert first.trial.settings != second.trial.settings
    for _ in streams[1]:  # takes the third trial as well, and leaves the first to the process that has it
        pass
    assert [trial.state for trial in other.trials()] == ["running", "finished", "finished"]
    for _ in streams[0]:
        pass
    assert [trial.state for trial in one.trials()] == ["finished"] * 3


@pytest.mark.usefixtures("tiny_corpus")
def test_a_trial_that_falls_behind_ends_as_a_run_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = []

    def prune(_: Any, __: Any, trial: Any) -> bool:
        reported.append(dict(trial.intermediate_values))
        return trial.number == 1

    monkeypatch.setattr(optuna.pruners.MedianPruner, "prune", prune)
    sweep = trained(replace(PLAN, prune=True))
    assert [one.state for one in sweep.trials()] == ["finished", "pruned", "finished"]
    run = registry.find("small-1")
    assert (run.status, run.tags()) == ("finished", ["pruned", "small"])
    (line,) = run.metrics()
    assert sweep.trials()[1].neg_elbo == line["neg_elbo"]
    assert reported[2] == {1: line["neg_elbo"]}


@pytest.mark.usefixtures("tiny_corpus")
def test_epochs_before_the_full_kl_weight_are_not_compared() -> None:
    plan = replace(PLAN, trials=1, prune=True, settings={**PLAN.settings, "train.pretrain": 1, "train.epochs": 2})
    sweep = trained(plan)
    (trial,) = sweep.study.get_trials()
    assert list(trial.intermediate_values) == [2]


@pytest.mark.usefixtures("tiny_corpus")
def test_settings_that_contradict_each_other_fail_a_trial_and_not_the_sweep() -> None:
    plan = replace(
        PLAN, trials=2, settings={**PLAN.settings, "model.prior": "mixture"}, space={"model.latent_size": Choices((0,))}
    )
    ended = [event for event in Sweep(plan).train() if isinstance(event, TrialEndEvent)]
    assert [event.trial.state for event in ended] == ["failed", "failed"]
    assert all("mixture" in event.trial.reason for event in ended)
    assert registry.names() == ["tiny-run"]


def test_without_optuna_the_extra_is_named(tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from seqvae_cli.errors import MachineError

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MachineError) as caught:
        Sweep(replace(PLAN, data=tiny_corpus.name))
    assert caught.value.hint == 'pip install "seqvae[sweep]"'

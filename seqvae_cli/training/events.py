"""The events that a training yields. Losses are nats a sentence; speeds are tokens a second, `<eos>` counted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from seqvae_cli.config.schema import Settings


@dataclass(frozen=True)
class StartEvent:
    """Before the first step: the run, its corpus, its setup and its phases."""

    run: str
    corpus: str
    parameters: int
    device: str
    precision: str
    threads: int
    epochs: int
    pretrain: float
    """Epochs as an autoencoder, before all others; as shortened for a short training."""
    annealing: float
    """Epochs after pretraining until the KL weight, or the target rate, is full; likewise."""
    steps_per_epoch: int
    step: int
    """Steps already done: 0, unless the run was resumed."""
    sentences: int
    """Of the training split."""
    valid_sentences: int
    """Of the validation split: they cap its mutual information."""
    initial: bool
    """Whether it begins with the weights of another run."""
    settings: Settings
    """Those of the run, phases shortened."""
    processes: int = 1
    """That train together, with so many threads each."""
    no_graphs: str = ""
    """Why training steps are no CUDA graphs; empty where they are."""


@dataclass(frozen=True)
class StepEvent:
    """Every few steps: means over the steps since the last one."""

    epoch: int
    step: int
    steps: int
    """Steps in all epochs together."""
    phase: str
    """The phase of the training: see `schedule.phase`."""
    kl_weight: float
    learning_rate: float
    distortion: float
    rate: float
    neg_elbo: float
    tokens_per_second: float

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> StepEvent:
        """The event of the values in `step.json`; NaN, 0 and the like where one is missing or has no number."""
        return cls(**_checked(cls, values))


@dataclass(frozen=True)
class EvalEvent:
    """After every epoch: training means over the epoch, and the validation split at KL weight 1."""

    epoch: int
    step: int
    phase: str
    """The phase at the end of the epoch; `autoencoder` where that ends with it."""
    kl_weight: float
    learning_rate: float
    tokens_per_second: float
    train_distortion: float
    train_rate: float
    train_neg_elbo: float
    distortion: float
    rate: float
    neg_elbo: float
    elbo_ppl: float
    mutual_information: float
    active_units: int
    rate_by_dimension: tuple[float, ...]
    """The rate of each group of the KL: one for each latent dimension, or one in all."""
    best: bool
    """The lowest validation -ELBO of the run so far."""

    @classmethod
    def of_line(cls, line: Mapping[str, Any]) -> EvalEvent:
        """The event of a line of `metrics.jsonl`; NaN, 0 and the like where it lacks a figure or has no number."""
        return cls(**_checked(cls, line))


def _checked(event: type[StepEvent | EvalEvent], found: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each field of an event, from JSON that may lack some or have others."""
    values: dict[str, Any] = {field.name: found.get(field.name) for field in fields(event)}
    for name, value in values.items():
        match name:
            case "phase":
                values[name] = value if isinstance(value, str) else ""
            case "best":
                values[name] = value is True
            case "epoch" | "step" | "steps" | "active_units":
                values[name] = value if type(value) is int and 0 <= value < 2**53 else 0
            case "rate_by_dimension":
                values[name] = tuple(map(_number, value)) if isinstance(value, list) else ()
            case "elbo_ppl" if value is None:
                values[name] = math.inf  # which JSON lacks
            case _:
                values[name] = _number(value)
    return values


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


@dataclass(frozen=True)
class PlateauEvent:
    """The learning rate was lowered and the best weights were reloaded."""

    epoch: int
    learning_rate: float
    best_epoch: int


@dataclass(frozen=True)
class CollapseEvent:
    """Posterior collapse: the rate or the mutual information is close to 0. Sent once a run."""

    epoch: int
    rate: float
    mutual_information: float
    settings: Settings
    """Those of the run, phases shortened: what may help is what they lack."""


@dataclass(frozen=True)
class SavedEvent:
    """A checkpoint is on disk, at the end of an epoch or within one: no resume repeats the steps until here."""

    epoch: int
    step: int


@dataclass(frozen=True)
class WarningEvent:
    """Something the user should know; training goes on."""

    message: str


@dataclass(frozen=True)
class ScheduleEvent:
    """A resumed run has another number of epochs, which moves its schedules: what jumps, before the first step."""

    before: int
    """Epochs of the schedules until now."""
    now: int
    """Epochs of the schedules from now on."""
    epochs: int
    """Epochs in all; more than `now` where the run keeps its schedules."""
    changes: tuple[tuple[str, float, float], ...]
    """Name, value until now and value from now on of the learning rate, KL weight, target rate and free nats."""


@dataclass(frozen=True)
class EndEvent:
    """The last event, and the only one of a run with nothing left to train (`reason` complete).

    Other reasons: finished (all epochs), stopped (early, or at the plateau after `max_decays` others), interrupted.
    """

    reason: str
    epoch: int
    step: int
    best_epoch: int
    best_neg_elbo: float
    seconds: float


Event = (
    StartEvent
    | StepEvent
    | EvalEvent
    | PlateauEvent
    | CollapseEvent
    | SavedEvent
    | WarningEvent
    | ScheduleEvent
    | EndEvent
)

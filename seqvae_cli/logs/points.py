"""Events of a training as the points of a log: name -> value at a step, in the names of `metrics.jsonl`."""

from __future__ import annotations

import math

from seqvae_cli.config import options
from seqvae_cli.config.schema import Settings
from seqvae_cli.logs.logger import Value
from seqvae_cli.training.events import EndEvent, EvalEvent, StepEvent

VALIDATION = ("neg_elbo", "distortion", "rate", "elbo_ppl", "mutual_information", "active_units")
TRAIN = ("neg_elbo", "distortion", "rate")
SCHEDULE = ("kl_weight", "learning_rate", "tokens_per_second")


def points(event: StepEvent | EvalEvent) -> dict[str, float]:
    """The figures of a step, an epoch's training, its validation, and the rate of each dimension; finite ones alone."""
    if isinstance(event, StepEvent):
        return _finite({f"step/{name}": getattr(event, name) for name in (*TRAIN, *SCHEDULE)})
    values = {f"validation/{name}": getattr(event, name) for name in VALIDATION}
    values |= {f"train/{name}": getattr(event, f"train_{name}") for name in TRAIN}
    values |= {f"epoch/{name}": getattr(event, name) for name in ("epoch", *SCHEDULE)}
    rates = event.rate_by_dimension
    if len(rates) > 1:
        width = len(str(len(rates)))
        values |= {f"rate_by_dimension/{i:0{width}}": rate for i, rate in enumerate(rates, 1)}
    return _finite(values)


def result(event: EndEvent) -> dict[str, float]:
    """What came out of the settings: the lowest validation -ELBO (nats a sentence), its epoch, and the seconds."""
    values = {"best_neg_elbo": event.best_neg_elbo, "best_epoch": event.best_epoch, "seconds": event.seconds}
    return _finite({f"result/{name}": value for name, value in values.items()})


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def flat(settings: Settings) -> dict[str, Value]:
    """Settings by dotted name; what is neither a number, a text nor a truth value as text."""
    return {
        key: value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in options.values(settings).items()
    }

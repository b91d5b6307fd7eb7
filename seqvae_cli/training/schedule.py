"""All that depends on time: phases, KL schedules, learning-rate schedules, and plateaus.

Time is counted in epochs, fractions included. Pretraining ends at epoch 0 of the `Clock`; then the KL weight rises
(annealing) until it is full. A new schedule is a function here and an entry in `KL_SCHEDULES` or `LEARNING_RATES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from seqvae_cli.config.schema import ObjectiveSettings, Settings, TrainSettings
from seqvae_cli.training.state import TrainingState

MAX_PHASES_SHARE = 0.5
"""Largest share of a training that pretraining and annealing may take together."""


@dataclass(frozen=True)
class Clock:
    """A moment of a training, in epochs; pretraining lies before 0."""

    epoch: float
    """Epochs since pretraining ended."""
    epochs: float
    """Epochs after pretraining, in all; of the schedules, where the training keeps theirs."""
    kept: bool = False
    """The training is longer than its schedules, which hold their last value."""

    @classmethod
    def at(cls, train: TrainSettings, done: float, schedule_epochs: int | None = None) -> Clock:
        """The moment after `done` epochs, those of pretraining included, in schedules of so many (None: all)."""
        length = schedule_epochs or train.epochs
        return cls(done - train.pretrain, length - train.pretrain, kept=train.epochs > length)

    @property
    def pretraining(self) -> bool:
        return self.epoch < 0


# --- KL schedules


@dataclass(frozen=True)
class KLSchedule:
    """How the KL weight rises to its full value after pretraining."""

    weight: Callable[[ObjectiveSettings, Clock], float]
    """The share of the full weight at a moment, 0 to 1."""
    annealing: Callable[[ObjectiveSettings], float]
    """Epochs until the weight is full, where the settings count epochs; 0 where they count shares of the training."""
    rises: Callable[[ObjectiveSettings, float], list[tuple[float, float]]]
    """Begin and end of each rise in epochs, given the epochs after pretraining."""
    full_from: Callable[[ObjectiveSettings, float], float]
    """The epoch from which on the weight stays full, given the epochs after pretraining."""


def linear(settings: ObjectiveSettings, clock: Clock) -> float:
    """0 for `kl_hold` epochs, then from 0 to 1 over `kl_warmup` epochs."""
    return min(1.0, max(0.0, clock.epoch - settings.kl_hold) / settings.kl_warmup)


def logistic(settings: ObjectiveSettings, clock: Clock) -> float:
    """A sigmoid (Bowman et al. 2015, section 3.1): 0.01 after `kl_hold` epochs, 0.99 after `kl_warmup` more."""
    position = (clock.epoch - settings.kl_hold) / settings.kl_warmup
    return 1 / (1 + math.exp(max(-500.0, min(500.0, 2 * math.log(99) * (0.5 - position)))))


def cyclical(settings: ObjectiveSettings, clock: Clock) -> float:
    """Fu et al. 2019, equation 6: each cycle rises from 0 to 1 over its first `kl_ratio`, then stays at 1."""
    if clock.epoch >= clock.epochs:
        return 1.0
    position = (clock.epoch * settings.kl_cycles / clock.epochs) % 1.0
    return min(1.0, position / settings.kl_ratio)


def hold_and_warmup(settings: ObjectiveSettings, _: float = 0.0) -> float:
    """The epoch at which `linear` and `logistic` have risen."""
    return settings.kl_hold + settings.kl_warmup


def last_rise(settings: ObjectiveSettings, epochs: float) -> float:
    """The epoch at which the last cycle of `cyclical` has risen."""
    return epochs * (1 - (1 - settings.kl_ratio) / settings.kl_cycles)


def one_rise(settings: ObjectiveSettings, _: float) -> list[tuple[float, float]]:
    """The rise of `linear` and `logistic`, with the epochs before it at 0."""
    return [(0.0, hold_and_warmup(settings))]


def rises_of_cycles(settings: ObjectiveSettings, epochs: float) -> list[tuple[float, float]]:
    """The rise at the beginning of each cycle of `cyclical`."""
    length = epochs / settings.kl_cycles
    return [(cycle * length, (cycle + settings.kl_ratio) * length) for cycle in range(settings.kl_cycles)]


KL_SCHEDULES: dict[str, KLSchedule] = {
    "none": KLSchedule(lambda *_: 1.0, lambda _: 0.0, lambda *_: [], lambda *_: 0.0),
    "linear": KLSchedule(linear, hold_and_warmup, one_rise, hold_and_warmup),
    "logistic": KLSchedule(logistic, hold_and_warmup, one_rise, hold_and_warmup),
    "cyclical": KLSchedule(cyclical, lambda _: 0.0, rises_of_cycles, last_rise),
}


def kl_share(settings: ObjectiveSettings, clock: Clock) -> float:
    """The share of the full KL weight, or of the target rate, at a moment: 0 to 1, and 0 in pretraining."""
    if clock.pretraining:
        return 0.0
    return KL_SCHEDULES[settings.kl_schedule].weight(settings, clock)


def free_share(settings: ObjectiveSettings, clock: Clock) -> float:
    """The share of the free bits that is left at a moment."""
    left, fall = max(0.0, clock.epochs - clock.epoch), clock.epochs * (1 - settings.free_bits_fade)
    return left / fall if left < fall else 1.0


def annealing_epochs(settings: ObjectiveSettings) -> float:
    """Epochs of annealing after those of pretraining; 0 for a schedule in shares of the training."""
    return KL_SCHEDULES[settings.kl_schedule].annealing(settings)


def is_annealed(settings: ObjectiveSettings, clock: Clock) -> bool:
    """Whether the KL weight is full from this moment on, so that the loss falls by learning alone."""
    full_from = KL_SCHEDULES[settings.kl_schedule].full_from(settings, clock.epochs)
    return not clock.pretraining and clock.epoch >= full_from


# --- phases

AUTOENCODER, ANNEALING = "autoencoder", "annealing"
"""The phases whose bounds are not to be compared with those of later epochs."""


def phase(settings: ObjectiveSettings, clock: Clock) -> str:
    """`AUTOENCODER` without the KL, `ANNEALING` until its weight is full; after that none: an empty text."""
    if clock.pretraining:
        return AUTOENCODER
    return "" if is_annealed(settings, clock) else ANNEALING


def shortened_phases(settings: Settings) -> Settings:
    """`settings` with pretraining and annealing short enough for the number of epochs.

    Where both together would take more than `MAX_PHASES_SHARE` of the epochs, they are scaled down by the same factor.
    A language model (latent size 0) has no KL: it gets neither.
    """
    train, objective = settings.train, settings.objective
    pretrain = train.pretrain
    if not settings.model.latent_size:
        pretrain, objective = 0.0, objective.model_copy(update={"kl_schedule": "none"})
    scale = min(1.0, MAX_PHASES_SHARE * train.epochs / max(pretrain + annealing_epochs(objective), 1e-9))
    train = train.model_copy(update={"pretrain": scale * pretrain})
    phases = {"kl_hold": scale * objective.kl_hold, "kl_warmup": scale * objective.kl_warmup}
    return settings.model_copy(update={"train": train, "objective": objective.model_copy(update=phases)})


def phases(settings: Settings, epochs: float) -> list[tuple[str, float, float]]:
    """Pretraining and each rise of the KL weight: name, begin and end in epochs from the beginning of the training.

    `settings` are those that the run was started with, `epochs` those it has been given since.
    """
    settings = shortened_phases(settings)
    objective, start = settings.objective, settings.train.pretrain
    found = [("pretraining", 0.0, start)] if start else []
    rises = KL_SCHEDULES[objective.kl_schedule].rises(objective, epochs - start)
    return found + [("annealing", start + begin, start + end) for begin, end in rises]


# --- learning-rate schedules

KEPT_LEARNING_RATE = 0.1
"""Share of the learning rate that a kept cosine does not fall below: at 0 the added epochs would train nothing.

References: Hoffmann et al. 2022, section 3.1 (cosines that fall to a tenth).
"""


@dataclass(frozen=True)
class LearningRate:
    """How the learning rate falls."""

    factor: Callable[[TrainSettings, Clock], float]
    """The factor of the learning rate at a moment, 0 to 1."""
    decays_on_plateaus: bool
    """The learning rate is lowered by `lr_decay` when the validation -ELBO stops improving."""


def cosine(settings: TrainSettings, clock: Clock) -> float:
    """`lr_cycles` cosines from 1 to 0 over the epochs after pretraining (Loshchilov & Hutter 2017, equation 5).

    Where training goes on after them, they fall to `KEPT_LEARNING_RATE` alone.
    """
    if clock.epoch <= 0:
        return 1.0
    # The last moment ends a cycle; it does not start another.
    position = 1.0 if clock.epoch >= clock.epochs else (settings.lr_cycles * clock.epoch / clock.epochs) % 1.0
    factor = 0.5 * (1 + math.cos(math.pi * position))
    return max(KEPT_LEARNING_RATE, factor) if clock.kept else factor


LEARNING_RATES: dict[str, LearningRate] = {
    "plateau": LearningRate(lambda *_: 1.0, decays_on_plateaus=True),
    "cosine": LearningRate(cosine, decays_on_plateaus=False),
}


def learning_rate_factor(settings: TrainSettings, clock: Clock) -> float:
    """The factor of the learning rate at a moment: 0 to 1."""
    return LEARNING_RATES[settings.lr_schedule].factor(settings, clock)


# --- plateaus


def count_epoch(settings: TrainSettings, state: TrainingState, *, improved: bool, annealed: bool) -> bool:
    """Counts an epoch after its validation. Lowers the learning rate at a plateau; returns whether it did.

    `improved`: the validation -ELBO is the best so far. Other epochs count only once the KL weight is full
    (`annealed`): until then training lowers another loss than the -ELBO. Sets `state.done` at an early stop, and at the
    plateau after `max_decays` others.
    """
    if improved:
        state.stale = state.unimproved = 0
    elif annealed:
        state.stale += 1
        state.unimproved += 1
    if settings.early_stop and state.unimproved >= settings.early_stop:
        state.done = True
        return False
    on_plateaus = LEARNING_RATES[settings.lr_schedule].decays_on_plateaus
    if not (on_plateaus and settings.patience and state.stale >= settings.patience):
        return False
    state.stale = 0
    state.decays += 1
    state.done = state.decays > settings.max_decays
    if state.done:
        return False
    state.learning_rate *= settings.lr_decay
    return True


def continue_after_stop(settings: TrainSettings, state: TrainingState) -> None:
    """Lets a training that stopped before its last epoch go on: with new patience, but no more decays."""
    state.done, state.stale, state.unimproved = False, 0, 0
    state.decays = min(state.decays, settings.max_decays)

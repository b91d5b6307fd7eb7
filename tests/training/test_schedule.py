"""KL schedules, learning rates, phases and plateaus as functions of time."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest

from seqvae_cli.config import layers
from seqvae_cli.config.schema import ObjectiveSettings, Settings, TrainSettings
from seqvae_cli.training import schedule
from seqvae_cli.training.schedule import KL_SCHEDULES, LEARNING_RATES, Clock
from seqvae_cli.training.state import TrainingState

EPOCHS = 40.0


def objective(**settings: Any) -> ObjectiveSettings:
    return ObjectiveSettings(**{"kl_hold": 0.0, **settings})


def shares(times: list[float], **settings: Any) -> list[float]:
    return [schedule.kl_share(objective(**settings), Clock(time, EPOCHS)) for time in times]


def test_every_schedule_of_the_settings_is_in_its_table() -> None:
    assert list(KL_SCHEDULES) == list(get_args(ObjectiveSettings.model_fields["kl_schedule"].annotation))
    assert list(LEARNING_RATES) == list(get_args(TrainSettings.model_fields["lr_schedule"].annotation))


def test_the_clock_starts_where_pretraining_ends() -> None:
    train = TrainSettings(epochs=10, pretrain=2.5)
    assert Clock.at(train, 0) == Clock(-2.5, 7.5)
    assert Clock.at(train, 10) == Clock(7.5, 7.5)
    assert [Clock.at(train, done).pretraining for done in (0, 2.25, 2.5, 10)] == [True, True, False, False]


def test_free_bits_fall_from_their_share_of_the_epochs_to_nothing_at_the_end() -> None:
    def left(*times: float, fade: float, epochs: float = EPOCHS) -> list[float]:
        return [schedule.free_share(objective(free_bits_fade=fade), Clock(time, epochs)) for time in times]

    assert left(-3, 0, 10, 20, 30, 40, 41, fade=0.5) == [1, 1, 1, 1, 0.5, 0, 0]
    assert left(0, 10, 40, fade=0) == [1, 0.75, 0]
    assert left(0, 39, 40, 99, fade=1) == [1, 1, 1, 1]
    assert left(-1, 0, 5, fade=0.5, epochs=0) == [1, 1, 1]  # nothing comes after pretraining


# --- KL schedules


def test_without_a_schedule_the_weight_is_full_at_once() -> None:
    assert shares([0, 1, 40], kl_schedule="none", kl_hold=9) == [1, 1, 1]


def test_linear_is_held_then_rises_to_one() -> None:
    assert shares([0, 1, 2, 4, 5, 99], kl_schedule="linear", kl_warmup=4) == [0, 0.25, 0.5, 1, 1, 1]
    held = shares([0, 3, 3.5, 4, 5, 9], kl_schedule="linear", kl_hold=3, kl_warmup=2)
    assert held == [0, 0, 0.25, 0.5, 1, 1]


def test_logistic_is_a_hundredth_at_the_start_and_ninety_nine_at_the_end() -> None:
    rising = shares([0, 2.5, 5, 7.5, 10, 40], kl_schedule="logistic", kl_warmup=10)
    assert rising[:5] == pytest.approx([0.01, 1 / (1 + 99**0.5), 0.5, 1 - 1 / (1 + 99**0.5), 0.99])
    assert rising[5] == pytest.approx(1)
    held = shares([0, 3, 4, 5], kl_schedule="logistic", kl_hold=3, kl_warmup=2)
    assert held[1:] == pytest.approx([0.01, 0.5, 0.99])
    assert 0 < held[0] < 0.01


def test_cyclical_is_a_sawtooth() -> None:
    # 4 cycles of 10 epochs: each rises for 5, stays for 5
    times = [0, 1, 2.5, 5, 9.99, 10, 12.5, 15, 20, 21, 30, 32.5, 35, 40, 41]
    expected = [0, 0.2, 0.5, 1, 1, 0, 0.5, 1, 0, 0.2, 0, 0.5, 1, 1, 1]
    assert shares(times, kl_schedule="cyclical") == pytest.approx(expected)
    whole = shares([0, 10, 39.9], kl_schedule="cyclical", kl_cycles=1, kl_ratio=1.0)
    assert whole == pytest.approx([0, 0.25, 39.9 / 40])


@pytest.mark.parametrize("name", [*KL_SCHEDULES])
@pytest.mark.parametrize(
    "extra", [{}, {"kl_warmup": 1e-9}, {"kl_hold": 1e6, "kl_warmup": 1e6}, {"kl_cycles": 10_000, "kl_ratio": 1e-9}]
)
def test_a_share_lies_between_zero_and_one(name: str, extra: dict[str, float]) -> None:
    seen = shares([i / 7 for i in range(300)], kl_schedule=name, **extra)
    assert all(0 <= share <= 1 for share in seen)
    if name != "cyclical":
        assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("settings", "full_from"),
    [
        ({"kl_schedule": "none"}, 0.0),
        ({"kl_schedule": "linear", "kl_warmup": 5}, 5.0),
        ({"kl_schedule": "linear", "kl_hold": 3, "kl_warmup": 5}, 8.0),
        ({"kl_schedule": "logistic", "kl_hold": 3, "kl_warmup": 5}, 8.0),
        ({"kl_schedule": "cyclical"}, 35.0),
        ({"kl_schedule": "cyclical", "kl_cycles": 2, "kl_ratio": 0.25}, 25.0),
        ({"kl_schedule": "cyclical", "kl_cycles": 1, "kl_ratio": 1}, 40.0),
    ],
)
def test_full_from_where_the_weight_stays_full(settings: dict[str, Any], full_from: float) -> None:
    for time in (i / 4 for i in range(161)):
        assert schedule.is_annealed(objective(**settings), Clock(time, EPOCHS)) is (time >= full_from)
        if time >= full_from:
            assert shares([time], **settings)[0] >= 0.99 - 1e-9
    if full_from:
        assert shares([full_from - 0.5], **settings)[0] < 0.99


def test_pretraining_is_not_annealed_under_any_schedule() -> None:
    for name in KL_SCHEDULES:
        assert not schedule.is_annealed(objective(kl_schedule=name, kl_warmup=1e-9), Clock(-0.5, EPOCHS))


# --- phases


@pytest.mark.parametrize(
    ("given", "shortened"),
    [
        ((3, 0, 6, 30), (3, 0, 6)),  # all of it is 9 of 30 epochs
        ((3, 0, 6, 18), (3, 0, 6)),  # exactly half
        ((3, 0, 6, 3), (0.5, 0, 1)),
        ((0, 2, 6, 4), (0, 0.5, 1.5)),
        ((4, 0, 0.001, 4), (1.9995, 0, 0.0005)),
    ],
)
def test_the_phases_before_the_full_kl_weight_take_half_of_a_training_at_most(
    given: tuple[float, ...], shortened: tuple[float, ...]
) -> None:
    keys = ("train.pretrain", "objective.kl_hold", "objective.kl_warmup", "train.epochs")
    settings = schedule.shortened_phases(layers.resolve(overrides=dict(zip(keys, given, strict=True))))
    found = (settings.train.pretrain, settings.objective.kl_hold, settings.objective.kl_warmup)
    assert found == pytest.approx(shortened, rel=1e-3)
    assert schedule.shortened_phases(settings) == settings


def test_phases_that_are_parts_of_a_training_already_are_left_alone() -> None:
    settings = layers.resolve("cyclical", overrides={"train.epochs": 1})
    assert schedule.shortened_phases(settings) == settings
    untrained = layers.resolve(overrides={"objective.kl_schedule": "none", "train.pretrain": 0, "train.epochs": 1})
    assert schedule.shortened_phases(untrained) == untrained


def test_the_phase_of_a_moment() -> None:
    settings = objective(kl_schedule="linear", kl_warmup=6)
    names = [schedule.phase(settings, Clock(time, EPOCHS)) for time in (-3, -0.1, 0, 5.9, 6, 40)]
    assert names == ["autoencoder", "autoencoder", "annealing", "annealing", "", ""]
    assert schedule.phase(objective(kl_schedule="none"), Clock(0, EPOCHS)) == ""


def test_a_language_model_has_no_phases() -> None:
    settings = schedule.shortened_phases(layers.resolve(overrides={"model.latent_size": 0}))
    assert settings.train.pretrain == schedule.annealing_epochs(settings.objective) == 0


# --- learning rates


def factors(times: tuple[float, ...], **train: Any) -> list[float]:
    return [schedule.learning_rate_factor(TrainSettings(**train), Clock(time, 8)) for time in times]


def test_the_learning_rate_falls_along_a_cosine_from_the_end_of_pretraining_to_0() -> None:
    half = math.sqrt(0.5)
    expected = [1.0, 1.0, 0.5 * (1 + half), 0.5, 0.5 * (1 - half), 0.0]
    assert factors((-2, 0, 2, 4, 6, 8), lr_schedule="cosine") == pytest.approx(expected)


def test_kept_schedules_follow_the_old_ones_and_then_hold() -> None:
    """20 epochs, 2 of them pretraining, then 20 more: the cosine as it was down to a tenth, the KL weight full."""
    old = TrainSettings(epochs=20, pretrain=2)
    longer = old.model_copy(update={"epochs": 40})
    cycles = ObjectiveSettings(kl_schedule="cyclical")
    for done in (2, 5.5, 11, 19, 19.9):
        before, kept = Clock.at(old, done), Clock.at(longer, done, 20)
        assert schedule.learning_rate_factor(longer, kept) == max(0.1, schedule.learning_rate_factor(old, before))
        assert schedule.kl_share(cycles, kept) == schedule.kl_share(cycles, before)
    for done in (20, 20.1, 33, 40):
        kept = Clock.at(longer, done, 20)
        assert schedule.learning_rate_factor(longer, kept) == schedule.KEPT_LEARNING_RATE == 0.1
        assert schedule.kl_share(cycles, kept) == 1
        assert schedule.is_annealed(cycles, kept)
    shorter = old.model_copy(update={"epochs": 10})
    assert Clock.at(shorter, 10, 20) == Clock.at(old, 10)


def test_each_cycle_of_the_learning_rate_starts_high_again_and_the_last_ends_at_0() -> None:
    found = factors((0, 2, 3.9999999, 4, 6, 8, 9), lr_schedule="cosine", lr_cycles=2)
    assert found == pytest.approx([1.0, 0.5, 0.0, 1.0, 0.5, 0.0, 0.0], abs=1e-9)


def test_plateaus_alone_lower_the_learning_rate_where_they_are_chosen() -> None:
    assert factors((-1, 0, 4, 8), lr_schedule="plateau") == [1.0] * 4


# --- plateaus


def counted(improved: list[bool], *, annealed: bool = True, **train: Any) -> tuple[TrainingState, list[bool]]:
    """The state after epochs that improved or not, and after which of them the learning rate was lowered."""
    settings, state = TrainSettings(**{"lr_schedule": "plateau", **train}), TrainingState(learning_rate=0.8)
    return state, [schedule.count_epoch(settings, state, improved=epoch, annealed=annealed) for epoch in improved]


def test_a_plateau_lowers_the_learning_rate_until_the_decays_are_used_up() -> None:
    state, lowered = counted([True, False, False, False, True, False, False], patience=2, lr_decay=0.5, max_decays=2)
    assert lowered == [False, False, True, False, False, False, True]
    assert state.learning_rate == 0.2
    assert not state.done
    state, lowered = counted([False] * 3, patience=1, max_decays=2)
    assert lowered == [True, True, False]
    assert state.done


def test_only_epochs_at_the_full_weight_count_against_the_patience() -> None:
    state, lowered = counted([False] * 9, annealed=False, patience=1, early_stop=1)
    assert (state.stale, state.unimproved, state.done, any(lowered)) == (0, 0, False, False)


def test_a_schedule_that_falls_by_itself_knows_no_plateaus() -> None:
    state, lowered = counted([False] * 9, lr_schedule="cosine", patience=1)
    assert (state.learning_rate, state.done, any(lowered)) == (0.8, False, False)


@pytest.mark.parametrize("lr_schedule", [*LEARNING_RATES])
def test_an_early_stop_counts_from_the_best_epoch(lr_schedule: str) -> None:
    before, _ = counted([False, False, True, False, False], lr_schedule=lr_schedule, patience=0, early_stop=3)
    after, _ = counted([False, False, True, False, False, False], lr_schedule=lr_schedule, patience=0, early_stop=3)
    assert (before.done, after.done) == (False, True)


def test_a_stopped_training_that_goes_on_has_new_patience_but_no_more_decays() -> None:
    settings = TrainSettings(lr_schedule="plateau", patience=1, max_decays=2)
    state, _ = counted([False] * 3, patience=1, max_decays=2)
    schedule.continue_after_stop(settings, state)
    assert (state.done, state.stale, state.unimproved) == (False, 0, 0)
    assert not schedule.count_epoch(settings, state, improved=False, annealed=True)
    assert state.done


def test_phases_are_where_the_kl_weight_is_not_full() -> None:
    settings = Settings.model_validate(
        {"train": {"epochs": 20, "pretrain": 3}, "objective": {"kl_schedule": "linear", "kl_hold": 1, "kl_warmup": 4}}
    )
    assert schedule.phases(settings, 20) == [("pretraining", 0, 3), ("annealing", 3, 8)]
    assert schedule.phases(settings, 50) == [("pretraining", 0, 3), ("annealing", 3, 8)]
    cyclical = Settings.model_validate(
        {
            "train": {"epochs": 20, "pretrain": 0},
            "objective": {"kl_schedule": "cyclical", "kl_cycles": 2, "kl_ratio": 0.5},
        }
    )
    found = schedule.phases(cyclical, 20)
    assert found == [("annealing", 0, 5), ("annealing", 10, 15)]
    for epoch in (2, 7, 12, 17):
        rising = any(start <= epoch < end for _, start, end in found)
        assert rising == (schedule.kl_share(cyclical.objective, schedule.Clock(epoch, 20)) < 1)
    plain = Settings.model_validate({"train": {"pretrain": 0}, "objective": {"kl_schedule": "none"}})
    assert schedule.phases(plain, 20) == []

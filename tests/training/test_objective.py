"""Terms -> loss: weights, free bits, a target and a minimum of the rate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from seqvae_cli.config.schema import ObjectiveSettings
from seqvae_cli.model import Terms
from seqvae_cli.training.objective import Objective
from seqvae_cli.training.schedule import KL_SCHEDULES, Clock

EPOCHS = 40.0


def objective(**settings: Any) -> Objective:
    return Objective(ObjectiveSettings(**{"free_bits_total": 0.0, "kl_hold": 0.0, **settings}))


def weights(times: list[float], **settings: Any) -> list[float]:
    return [objective(**settings).kl_weight(Clock(time, EPOCHS)) for time in times]


def terms(distortion: list[float], kl: list[list[float]]) -> Terms:
    return Terms(
        torch.tensor(distortion, dtype=torch.float64, requires_grad=True),
        torch.tensor(kl, dtype=torch.float64, requires_grad=True),
        torch.zeros(len(kl), len(kl[0])),
    )


def number(tensor: Tensor) -> float:
    return tensor.detach().item()


FULL = Clock(EPOCHS, EPOCHS)


def test_without_a_schedule_the_weight_is_beta() -> None:
    assert weights([0, 1, 40], kl_schedule="none") == [1, 1, 1]
    assert weights([0, 1, 40], kl_schedule="none", beta=0.3, kl_hold=9) == [0.3, 0.3, 0.3]


@pytest.mark.parametrize("schedule", [*KL_SCHEDULES])
def test_beta_multiplies_the_schedule(schedule: str) -> None:
    times = [0.0, 0.7, 3.0, 11.0, 40.0]
    plain, scaled = weights(times, kl_schedule=schedule), weights(times, kl_schedule=schedule, beta=0.25)
    assert scaled == pytest.approx([0.25 * weight for weight in plain])


# --- the loss


def test_total_is_distortion_and_weighted_floored_rate() -> None:
    made = terms([10, 20, 33], [[1, 0.1], [2, 0.2], [3, 0.0]])
    one = objective(kl_schedule="linear", kl_warmup=4, beta=2, free_bits=0.5)
    loss = one(made, Clock(1, EPOCHS))
    assert one.kl_weight(Clock(1, EPOCHS)) == 0.5
    assert number(loss.distortion) == pytest.approx(21)
    assert number(loss.rate) == pytest.approx(2.1)  # the plain one
    assert number(loss.total) == pytest.approx(21 + 0.5 * (2 + 0.5))


def test_full_weight_and_no_floor_give_the_negative_elbo() -> None:
    made = terms([10, 20], [[1, 0.1], [2, 0.2]])
    loss = objective()(made, FULL)
    assert number(loss.total) == pytest.approx(number(loss.distortion + loss.rate)) == pytest.approx(15 + 1.65)


def test_no_floor_raises_a_rate_that_is_above_it() -> None:
    made = terms([1], [[1.0, 2.0]])
    assert number(objective(free_bits=0.5, free_bits_total=2.5)(made, FULL).total) == pytest.approx(4)


def test_free_bits_floor_the_mean_over_the_batch_of_each_dimension() -> None:
    # Means 0.3, 0.1, 1.0: the first lies above 0.25 although one sentence lies below.
    made = terms([0, 0], [[0.6, 0.2, 2.0], [0.0, 0.0, 0.0]])
    loss = objective(free_bits=0.25)(made, FULL)
    assert number(loss.total) == pytest.approx(0.3 + 0.25 + 1.0)
    assert number(loss.rate) == pytest.approx(1.4)
    (gradient,) = torch.autograd.grad(loss.total, made.kl)
    torch.testing.assert_close(gradient, torch.tensor([[0.5, 0.0, 0.5]] * 2, dtype=torch.float64))


def test_free_bits_in_all_floor_the_sum() -> None:
    made = terms([0, 0], [[0.6, 0.2, 2.0], [0.0, 0.0, 0.0]])
    below, above = objective(free_bits_total=1.5)(made, FULL), objective(free_bits_total=1.3)(made, FULL)
    assert number(below.total) == pytest.approx(1.5)
    assert number(above.total) == pytest.approx(1.4)
    assert not torch.autograd.grad(below.total, made.kl)[0].any()
    torch.testing.assert_close(
        torch.autograd.grad(above.total, made.kl)[0], torch.full((2, 3), 0.5, dtype=torch.float64)
    )


def test_both_floors_hold_together() -> None:
    made = terms([0], [[0.1, 0.9]])
    assert number(objective(free_bits=0.5, free_bits_total=1.2)(made, FULL).total) == pytest.approx(1.4)
    assert number(objective(free_bits=0.5, free_bits_total=2.0)(made, FULL).total) == pytest.approx(2.0)


def test_the_floor_is_weighted_too() -> None:
    made = terms([3], [[0.0, 0.0]])
    loss = objective(kl_schedule="linear", kl_warmup=4, free_bits=1)(made, Clock(1, EPOCHS))
    assert number(loss.total) == pytest.approx(3 + 0.25 * 2)


@pytest.mark.parametrize("kl_schedule", ["linear", "cyclical"])
def test_at_weight_zero_only_distortion_has_a_gradient(kl_schedule: str) -> None:
    made = terms([3, 5], [[1.0, 2.0], [3.0, 4.0]])
    loss = objective(kl_schedule=kl_schedule)(made, Clock(0, EPOCHS))
    to_distortion, to_kl = torch.autograd.grad(loss.total, [made.distortion, made.kl])
    assert to_distortion.tolist() == [0.5, 0.5]
    assert not to_kl.any()


def test_the_loss_is_an_average_over_sentences() -> None:
    once = terms([10, 20], [[1, 0.1], [2, 0.2]])
    thrice = terms([10, 20] * 3, [[1, 0.1], [2, 0.2]] * 3)
    one = objective(free_bits=0.2, free_bits_total=1.8)
    for name in ("total", "distortion", "rate"):
        first: Tensor = getattr(one(once, FULL), name)
        assert number(first) == pytest.approx(number(getattr(one(thrice, FULL), name)))


def test_figures_carry_no_graph_but_the_total_does() -> None:
    loss = objective()(terms([1], [[1.0]]), FULL)
    assert loss.total.requires_grad
    assert not loss.distortion.requires_grad
    assert not loss.rate.requires_grad


def test_a_group_of_several_dimensions_has_the_free_bits_of_all_of_them() -> None:
    made = replace(terms([0], [[0.5]]), z=torch.zeros(1, 4))
    assert number(objective(free_bits=0.2)(made, FULL).total) == pytest.approx(0.8)
    assert number(objective(free_bits=0.1)(made, FULL).total) == pytest.approx(0.5)


def test_one_group_in_all_is_floored_as_one() -> None:
    made = terms([0, 0], [[3.0], [1.0]])
    assert number(objective(free_bits=2.5)(made, FULL).total) == pytest.approx(2.5)
    assert number(objective(free_bits=1.5)(made, FULL).total) == pytest.approx(2.0)


# --- a rate that is held


def test_a_target_rate_costs_its_distance() -> None:
    made = terms([10], [[1.0, 2.0]])
    for target, cost in ((5, 2), (3, 0), (1, 2)):
        assert number(objective(target_rate=target, beta=2)(made, FULL).total) == pytest.approx(10 + 2 * cost)


def test_the_target_rises_with_the_schedule_and_its_weight_does_not() -> None:
    made = terms([10], [[1.0, 2.0]])
    one = objective(target_rate=8, beta=2, kl_schedule="linear", kl_hold=1, kl_warmup=4)
    for epoch, target in ((0.5, 0), (2, 2), (3, 4), (9, 8)):
        clock = Clock(epoch, EPOCHS)
        assert one.kl_weight(clock) == 2
        assert number(one(made, clock).total) == pytest.approx(10 + 2 * abs(3 - target))


def test_a_minimum_rate_costs_the_more_the_longer_it_is_missed_and_nothing_once_it_is_reached() -> None:
    one = objective(kl_schedule="none", min_rate=4)
    low, high = terms([10], [[1.0, 1.0]]), terms([10], [[3.0, 3.0]])

    def total(made: Terms) -> float:
        loss = one(made, FULL)
        one.ascend(loss.rate, 1.0)
        return number(loss.total)

    assert [total(low) for _ in range(3)] == pytest.approx([12, 12 + 0.002 * 2, 12 + 0.004 * 2])
    assert one.multiplier.item() == pytest.approx(0.006)
    for _ in range(5):
        last = total(high)
    assert one.multiplier.item() == 0
    assert last == pytest.approx(16)


def test_the_multiplier_pulls_the_rate_up_once_it_is_above_one() -> None:
    one = objective(kl_schedule="none", min_rate=4)
    one.multiplier.fill_(3.0)
    made = terms([10], [[1.0, 1.0]])
    one(made, FULL).total.backward()
    assert made.kl.grad is not None
    assert made.kl.grad.flatten().tolist() == pytest.approx([-2, -2])


@pytest.mark.parametrize("schedule", [*KL_SCHEDULES])
def test_while_pretraining_the_rate_costs_nothing(schedule: str) -> None:
    made = terms([10], [[1.0, 1.0]])
    for settings in ({}, {"free_bits": 2.0}, {"target_rate": 9.0}, {"min_rate": 9.0}):
        one = objective(kl_schedule=schedule, **settings)
        assert number(one(made, Clock(-0.5, EPOCHS)).total) == 10

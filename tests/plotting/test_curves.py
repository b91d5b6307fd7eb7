"""The points of learning curves, and the ranges of their axes."""

from __future__ import annotations

import math

import pytest

from seqvae_cli.plotting import curves
from tests.plotting.lines import metrics


def test_a_curve_takes_the_keys_of_its_panel_and_split() -> None:
    lines = metrics(2)
    assert curves.curve(lines, curves.PANELS["kl"]) == [(1, 6), (2, 7)]
    assert curves.curve(lines, curves.PANELS["kl"], "train_") == [(1, 96), (2, 7.1)]
    assert curves.curve(lines, curves.PANELS["kl-reconstruction"], "train_") == [(57, 96), (41, 7.1)]
    assert curves.curve(lines, curves.PANELS["elbo"]) == [(1, 61), (2, 47)]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "8", True, [8], 10**400, 1e300])
def test_a_non_numeric_value_is_a_gap(value: object) -> None:
    lines = metrics(3)
    lines[1]["rate"] = value
    for name in ("kl", "kl-reconstruction"):
        first, gap, last = curves.curve(lines, curves.PANELS[name])
        assert all(map(math.isnan, gap))
        assert not any(map(math.isnan, first + last))
    del lines[1]["rate"]
    assert math.isnan(curves.curve(lines, curves.PANELS["kl"])[1][1])


def test_the_best_epoch_is_the_first_with_the_lowest_validation_loss() -> None:
    lines = metrics(4)
    lines[3]["neg_elbo"] = lines[2]["neg_elbo"]
    assert curves.best_line(lines) == 2
    lines[2]["neg_elbo"] = math.nan
    assert curves.best_line(lines) == 3
    assert curves.best_line(metrics(2, neg_elbo=None)) is None


def test_an_axis_covers_validation_and_leaves_out_training_outliers() -> None:
    assert curves.axis_range([7.0, 7.5, 8.0, 7.8], [90.0, 7.2, 7.6, 7.7]) == (7.0, 8.0)
    assert curves.axis_range([90.0, 7.5, 8.0, 7.8], [7.1, 7.2, 7.6, 7.7]) == (7.1, 90.0)
    assert curves.axis_range([8.0, 7.0, 7.0, 7.0], [8.9, 7.0, 7.0, 7.0]) == (7.0, 8.9)  # outside the fence, but near
    assert curves.axis_range([5.0], [90.0]) == (5.0, 90.0)
    assert curves.axis_range([], [3.0]) == (3.0, 3.0)
    assert curves.axis_range([4.0], []) == (4.0, 4.0)

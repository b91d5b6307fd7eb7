"""The points of learning curves, and the ranges of their axes."""

from __future__ import annotations

import dataclasses
import math

import pytest

from seqvae_cli.plotting import curves
from seqvae_cli.plotting.curves import History
from tests.plotting.lines import history, metrics


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


def test_the_best_point_is_that_of_the_best_epoch_of_the_run_whatever_the_losses() -> None:
    lines = metrics(4)
    lines[0]["neg_elbo"] = 1.0  # of the pretraining, which does not count
    panel = curves.PANELS["elbo"]
    points = curves.curve(lines, panel)
    assert curves.best_point(History(lines, best_epoch=3), points) == (3, lines[2]["neg_elbo"])
    assert curves.best_point(History(lines), points) is None
    assert curves.best_point(History(lines, best_epoch=9), points) is None
    lines[2]["neg_elbo"] = None
    assert curves.best_point(History(lines, best_epoch=3), curves.curve(lines, panel)) is None


def test_a_note_says_in_words_where_the_points_beyond_the_axes_are() -> None:
    ranges = ((0.0, 10.0), (0.0, 5.0))
    for points, note in (
        ([], ""),
        ([(1.0, 104.0)], "1 point above, to 104 nats"),
        ([(1.0, 7.0), (2.0, 9.5)], "2 points above, to 9.5 nats"),
        ([(1.0, -3.0)], "1 point below, to -3 nats"),
        ([(80.0, 1.0)], "1 point to the right, to 80 nats"),
        ([(80.0, 1.0), (1.0, 104.0)], "2 points beyond the axes, to 104 nats"),
    ):
        assert curves.off_scale_note(points, ranges) == note


def test_the_axis_of_the_elbo_reaches_the_entropy_and_no_other_does() -> None:
    runs = {"a": dataclasses.replace(history(5), corpus="toy", entropy=20.0), "b": history(5)}
    for name, panel in curves.PANELS.items():
        assert curves.entropies(runs, panel) == ([20.0] if name == "elbo" else [])
        _, (low, _) = curves.axis_ranges(curves.panel_curves(runs, panel), runs, panel, 0)
        assert (low == 20) == (name == "elbo")
    assert curves.entropy_label(runs) == "entropy of toy"


def test_an_axis_covers_validation_and_leaves_out_training_outliers() -> None:
    assert curves.axis_range([7.0, 7.5, 8.0, 7.8], [90.0, 7.2, 7.6, 7.7]) == (7.0, 8.0)
    assert curves.axis_range([90.0, 7.5, 8.0, 7.8], [7.1, 7.2, 7.6, 7.7]) == (7.1, 90.0)
    assert curves.axis_range([8.0, 7.0, 7.0, 7.0], [8.9, 7.0, 7.0, 7.0]) == (7.0, 8.9)  # outside the fence, but near
    assert curves.axis_range([5.0], [90.0]) == (5.0, 90.0)
    assert curves.axis_range([], [3.0]) == (3.0, 3.0)
    assert curves.axis_range([4.0], []) == (4.0, 4.0)

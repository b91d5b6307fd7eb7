"""Linear maps of codes: principal components and discriminants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqvae_cli.data.labels import Label
from seqvae_cli.plotting import linear


def drawn(count: int, size: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((count, size)).astype(np.float32)


def named(indices: NDArray[np.int64]) -> Label:
    return Label(tuple("abcdefgh"), indices)


def principal(values: NDArray[np.float64], components: tuple[int, int] = (1, 2)) -> tuple[Any, Any]:
    found = linear.principal(values, components)
    return found.place(values), found.variance


def test_principal_components_of_known_points() -> None:
    first, second = np.array([0.6, 0.8, 0.0]), np.array([-0.64, 0.48, 0.6])
    places = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    points, variance = principal(places @ np.stack([first, second]) + [7, -3, 5])
    assert variance == pytest.approx((0.8, 0.2))
    # The largest weight of `second` is negative, so its axis is turned round.
    np.testing.assert_allclose(points, places * [1, -1], atol=1e-12)


def test_coordinates_are_invariant_to_translation_and_keep_the_variance() -> None:
    cloud = np.random.default_rng(0).standard_normal((50, 4)) * [3, 2, 1, 1]
    points, variance = principal(cloud)
    moved, _ = principal(cloud + 5)
    mirrored, _ = principal(-cloud)
    doubled, same = principal(2 * cloud)
    np.testing.assert_allclose(moved, points, atol=1e-12)
    np.testing.assert_allclose(mirrored, -points, atol=1e-12)
    np.testing.assert_allclose(doubled, 2 * points, atol=1e-12)
    assert same == pytest.approx(variance)
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(points.var(0) / cloud.var(0).sum(), variance)
    assert abs(np.mean(points[:, 0] * points[:, 1])) < 1e-12
    assert 1 > variance[0] > variance[1] > 0


@pytest.mark.parametrize("shape", [(1, 4), (5, 1), (3, 2)])
def test_without_a_second_component_or_any_variance_coordinates_are_zero(shape: tuple[int, int]) -> None:
    points, variance = principal(np.ones(shape))
    assert (points == 0).all()
    assert points.shape == (shape[0], 2)
    assert variance == pytest.approx((0, 0), abs=0)


def test_one_dimension_is_its_own_first_component() -> None:
    line, share = principal(np.arange(5.0)[:, None])
    np.testing.assert_allclose(line, [[-2, 0], [-1, 0], [0, 0], [1, 0], [2, 0]])
    assert share == pytest.approx((1, 0))


def test_any_two_components_are_those_of_the_whole_decomposition() -> None:
    cloud = np.random.default_rng(0).standard_normal((50, 4)) * [3, 2, 1, 0.5]
    first, second = (principal(cloud, pair) for pair in ((1, 2), (4, 3)))
    np.testing.assert_allclose(
        np.square(np.hstack([first[0], second[0]])).sum(), np.square(cloud - cloud.mean(0)).sum()
    )
    assert sum(first[1]) + sum(second[1]) == pytest.approx(1)
    assert first[1][0] > first[1][1] > second[1][1] > second[1][0]
    swapped, shares = principal(cloud, (2, 1))
    np.testing.assert_allclose(swapped, first[0][:, ::-1], atol=1e-12)
    assert shares == first[1][::-1]
    absent, shares = principal(cloud, (5, 1))
    assert (absent[:, 0] == 0).all()
    assert shares == (0, first[1][0])


def test_principal_components_are_the_directions_of_most_variance() -> None:
    codes = drawn(400, 5) * np.array([1, 9, 1, 3, 1], np.float32)
    found = linear.principal(codes)
    assert np.abs(found.axes[1, 0]) == pytest.approx(1, abs=0.01)
    assert np.abs(found.axes[3, 1]) == pytest.approx(1, abs=0.05)
    assert found.variance is not None
    assert found.variance[0] == pytest.approx(81 / 93, abs=0.05)
    assert np.allclose(found.place(codes).mean(0), 0, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2])
def test_a_code_of_one_or_two_dimensions_has_a_map(size: int) -> None:
    codes = drawn(20, size)
    assert linear.principal(codes).place(codes).shape == (20, 2)


def test_discriminants_find_what_parts_a_label_where_the_variance_does_not_show_it() -> None:
    codes = drawn(900, 6) * np.array([20, 20, 1, 1, 1, 1], np.float32)
    label = np.arange(900) % 3
    codes[:, 3] += 6 * (label == 1)
    codes[:, 5] += 6 * (label == 2)
    found = linear.discriminants(codes, named(label))
    placed = found.place(codes)
    spread = np.sqrt(np.mean([placed[label == value].var(0) for value in range(3)], axis=0))
    middles = np.stack([placed[label == value].mean(0) for value in range(3)])
    apart = min(np.linalg.norm((middles[i] - middles[j]) / spread) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert apart > 4
    assert np.abs(found.axes[:2]).max() < 0.1 * np.abs(found.axes[3:]).max()


def test_two_values_are_parted_along_the_first_axis_and_the_second_is_the_rest() -> None:
    codes = drawn(600, 4) * np.array([1, 5, 1, 1], np.float32)
    label = np.arange(600) % 2
    codes[:, 2] += 8 * label
    found = linear.discriminants(codes, named(label))
    first, second = (axis / np.linalg.norm(axis) for axis in found.axes.T)
    assert abs(first[2]) > 0.98
    assert abs(second[1]) > 0.98


@pytest.mark.parametrize("size", [3, 40])
def test_discriminants_are_those_of_scikit_learn(size: int) -> None:
    """Up to the sign; of fewer codes than dimensions, too."""
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    codes = drawn(30, size).astype(np.float64) * np.linspace(0.1, 9, size)
    label = np.arange(30) % 4
    expected = analysis.LinearDiscriminantAnalysis(n_components=2).fit(codes, label).transform(codes)
    placed = linear.discriminants(codes, named(label)).place(codes)
    expected -= expected.mean(0)
    np.testing.assert_allclose(placed * np.sign(placed[:1] * expected[:1]), expected, atol=1e-6)


def test_scaling_a_dimension_moves_no_discriminant() -> None:
    codes, label = drawn(90, 4).astype(np.float64), named(np.arange(90) % 3)
    codes[:, 1] += label.indices
    placed = linear.discriminants(codes, label).place(codes)
    scaled = codes * [1, 1e-3, 1e4, 1]
    again = linear.discriminants(scaled, label).place(scaled)
    np.testing.assert_allclose(again * np.sign(again[:1] * placed[:1]), placed, atol=1e-6)


def test_codes_that_do_not_vary_within_a_value_have_a_place() -> None:
    label = np.arange(12) % 3
    codes = np.eye(3)[label]
    assert np.isfinite(linear.discriminants(codes, named(label)).place(codes)).all()

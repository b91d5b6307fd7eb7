"""Linear maps of codes: principal components and discriminants."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from seqvae_cli.data.labels import Label
from seqvae_cli.plotting import linear


def drawn(count: int, size: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((count, size)).astype(np.float32)


def named(indices: NDArray[np.int64]) -> Label:
    return Label(tuple("abcdefgh"), indices)


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

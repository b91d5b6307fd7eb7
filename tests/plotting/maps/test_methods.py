"""The methods that place codes on a plane: what they keep, what they refuse, and that they are deterministic."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from seqvae_cli.data.labels import Label
from seqvae_cli.errors import MachineError, UsageError
from seqvae_cli.plotting import linear
from seqvae_cli.plotting.maps import methods
from tests.faults.matrix import FULL

EACH = 25
"""Sentences of each of three clusters."""


@pytest.fixture(scope="module")
def clusters() -> tuple[methods.Array, Label]:
    """Three clusters in 8 dimensions, apart in the last ones alone, where most of the variance is not: [75, 8]."""
    draw = np.random.default_rng(0)
    means = draw.standard_normal((3 * EACH, 8)) * [6, 6, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    indices = np.repeat([0, 1, 2], EACH)
    means[:, 4] += 2.0 * indices
    means[:, 5] += 2.0 * (indices == 1)
    return means, Label(("a", "b", "c"), indices)


def near_share(points: methods.Array, label: Label) -> float:
    """The share of sentences whose nearest one has the same value."""
    distances = np.square(points[:, None] - points[None]).sum(-1)
    np.fill_diagonal(distances, np.inf)
    return float((label.indices[distances.argmin(1)] == label.indices).mean())


def kept_share(means: methods.Array, points: methods.Array, count: int = 10) -> float:
    """The share of the `count` nearest sentences that are so on the plane, too."""

    def nearest(places: methods.Array) -> list[set[int]]:
        distances = np.square(places[:, None] - places[None]).sum(-1)
        np.fill_diagonal(distances, np.inf)
        return [set(row.tolist()) for row in distances.argsort(1)[:, :count]]

    pairs = zip(nearest(means), nearest(points), strict=True)
    return float(np.mean([len(one & other) / count for one, other in pairs]))


def test_principal_components_are_those_of_the_projection(clusters: tuple[methods.Array, Label]) -> None:
    assert (methods.place("pca", clusters[0]) == linear.principal(clusters[0]).place(clusters[0])).all()


def test_tsne_parts_clusters_and_keeps_neighbours_that_principal_components_lose() -> None:
    pytest.importorskip("sklearn")
    draw = np.random.default_rng(1)
    indices = np.repeat(np.arange(6), 15)
    means = draw.standard_normal((6, 10))[indices] * 3 + draw.standard_normal((90, 10)) * 0.5
    label = Label(tuple("abcdef"), indices)
    before = means.copy(), np.random.get_state()[1].tolist()  # noqa: NPY002 - that very state
    points = methods.place("tsne", means, label)
    assert points.shape == (90, 2)
    assert points.dtype == np.float64
    assert near_share(points, label) == 1
    assert kept_share(means, points) > kept_share(means, methods.place("pca", means)) + 0.1
    assert (points == methods.place("tsne", means)).all()
    assert (means == before[0]).all()
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_discriminants_part_what_has_little_variance(clusters: tuple[methods.Array, Label]) -> None:
    means, label = clusters
    points = methods.place("lda", means, label)
    assert near_share(points, label) == 1
    assert near_share(methods.place("pca", means), label) < 0.7
    within = [points[label.indices == value].var(0, ddof=0) for value in range(3)]
    np.testing.assert_allclose(np.mean(within, 0), 1, atol=1e-6)
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-9)


def test_two_values_have_one_discriminant_and_the_rest_its_own_axis(clusters: tuple[methods.Array, Label]) -> None:
    means, label = clusters
    two = Label(("", "no", "yes"), np.where(label.indices == 2, 2, 1))
    two.indices[:3] = 0  # without a value, and placed all the same
    points = methods.place("lda", means, two)
    assert points[two.indices == 1, 0].max() < points[two.indices == 2, 0].min() or (
        points[two.indices == 2, 0].max() < points[two.indices == 1, 0].min()
    )
    assert points[:, 1].std() == pytest.approx(1)
    assert (points[:3, 0] < points[:, 0].max()).all()
    assert methods.place("lda", means[:, 4:5], two)[:, 1].tolist() == pytest.approx([0] * 75)  # nothing is left


@pytest.mark.parametrize("values", [[0] * 75, list(range(75)), [-1] * 75])
def test_discriminants_need_values_to_part(clusters: tuple[methods.Array, Label], values: list[int]) -> None:
    names = ("", *map(str, range(75)))
    with pytest.raises(UsageError, match="linear discriminants part the values of a label; here are"):
        methods.place("lda", clusters[0], Label(names, np.array(values) + 1))


@pytest.mark.parametrize("name", methods.METHODS)
def test_equal_means_lie_on_one_point(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_installed", lambda _: True)
    label = Label(("a", "b"), np.arange(6) % 2)
    assert (methods.place(name, np.full((6, 4), 0.25), label) == 0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("width", [1, 3])
def test_few_sentences_are_placed_or_refused_in_one_line(count: int, width: int) -> None:
    pytest.importorskip("sklearn")
    means = np.random.default_rng(0).standard_normal((count, width))
    assert methods.place("pca", means).shape == (count, 2)
    assert methods.default(count) == ("tsne" if count >= methods.LEAST else "pca")
    if count >= methods.LEAST:
        assert np.isfinite(methods.place("tsne", means)).all()
        return
    with pytest.raises(UsageError, match=f"t-SNE needs 5 sentences, not {count}") as caught:
        methods.place("tsne", means)
    assert caught.value.hint == "--method pca takes any number"


def test_equal_sentences_among_others_are_placed() -> None:
    pytest.importorskip("sklearn")
    means = np.repeat(np.random.default_rng(0).standard_normal((5, 3)), 8, axis=0)
    assert np.isfinite(methods.place("tsne", means)).all()


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(UsageError, match="no method 'tnse'") as caught:
        methods.check("tnse")
    assert caught.value.hint == "did you mean 'tsne'?"


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sklearn", "umap"):
        monkeypatch.setitem(sys.modules, name, None)
    assert methods.default(1000) == "pca"
    for name, extra in (("tsne", "analysis"), ("umap", "umap")):
        with pytest.raises(MachineError, match="needs the package") as caught:
            methods.place(name, np.zeros((9, 2)))
        assert caught.value.hint == f'pip install "seqvae[{extra}]"'


def test_the_defaults_are_methods_and_the_last_needs_nothing() -> None:
    assert set(methods.DEFAULTS) <= set(methods.METHODS)
    assert not methods.METHODS[methods.DEFAULTS[-1]].module


@pytest.mark.skipif(not FULL, reason="numba compiles UMAP for half a minute: make faults")
def test_umap_parts_clusters_and_is_deterministic() -> None:
    pytest.importorskip("umap")
    draw = np.random.default_rng(1)
    indices = np.repeat(np.arange(6), 15)
    means = draw.standard_normal((6, 10))[indices] * 3 + draw.standard_normal((90, 10)) * 0.5
    points = methods.place("umap", means)
    assert near_share(points, Label(tuple("abcdef"), indices)) == 1
    assert (points == methods.place("umap", means)).all()
    for count in (5, 6):
        assert np.isfinite(methods.place("umap", means[:count])).all()
    assert np.isfinite(methods.place("umap", means[:20, :1])).all()

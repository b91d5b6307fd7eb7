"""The latent space of a run as a picture: principal components, rates over the epochs, colours."""

from __future__ import annotations

import dataclasses
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqvae_cli import api
from seqvae_cli.api import Model
from seqvae_cli.data import prepare
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.labels import Label
from seqvae_cli.errors import DataError, MachineError, UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.plotting import latent, pictures
from seqvae_cli.plotting.latent import Means
from tests.plotting.lines import SIGNATURES
from tests.trainings import fit, new_run


@pytest.fixture
def model(tiny_corpus: Corpus) -> Model:
    assert tiny_corpus.name == "tiny"
    return api.load("tiny-run")


@pytest.fixture
def toy(home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Model, Corpus]:
    """A small toy corpus and a run on it."""
    assert not home.exists()
    monkeypatch.setattr(prepare, "HELD_OUT", 60)
    corpus = prepare.prepare_toy(sentences=100).corpus
    run = new_run(corpus, "on-toy", train__epochs=1)
    fit(run, corpus)
    return api.load(run), corpus


def lines(*rates: Any) -> list[dict[str, Any]]:
    """An epoch of 10 steps for each of `rates`; None: a line of a version that wrote none."""
    return [
        {"epoch": epoch, "step": 10 * epoch} | ({} if found is None else {"rate_by_dimension": found})
        for epoch, found in enumerate(rates, 1)
    ]


def means(**changes: Any) -> Means:
    """Four sentences of 3 to 6 tokens."""
    points = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    return dataclasses.replace(
        Means(points, (0.8, 0.2), "length", np.array([3, 4, 5, 6]), (), "valid", step=20), **changes
    )


def figure(name: str, lines: list[dict[str, Any]], means: Means) -> Any:
    return latent.figure(name, lines, means)


TENSE: dict[str, Any] = {"color": "tense", "values": ("past", "present", "future"), "labels": np.array([2, 0, 0, 1])}


# principal components


def test_principal_components_of_known_points() -> None:
    first, second = np.array([0.6, 0.8, 0.0]), np.array([-0.64, 0.48, 0.6])
    places = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    points, variance = latent.principal(places @ np.stack([first, second]) + [7, -3, 5])
    assert variance == pytest.approx((0.8, 0.2))
    # The largest weight of `second` is negative, so its axis is turned round.
    np.testing.assert_allclose(points, places * [1, -1], atol=1e-12)


def test_coordinates_are_invariant_to_translation_and_keep_the_variance() -> None:
    cloud = np.random.default_rng(0).standard_normal((50, 4)) * [3, 2, 1, 1]
    points, variance = latent.principal(cloud)
    moved, _ = latent.principal(cloud + 5)
    mirrored, _ = latent.principal(-cloud)
    doubled, same = latent.principal(2 * cloud)
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
    points, variance = latent.principal(np.ones(shape))
    assert (points == 0).all()
    assert points.shape == (shape[0], 2)
    assert variance == pytest.approx((0, 0), abs=0)


def test_one_dimension_is_its_own_first_component() -> None:
    line, share = latent.principal(np.arange(5.0)[:, None])
    np.testing.assert_allclose(line, [[-2, 0], [-1, 0], [0, 0], [1, 0], [2, 0]])
    assert share == pytest.approx((1, 0))


def test_a_selection_is_even_and_never_more_than_there_is() -> None:
    assert latent.spread_indices(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert latent.spread_indices(10, 4).tolist() == [0, 2, 5, 7]
    assert latent.spread_indices(3, 5).tolist() == [0, 1, 2]
    large = latent.spread_indices(10**6 + 2500, 5000)
    assert set(np.diff(large)) == {200, 201}


# the means of a run


def test_points_are_the_posterior_means_of_an_even_part_of_the_split(model: Model, tiny_corpus: Corpus) -> None:
    done: list[int] = []
    found = model.project("train", most=20, watch=done.append)
    split = tiny_corpus.split("train")
    rows = latent.spread_indices(len(split), 20)
    expected = metrics.posteriors(model.network, split).mean.double().numpy()[rows]
    np.testing.assert_allclose(found.points, latent.principal(expected)[0], atol=1e-5)
    assert found.labels.tolist() == split.lengths[rows].tolist()
    assert (found.color, found.values, found.split, found.step) == ("length", (), "train", model.step)
    assert sum(done) == sum(split.lengths[rows] + 1)
    assert len(model.project().points) == len(tiny_corpus.split("valid"))


def test_a_factor_of_the_toy_corpus_has_its_values_in_order(toy: tuple[Model, Corpus]) -> None:
    model, corpus = toy
    assert latent.colors(corpus) == ("length", *corpus.info["toy"]["factors"])
    found = model.project("test", "tense", most=30)
    assert found.values == tuple(corpus.info["toy"]["factors"]["tense"])
    assert found.labels.tolist() == corpus.labels("test")["tense"].indices[::2].tolist()
    by_length = model.project("test", most=30)
    assert (by_length.points == found.points).all()
    assert by_length.labels.tolist() == corpus.split("test").lengths[::2].tolist()
    with pytest.raises(UsageError, match="no label 'tens'") as caught:
        model.project(color="tens")
    assert "length, topic, sentiment, tense, number, form, polarity" in caught.value.hint


def test_a_text_corpus_is_coloured_only_by_length(model: Model) -> None:
    with pytest.raises(UsageError, match="corpus tiny has no label 'topic'") as caught:
        model.project(color="topic")
    assert caught.value.hint.endswith(": length")


def test_unknown_splits_language_models_and_damage_are_refused(model: Model, tiny_corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="no split 'dev'"):
        model.project("dev")
    language_model = new_run(tiny_corpus, "lm", model__latent_size=0, train__epochs=1)
    fit(language_model, tiny_corpus)
    with pytest.raises(UsageError, match="lm is a language model"):
        api.load(language_model).project()
    with torch.no_grad():
        model.network.get_parameter(next(n for n, _ in model.network.named_parameters() if "encoder" in n)).fill_(
            np.nan
        )
    with pytest.raises(DataError, match="not finite"):
        model.project()
    words = tiny_corpus.path / "valid.tokens.bin"
    words.write_bytes(bytes(len(words.read_bytes())))
    with pytest.raises(DataError, match=r"valid\.tokens\.bin"):
        model.project()
    model.run.info["corpus"]["hash"] = "0" * 64
    with pytest.raises(DataError, match="000000000000"):
        model.project()


# rates


def test_rates_are_a_row_a_dimension_and_a_column_an_epoch() -> None:
    epochs, rates = latent.rates(lines([1, 0.5, 0], [2, 0.25, 0.125]))
    assert epochs.tolist() == [1, 2]
    assert rates.tolist() == [[1, 2], [0.5, 0.25], [0, 0.125]]


@pytest.mark.parametrize("odd", [None, [], 3, "1", [1, None], [1, True], ["1", 1], [1, 1e300], [10**400, 1], [1, 2, 3]])
def test_lines_without_rates_are_left_out(odd: object) -> None:
    epochs, rates = latent.rates(lines([1, 2], odd, [3, 4]))
    assert epochs.tolist() == [1, 3]
    assert rates.tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize("found", [[], lines(None, []), [{"rate_by_dimension": [1, 2]}]])
def test_a_run_without_any_rates_has_none(found: list[dict[str, Any]]) -> None:
    epochs, rates = latent.rates(found)
    assert epochs.shape == (0,)
    assert rates.shape == (0, 0)


# pictures


@pytest.mark.parametrize("kind", pictures.PICTURE_FORMATS)
def test_a_picture_has_its_format_and_is_reproducible(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    drawn = means(**TENSE) if kind == "svg" else means()
    first = latent.picture("a", lines([0.1, 3], [0.2, 2]), drawn, kind)
    assert first.startswith(SIGNATURES[kind])
    if kind == "svg":
        assert ET.fromstring(first).tag.endswith("svg")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")  # a date would show
    before = set(sys.modules)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "mine"}):
        assert latent.picture("a", lines([0.1, 3], [0.2, 2]), drawn, kind) == first
    assert "matplotlib.pyplot" not in set(sys.modules) - before


def test_the_heat_map_has_the_highest_rate_of_the_last_epoch_on_top() -> None:
    pytest.importorskip("matplotlib")
    drawn = figure("a", lines([0.2, 300, 0.5], [0.02, 0.001, 3]), means())
    axes, _, bar, _ = drawn.axes
    (mesh,) = axes.collections
    assert mesh.get_array().tolist() == [[0.5, 3], [0.2, 0.02], [300, latent.RATE_RANGE[0]]]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["2", "0", "1"]
    assert axes.yaxis.get_inverted()
    assert axes.get_ylabel() == "dimension, the highest KL in the last epoch on top"
    assert (axes.get_xlabel(), axes.get_xlim()) == ("epoch", (0.5, 2.5))
    assert (axes.get_title("left"), axes.get_title("right")) == ("KL of each dimension", "3.02 nats in the last epoch")
    assert bar.get_ylabel() == "KL (nats a sentence)"


def test_the_colour_scale_is_the_same_in_every_picture() -> None:
    pytest.importorskip("matplotlib")
    quiet, loud = (
        figure("a", lines(*rates), means()).axes[0].collections[0]
        for rates in ([[0.1, 0.2], [0.2, 0.1]], [[900, 0.2], [0.1, 40]])
    )
    assert (quiet.norm.vmin, quiet.norm.vmax) == (loud.norm.vmin, loud.norm.vmax) == (0.01, 10)
    shades = [float(quiet.norm(rate)) for rate in (0.01, 0.1, 1, 10)]
    assert shades == pytest.approx([0, 1 / 3, 2 / 3, 1])
    first, last = (quiet.to_rgba(value) for value in (0.1, 0.2))
    assert (loud.to_rgba(0.1), loud.to_rgba(0.2)) == (first, last)
    assert first != last


def test_epochs_without_rates_are_gaps() -> None:
    pytest.importorskip("matplotlib")
    (mesh,) = figure("a", lines([1, 2], None, None, [3, 4]), means()).axes[0].collections
    cells = mesh.get_array()
    assert cells.mask.tolist() == [[False, True, False]] * 2
    assert mesh.get_coordinates()[0, :, 0].tolist() == [0.5, 1.5, 3.5, 4.5]


@pytest.mark.parametrize(("groups", "named"), [(8, True), (64, True), (65, False)])
def test_dimensions_are_labelled_while_labels_are_legible(groups: int, named: bool) -> None:
    pytest.importorskip("matplotlib")
    drawn = figure("a", lines([0.1] * groups), means())
    drawn.draw_without_rendering()
    axes = drawn.axes[0]
    labels = [label for label in axes.get_yticklabels() if label.get_text()]
    assert (len(labels) == groups) == named
    assert axes.get_ylabel().startswith("dimension" if named else "rank of the dimension")
    boxes = sorted(label.get_window_extent().y0 for label in labels)
    heights = [label.get_window_extent().height for label in labels]
    assert min(np.diff(boxes)) >= 0.8 * max(heights)


def test_a_single_group_is_a_curve_on_a_log_axis_after_pretraining() -> None:
    pytest.importorskip("matplotlib")
    axes = figure("a", lines([8], [9], [8.5]), means(step=0)).axes[0]
    (curve,) = axes.lines
    assert (list(curve.get_xdata()), list(curve.get_ydata())) == ([1, 2, 3], [8, 9, 8.5])
    assert (axes.get_title("left"), axes.get_ylabel()) == ("KL", "KL (nats a sentence)")
    assert (axes.get_yscale(), axes.get_ylim()[0]) == ("linear", 0)
    high = figure("a", lines([400], [9], [8]), means()).axes[0]
    assert high.get_yscale() == "log"
    assert high.get_ylim()[0] == pytest.approx(4)
    gone = figure("a", lines([8], [1e-9], [0]), means()).axes[0]
    assert gone.get_ylim()[0] == latent.RATE_RANGE[0] / 2
    nothing = figure("a", lines([0], [0]), means()).axes[0]
    assert nothing.get_ylim()[0] == 0 < nothing.get_ylim()[1]


def test_a_run_without_rates_shows_a_note() -> None:
    pytest.importorskip("matplotlib")
    left, right, _ = figure("old", lines(None, None), means()).axes
    assert [text.get_text() for text in left.texts] == ["The metrics of this run\nlack the KL of each dimension."]
    assert right.get_title("right") == "4 sentences of valid"


def test_a_star_marks_the_epoch_whose_weights_gave_the_means() -> None:
    pytest.importorskip("matplotlib")
    left, right = figure("a", lines([1, 2], [3, 4], [5, 6]), means(step=20)).axes[:2]
    (star,) = left.lines
    assert (star.get_marker(), star.get_xdata()[0]) == ("*", 2)
    assert right.get_title("right") == "4 sentences of valid, weights of epoch 2 (★)"
    assert not figure("a", lines([1, 2], [3, 4]), means(step=21)).axes[0].lines


def test_points_by_length_lie_in_the_plane_with_a_scale_in_tokens() -> None:
    pytest.importorskip("matplotlib")
    cloud = means(points=np.array([[2.0, 0.0], [-2.0, 0.0]] * 200), labels=np.array([3, *[7, 12] * 199, 90]))
    drawn = figure("a", lines([1, 2]), cloud)
    axes, bar = drawn.axes[1], drawn.axes[3]
    (points,) = axes.collections
    assert np.asarray(points.get_offsets()).tolist() == cloud.points.tolist()
    assert points.get_array().tolist() == cloud.labels.tolist()
    assert points.get_clim() == (7, 12)  # 3 and 90 tokens are rare
    assert bar.get_ylabel() == "sentence length (tokens)"
    assert axes.get_xlabel() == "first principal component (80.0% of the variance)"
    assert axes.get_ylabel() == "second principal component (20.0% of the variance)"
    assert axes.get_aspect() == 1


def test_points_by_factor_have_the_colours_that_the_legend_names() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    drawn = figure("a", lines([1, 2]), means(**TENSE))
    axes = drawn.axes[1]
    (points,) = axes.collections
    past, present, future = (matplotlib.colors.to_rgba(color) for color in pictures.COLORS[:3])
    assert [tuple(color) for color in points.get_facecolor()] == [future, past, past, present]
    legend = axes.get_legend()
    assert legend.get_title().get_text() == "tense"
    assert [text.get_text() for text in legend.get_texts()] == ["past", "present", "future"]
    assert [handle.get_color() for handle in legend.legend_handles] == list(pictures.COLORS[:3])
    drawn.draw_without_rendering()
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())
    assert legend.get_window_extent().x1 <= drawn.bbox.x1


def test_a_legend_shows_values_as_they_are_and_the_rarest_as_others() -> None:
    values = ("$x$", "_hidden", "a very long value of a label, of 50 characters or more", *map(str, range(9)))
    indices = np.array([index for index in range(len(values)) for _ in range(20 - index)])
    kept, names = latent._commonest(Label(("", *values[1:]), indices), 8)
    assert names == ("none", *values[1:7], "other")
    assert np.bincount(kept).tolist() == [*range(20, 13, -1), 13 + 12 + 11 + 10 + 9]
    pytest.importorskip("matplotlib")
    named = means(color="$", labels=np.array([0, 1, 2, 2]), values=values[:3])
    drawn = figure("a", lines([1, 2]), named)
    drawn.draw_without_rendering()
    shown = [text.get_text() for text in drawn.axes[1].get_legend().get_texts()]
    assert shown == [r"\$x\$", " _hidden", "a very long value of a label,…"]


def test_the_axes_cover_the_scale_of_the_prior_for_a_collapsed_posterior() -> None:
    pytest.importorskip("matplotlib")
    for count in (1, 4):
        axes = figure("a", lines([1, 2]), means(points=means().points[:count] / 1e6, variance=(0.0, 0.0)))
        for low, high in (axes.axes[1].get_xlim(), axes.axes[1].get_ylim()):
            assert low <= -1
            assert high >= 1


def test_without_matplotlib_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MachineError, match="matplotlib") as caught:
        latent.picture("a", lines([1, 2]), means())
    assert "pip install '.[plot]'" in caught.value.hint

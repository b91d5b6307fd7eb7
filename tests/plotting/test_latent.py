"""The latent space of a run as a picture: rates over the epochs, means, colours."""

from __future__ import annotations

import dataclasses
import sys
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from seqvae_cli.errors import MachineError
from seqvae_cli.plotting import latent, pictures, projection
from seqvae_cli.plotting.projection import Means
from tests.plotting.lines import SIGNATURES


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


@pytest.mark.parametrize(("groups", "named"), [(64, True), (65, False)])
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
    assert [text.get_text() for text in right.texts] == ["4 sentences of valid"]


def test_a_star_marks_the_epoch_whose_weights_gave_the_means() -> None:
    pytest.importorskip("matplotlib")
    left, right = figure("a", lines([1, 2], [3, 4], [5, 6]), means(step=20)).axes[:2]
    (star,) = left.lines
    assert (star.get_marker(), star.get_xdata()[0]) == ("*", 2)
    assert [text.get_text() for text in right.texts] == ["4 sentences of valid, weights of epoch 2 (★)"]
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
    assert axes.get_xlabel() == "principal component 1 (80.0% of the variance)"
    assert axes.get_ylabel() == "principal component 2 (20.0% of the variance)"
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


def test_a_legend_shows_values_as_they_are_but_short() -> None:
    pytest.importorskip("matplotlib")
    values = ("$x$", "_hidden", "a very long value of a label, of 50 characters or more", "a\x1b[31m\udc80")
    drawn = figure("a", lines([1, 2]), means(color="$", labels=np.array([0, 1, 2, 3]), values=values))
    drawn.draw_without_rendering()
    shown = [text.get_text() for text in drawn.axes[1].get_legend().get_texts()]
    assert shown == [r"\$x\$", " _hidden", "a very long value of a label,…", "a\ufffd[31m\ufffd"]


def test_sentences_without_a_named_value_lie_below_the_others() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    colors = (pictures.COLORS[0], projection.OTHER_COLOR, projection.NO_COLOR)
    cloud = means(color="mood", labels=np.array([0, 2, 0, 1]), values=("good", "other", "none"), palette=colors)
    axes = figure("a", lines([1, 2]), cloud).axes[1]
    (points,) = axes.collections
    assert [matplotlib.colors.to_hex(color) for color in points.get_facecolor()] == [
        projection.NO_COLOR,
        projection.OTHER_COLOR,
        *[pictures.COLORS[0].lower()] * 2,
    ]
    assert np.asarray(points.get_offsets()).tolist() == cloud.points[[1, 3, 0, 2]].tolist()
    assert [handle.get_color() for handle in axes.get_legend().legend_handles] == list(colors)


def test_a_label_of_numbers_is_a_scale_with_its_name() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    drawn = figure("a", lines([1, 2]), means(color="year", labels=np.array([1990.5, np.nan, 2001, 2020])))
    (points,) = drawn.axes[1].collections
    drawn.draw_without_rendering()
    assert matplotlib.colors.to_hex(points.get_facecolor()[1]) == projection.NO_COLOR
    assert drawn.axes[3].get_ylabel() == "year (grey: none)"
    same = figure("a", lines([1, 2]), means(color="year", labels=np.full(4, 7.5)))
    assert same.axes[1].collections[0].get_clim() == (7.5, 8.5)
    assert same.axes[3].get_ylabel() == "year"


def test_the_components_name_the_axes_and_the_source_its_share() -> None:
    pytest.importorskip("matplotlib")
    cloud = means(components=(4, 3), source="$a long name of a file, longer than a title.csv", total=12_345)
    drawn = figure("a", lines([1, 2]), cloud)
    axes = drawn.axes[1]
    assert axes.get_xlabel() == "principal component 4 (80.0% of the variance)"
    assert axes.get_ylabel() == "principal component 3 (20.0% of the variance)"
    (note,) = axes.texts
    assert note.get_text().startswith(r"4 of 12,345 sentences of \$a long name of a file, longe…")
    drawn.draw_without_rendering()
    title = axes._left_title.get_window_extent()
    assert not note.get_window_extent().overlaps(title)
    assert not note.get_window_extent().overlaps(axes.get_window_extent())
    assert note.get_window_extent().x1 <= drawn.bbox.x1
    unnamed = figure("a", lines([1, 2]), means(source=""))
    assert unnamed.axes[1].texts[0].get_text() == "4 sentences"


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
    assert 'pip install "seqvae[plot]"' in caught.value.hint

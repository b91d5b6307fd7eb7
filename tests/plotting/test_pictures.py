"""Learning curves as pictures, with matplotlib."""

from __future__ import annotations

import dataclasses
import math
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.plotting import pictures
from seqvae_cli.plotting.curves import History, Phase
from seqvae_cli.plotting.text import draw_text
from tests.plotting.lines import SIGNATURES, history, metrics


def test_every_run_has_its_own_colour_and_marker() -> None:
    assert len(set(pictures.COLORS)) == len(set(pictures.MARKERS)) == pictures.MAX_RUNS == 8


@pytest.mark.parametrize("kind", pictures.PICTURE_FORMATS)
def test_a_picture_has_its_format_and_is_reproducible(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    first = pictures.picture({"a": history(3)}, ["kl"], kind)
    assert first.startswith(SIGNATURES[kind])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")  # a date would show
    assert pictures.picture({"a": history(3)}, ["kl"], kind) == first


def test_a_picture_neither_uses_nor_changes_matplotlib_settings() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = set(sys.modules)
    plain = pictures.picture({"a": history(2)}, ["kl"], "svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "mine"}):
        assert pictures.picture({"a": history(2)}, ["kl"], "svg") == plain
        assert matplotlib.rcParams["font.size"] == 30
        assert matplotlib.rcParams["svg.hashsalt"] == "mine"
    assert "matplotlib.pyplot" not in set(sys.modules) - before


def test_an_svg_is_well_formed_with_any_run_names() -> None:
    pytest.importorskip("matplotlib")
    root = ET.fromstring(pictures.picture({"a" * 100: history(2), "b.c_d-e": history(1)}, kind="svg"))
    assert root.tag.endswith("svg")


def test_a_figure_has_the_four_panels_with_units_curves_and_the_best_epochs() -> None:
    pytest.importorskip("matplotlib")
    runs = {"a": history(6), "b": history(4, shift=1)}
    kl, reconstruction, both, elbo = pictures.figure(runs).axes
    assert [axes.get_title(loc="left") for axes in (kl, reconstruction, both, elbo)] == [
        "KL",
        "Reconstruction",
        "KL against reconstruction",
        "−ELBO",
    ]
    assert {axes.get_xlabel() for axes in (kl, reconstruction, elbo)} == {"epoch"}
    for axes, words in ((kl, "KL"), (reconstruction, "reconstruction"), (both, "KL"), (elbo, "−ELBO")):
        assert axes.get_ylabel() == f"{words} (nats a sentence)"
    assert both.get_xlabel() == "reconstruction (nats a sentence)"
    curves = [line for line in elbo.lines if len(line.get_xdata()) > 1]
    assert [(line.get_color(), line.get_marker(), line.get_linestyle()) for line in curves] == [
        (pictures.COLORS[0], "o", "--"),
        (pictures.COLORS[1], "s", "--"),
        (pictures.COLORS[0], "o", "-"),
        (pictures.COLORS[1], "s", "-"),
    ]
    assert list(curves[2].get_ydata()) == [line["neg_elbo"] for line in runs["a"].lines]
    stars = [line for line in elbo.lines if line.get_marker() == "*"]
    assert [star.get_xdata()[0] for star in stars] == [6, 4]
    assert [text.get_text() for text in kl.texts] == ["2 points above, to 97 nats"]
    assert kl.get_ylim()[1] < 12


def test_a_legend_names_runs_and_lines_outside_the_panels() -> None:
    pytest.importorskip("matplotlib")
    figure = pictures.figure({"first": history(2), "second": history(2)})
    named = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert named == [["validation", "training", "best epoch", "point beyond the axis"], ["first", "second"]]
    figure.draw_without_rendering()
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("epochs", [1, 2, 16, 200])
def test_every_curve_has_markers_that_do_not_overlap(epochs: int) -> None:
    pytest.importorskip("matplotlib")
    (axes,) = pictures.figure({"a": history(epochs)}, ["reconstruction"]).axes
    marked = [line.get_markevery() for line in axes.lines if line.get_marker() == "o"]
    assert len(marked) == 2
    for indices in marked:
        assert 1 <= len(indices) <= pictures.MAX_MARKERS
        assert indices[0] == 0


def test_a_point_between_two_gaps_is_marked() -> None:
    pytest.importorskip("matplotlib")
    lines = metrics(100)
    for index in (50, 52):
        lines[index]["rate"] = None
    (axes,) = pictures.figure({"a": History(lines, 100)}, ["kl"]).axes
    assert any(51 in line.get_markevery() for line in axes.lines if line.get_marker() == "o")


def test_a_single_epoch_is_centred() -> None:
    pytest.importorskip("matplotlib")
    for axes in pictures.figure({"a": history(1, rate=0.0, train_rate=0.0)}).axes:
        (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert low < high
        assert bottom < top
        if axes.get_xlabel() == "epoch":
            assert low + high == 2
            assert all(tick == round(tick) for tick in axes.get_xticks())


def test_a_panel_without_a_number_is_refused_with_the_names() -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(DataError, match=r"a, b has a number to draw for KL"):
        pictures.picture({"a": history(2, rate=None, train_rate=math.nan), "b": History([])})


@pytest.mark.parametrize(
    ("raised", "words"),
    [(ModuleNotFoundError("no"), "not installed"), (ImportError("libfreetype"), "cannot be loaded: libfreetype")],
)
def test_without_matplotlib_the_error_says_how_to_install_it(
    raised: ImportError, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name.split(".")[0] == "matplotlib":
                raise raised

    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MachineError, match=words) as caught:
        pictures.picture({"a": history(2)})
    assert 'pip install "seqvae[plot]"' in caught.value.hint
    assert draw_text({"a": history(2)})


def test_the_readme_tells_to_install_matplotlib_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MachineError) as caught:
        pictures.picture({"a": history(1)})
    command = caught.value.hint.partition("; ")[0]
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert command.startswith("pip install")
    assert f"`{command}`" in readme


def test_the_star_is_at_the_best_epoch_of_the_run_not_at_the_lowest_loss() -> None:
    pytest.importorskip("matplotlib")
    lines = metrics(9)
    lines[0] |= {"neg_elbo": 1.0, "rate": 0.5, "distortion": 0.5}
    for best, found in ((8, [8]), (None, [])):
        for axes in pictures.figure({"a": History(lines, best)}, ["kl", "elbo"]).axes:
            assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "*"] == found


PHASES = (Phase("pretraining", 0, 2.5), Phase("annealing", 2.5, 4), Phase("aggressive", 4, 90))


def test_phases_are_bars_above_the_panels_of_time_in_the_colour_of_the_run() -> None:
    pytest.importorskip("matplotlib")
    runs = {
        "a": dataclasses.replace(history(6), phases=PHASES),
        "b": dataclasses.replace(history(6), phases=PHASES[:1]),
    }
    figure = pictures.figure(runs)
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.legends[0].get_texts()][4:] == [
        *("autoencoder pretraining", "KL annealing", "aggressive encoder")
    ]
    for axes in figure.axes:
        bars = [line for line in axes.lines if not line.get_clip_on()]
        low, high = axes.get_xlim()
        if axes.get_xlabel() != "epoch":
            assert not bars
            continue
        assert [(list(bar.get_xdata()), bar.get_color()) for bar in bars] == [
            ([low, 2.5], pictures.COLORS[0]),
            ([2.5, 4], pictures.COLORS[0]),
            ([4, high], pictures.COLORS[0]),
            ([low, 2.5], pictures.COLORS[1]),
        ]
        boxes = [bar.get_window_extent() for bar in bars]
        assert min(box.y0 for box in boxes) >= axes.get_window_extent().y1
        assert boxes[0].y0 == boxes[1].y0 < boxes[3].y0
        assert max(box.y1 for box in boxes) < axes.title.get_window_extent().y0 or not axes.title.get_text()


def test_the_entropy_is_a_line_in_the_panel_of_the_elbo() -> None:
    pytest.importorskip("matplotlib")
    runs = {"a": dataclasses.replace(history(6), corpus="toy", entropy=20.0)}
    figure = pictures.figure(runs)
    for axes in figure.axes:
        found = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
        assert found == ([20.0] if "ELBO" in axes.get_title(loc="left") else [])
    assert figure.axes[3].get_ylim()[0] < 20
    assert "entropy of toy" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_arrows_and_notes_cover_neither_points_nor_titles() -> None:
    pytest.importorskip("matplotlib")
    lines = metrics(9)
    for line in lines[:3]:
        line |= {"rate": 300.0, "distortion": 400.0, "neg_elbo": 700.0, "kl_weight": 0.5}
    for line in lines[3:]:
        line["kl_weight"] = 1.0
    figure = pictures.figure({"a": History(lines, 9), "b": history(9, 1.0)})
    figure.draw_without_rendering()
    arrows = 0
    for axes in figure.axes:
        (note,) = axes.texts
        title = next(text for text in axes.get_children() if getattr(text, "get_text", str)() == axes.get_title("left"))
        assert not note.get_window_extent().overlaps(title.get_window_extent())
        curves = [line for line in axes.lines if line.get_marker() in pictures.MARKERS]
        drawn = [axes.transData.transform(point) for line in curves for point in line.get_xydata()]
        inside = [point for point in drawn if axes.bbox.contains(*point)]
        for arrow in (line for line in axes.lines if line.get_marker() in pictures.ARROWS.values()):
            arrows += 1
            ((x, y),) = axes.transData.transform(arrow.get_xydata())
            assert axes.bbox.contains(x, y)
            reach = (pictures.ARROW_SIZE + 5.5) / 2 * figure.dpi / 72  # half of an arrow and of a marker
            assert min(max(abs(x - a), abs(y - b)) for a, b in inside) > reach
    assert arrows > 4

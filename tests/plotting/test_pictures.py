"""Learning curves as pictures, with matplotlib."""

from __future__ import annotations

import math
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.plotting import pictures
from seqvae_cli.plotting.text import draw_text
from tests.plotting.lines import SIGNATURES, metrics


def test_every_run_has_its_own_colour_and_marker() -> None:
    assert len(set(pictures.COLORS)) == len(set(pictures.MARKERS)) == pictures.MAX_RUNS == 8


@pytest.mark.parametrize("kind", pictures.PICTURE_FORMATS)
def test_a_picture_has_its_format_and_is_reproducible(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    first = pictures.picture({"a": metrics(3)}, ["kl"], kind)
    assert first.startswith(SIGNATURES[kind])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")  # a date would show
    assert pictures.picture({"a": metrics(3)}, ["kl"], kind) == first


def test_a_picture_neither_uses_nor_changes_matplotlib_settings() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = set(sys.modules)
    plain = pictures.picture({"a": metrics(2)}, ["kl"], "svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "mine"}):
        assert pictures.picture({"a": metrics(2)}, ["kl"], "svg") == plain
        assert matplotlib.rcParams["font.size"] == 30
        assert matplotlib.rcParams["svg.hashsalt"] == "mine"
    assert "matplotlib.pyplot" not in set(sys.modules) - before


def test_an_svg_is_well_formed_with_any_run_names() -> None:
    pytest.importorskip("matplotlib")
    root = ET.fromstring(pictures.picture({"a" * 100: metrics(2), "b.c_d-e": metrics(1)}, kind="svg"))
    assert root.tag.endswith("svg")


def test_a_figure_has_the_four_panels_with_units_curves_and_the_best_epochs() -> None:
    pytest.importorskip("matplotlib")
    runs = {"a": metrics(6), "b": metrics(4, shift=1)}
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
    assert list(curves[2].get_ydata()) == [line["neg_elbo"] for line in runs["a"]]
    stars = [line for line in elbo.lines if line.get_marker() == "*"]
    assert [star.get_xdata()[0] for star in stars] == [6, 4]
    assert kl.get_title(loc="right") == "2 off the scale, to 97"
    assert kl.get_ylim()[1] < 12


def test_a_legend_names_runs_and_lines_outside_the_panels() -> None:
    pytest.importorskip("matplotlib")
    figure = pictures.figure({"first": metrics(2), "second": metrics(2)})
    named = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert named == [["validation", "training", "best epoch"], ["first", "second"]]
    figure.draw_without_rendering()
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("epochs", [1, 2, 16, 200])
def test_every_curve_has_markers_that_do_not_overlap(epochs: int) -> None:
    pytest.importorskip("matplotlib")
    (axes,) = pictures.figure({"a": metrics(epochs)}, ["reconstruction"]).axes
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
    (axes,) = pictures.figure({"a": lines}, ["kl"]).axes
    assert any(51 in line.get_markevery() for line in axes.lines if line.get_marker() == "o")


def test_a_single_epoch_is_centred() -> None:
    pytest.importorskip("matplotlib")
    for axes in pictures.figure({"a": metrics(1, rate=0.0, train_rate=0.0)}).axes:
        (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert low < high
        assert bottom < top
        if axes.get_xlabel() == "epoch":
            assert low + high == 2
            assert all(tick == round(tick) for tick in axes.get_xticks())


def test_a_panel_without_a_number_is_refused_with_the_names() -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(DataError, match=r"a, b has a number to draw for KL"):
        pictures.picture({"a": metrics(2, rate=None, train_rate=math.nan), "b": []})


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
        pictures.picture({"a": metrics(2)})
    assert "pip install '.[plot]'" in caught.value.hint
    assert draw_text({"a": metrics(2)})


def test_the_readme_tells_to_install_matplotlib_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MachineError) as caught:
        pictures.picture({"a": metrics(1)})
    command = caught.value.hint.partition(" in ")[0]
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert command.startswith("pip install")
    assert f"`{command}`" in readme

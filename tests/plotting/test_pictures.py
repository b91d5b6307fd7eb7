"""Learning curves as pictures and as text."""

from __future__ import annotations

import math
import sys
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.plotting import curves, pictures

SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}


def metrics(epochs: int, shift: float = 0.0, **changes: Any) -> list[dict[str, Any]]:
    """Lines of a run whose losses fall; the first training KL is far off, as under a KL weight near 0."""
    lines = []
    for epoch in range(1, epochs + 1):
        rate, distortion = 8 - 2 / epoch + shift, 25 + 30 / epoch + shift
        line: dict[str, Any] = {"epoch": epoch, "rate": rate, "distortion": distortion, "neg_elbo": rate + distortion}
        train = {"rate": rate + (90 if epoch == 1 else 0.1), "distortion": distortion + 2 / epoch}
        line |= {f"train_{key}": value for key, value in train.items()}
        lines.append(line | {"train_neg_elbo": sum(train.values())} | changes)
    return lines


def test_a_curve_takes_the_keys_of_its_panel_and_split() -> None:
    lines = metrics(2)
    assert curves.curve(lines, curves.PANELS["kl"]) == [(1, 6), (2, 7)]
    assert curves.curve(lines, curves.PANELS["kl"], "train_") == [(1, 96), (2, 7.1)]
    assert curves.curve(lines, curves.PANELS["kl-reconstruction"], "train_") == [(57, 96), (41, 7.1)]
    assert curves.curve(lines, curves.PANELS["elbo"]) == [(1, 61), (2, 47)]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "8", True, [8], 10**400, 1e300])
def test_what_is_no_number_is_a_gap(value: object) -> None:
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
    assert curves.best(lines) == 2
    lines[2]["neg_elbo"] = math.nan
    assert curves.best(lines) == 3
    assert curves.best(metrics(2, neg_elbo=None)) is None


def test_an_axis_always_covers_validation_and_leaves_out_training_far_off() -> None:
    assert curves.span([7.0, 7.5, 8.0, 7.8], [90.0, 7.2, 7.6, 7.7]) == (7.0, 8.0)
    assert curves.span([90.0, 7.5, 8.0, 7.8], [7.1, 7.2, 7.6, 7.7]) == (7.1, 90.0)
    assert curves.span([8.0, 7.0, 7.0, 7.0], [8.9, 7.0, 7.0, 7.0]) == (7.0, 8.9)  # outside the fence, but near
    assert curves.span([5.0], [90.0]) == (5.0, 90.0)
    assert curves.span([], [3.0]) == (3.0, 3.0)
    assert curves.span([4.0], []) == (4.0, 4.0)


def test_runs_have_colours_markers_and_letters_of_their_own() -> None:
    assert len(set(pictures.COLORS)) == len(set(pictures.MARKERS)) == len(set(pictures.LETTERS)) == pictures.MOST == 8


# with matplotlib


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_a_picture_is_of_its_kind_and_the_same_every_time(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    first = pictures.picture({"a": metrics(3)}, ["kl"], kind)
    assert first.startswith(SIGNATURES[kind])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")  # a date would show
    assert pictures.picture({"a": metrics(3)}, ["kl"], kind) == first


def test_a_picture_ignores_the_settings_of_the_user_and_leaves_them_alone() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = set(sys.modules)
    plain = pictures.picture({"a": metrics(2)}, ["kl"], "svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "mine"}):
        assert pictures.picture({"a": metrics(2)}, ["kl"], "svg") == plain
        assert matplotlib.rcParams["font.size"] == 30
        assert matplotlib.rcParams["svg.hashsalt"] == "mine"
    assert "matplotlib.pyplot" not in set(sys.modules) - before


def test_an_svg_is_well_formed_whatever_the_names_of_the_runs() -> None:
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
def test_every_curve_shows_markers_but_not_one_on_top_of_the_other(epochs: int) -> None:
    pytest.importorskip("matplotlib")
    (axes,) = pictures.figure({"a": metrics(epochs)}, ["reconstruction"]).axes
    marked = [line.get_markevery() for line in axes.lines if line.get_marker() == "o"]
    assert len(marked) == 2
    for indices in marked:
        assert 1 <= len(indices) <= pictures.MARKS
        assert indices[0] == 0


def test_a_point_between_two_gaps_is_marked() -> None:
    pytest.importorskip("matplotlib")
    lines = metrics(100)
    for index in (50, 52):
        lines[index]["rate"] = None
    (axes,) = pictures.figure({"a": lines}, ["kl"]).axes
    assert any(51 in line.get_markevery() for line in axes.lines if line.get_marker() == "o")


def test_a_single_epoch_stands_in_the_middle() -> None:
    pytest.importorskip("matplotlib")
    for axes in pictures.figure({"a": metrics(1, rate=0.0, train_rate=0.0)}).axes:
        (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert low < high
        assert bottom < top
        if axes.get_xlabel() == "epoch":
            assert low + high == 2
            assert all(tick == round(tick) for tick in axes.get_xticks())


@pytest.mark.parametrize("draw", [pictures.picture, pictures.text])
def test_a_panel_without_a_number_is_refused_with_the_names(draw: Any) -> None:
    if draw is pictures.picture:
        pytest.importorskip("matplotlib")
    with pytest.raises(DataError, match=r"a, b has a number to draw for KL"):
        draw({"a": metrics(2, rate=None, train_rate=math.nan), "b": []})


@pytest.mark.parametrize(
    ("raised", "words"),
    [(ModuleNotFoundError("no"), "not installed"), (ImportError("libfreetype"), "cannot be loaded: libfreetype")],
)
def test_without_matplotlib_the_error_says_how_to_get_it(
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
    assert "pip install 'seqvae[plot]'" in caught.value.hint
    assert pictures.text({"a": metrics(2)})


# in the terminal


@pytest.mark.parametrize(("width", "height"), [(24, 5), (40, 24), (70, 20), (80, 23), (80, 60), (200, 50)])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_text_is_ascii_and_keeps_to_the_width(width: int, height: int, count: int) -> None:
    lines = pictures.text({f"run-{i}": metrics(3 + i, i) for i in range(count)}, width=width, height=height)
    assert max(map(len, lines)) <= width
    assert all(line.isascii() and line.isprintable() for line in lines)
    if width >= pictures.SIDE_BY_SIDE and height >= 23:
        assert height - 1 <= len(lines) <= height


def test_text_shows_capitals_for_validation_small_letters_for_training_and_the_best_epoch() -> None:
    lines = pictures.text({"one": metrics(9), "two": metrics(5, shift=3)}, ["reconstruction"], width=80, height=30)
    head, body, foot = lines[0], lines[1:-4], lines[-4:]
    assert head.rstrip() == "Reconstruction"
    assert foot[-2] == "A=one   B=two"
    assert foot[1].split() == ["1", "epoch", "9"]
    rows = [line.partition("|")[2] for line in body]
    assert sum(row.count("*") for row in rows) == 2
    assert sum(row.count("A") for row in rows) == 8
    assert sum(row.count("B") for row in rows) == 4
    assert sum(row.count("a") for row in rows) >= 2
    best = next(row for row in reversed(rows) if "*" in row)
    assert best.rindex("*") == 80 - 8 - 1  # epoch 9 is the last column
    high, low = (float(line.partition("|")[0]) for line in (body[0], body[-1]))
    assert high == 57 + 3
    assert low == pytest.approx(metrics(9)[-1]["distortion"], rel=1e-3)


def test_text_tells_what_is_off_the_scale() -> None:
    head, top = pictures.text({"one": metrics(9)}, ["kl"], width=60, height=20)[:2]
    assert head.endswith("1 off the scale, to 96")
    assert top.partition("|")[2].startswith("^")


def test_epochs_before_the_full_kl_weight_may_be_off_the_scale_and_the_kl_begins_at_0() -> None:
    lines = [line | {"kl_weight": min(1.0, line["epoch"] / 4)} for line in metrics(9)]
    assert curves.annealed(lines) == [False] * 3 + [True] * 6
    assert curves.annealed(lines[:5]) == [True] * 5, "two at the full weight make no picture"
    assert curves.annealed(metrics(4)) == [True] * 4, "a file of an older version does not say"
    for line in lines[:3]:
        line["rate"] = line["train_rate"] = 300.0
    head, *body = pictures.text({"one": lines}, ["kl"], width=60, height=20)
    assert head.endswith("6 off the scale, to 300")
    limits = [line.partition("|")[0] for line in body if "|" in line]
    high, low = float(limits[0]), float(limits[-1])
    assert (high, low) == (pytest.approx(7.88, abs=0.01), 0)
    for line in lines[3:]:
        line["rate"] = line["train_rate"] = math.nan
    assert pictures.text({"one": lines}, ["kl"], width=60, height=20)[0].rstrip() == "KL", (
        "else there is nothing to show"
    )


def test_text_leaves_gaps_open() -> None:
    lines = metrics(9)
    for line in lines[3:6]:
        line["rate"] = line["train_rate"] = math.nan
    rows = [line.partition("|")[2].ljust(72) for line in pictures.text({"one": lines}, ["kl"], height=20)[1:-4]]
    columns = ["".join(column).strip() for column in zip(*rows, strict=True)]
    assert all(columns[:19])  # epoch 3 in column 18, epoch 7 in 53
    assert not any(columns[19:53])
    assert all(columns[53:])

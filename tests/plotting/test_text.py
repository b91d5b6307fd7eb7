"""Learning curves in ASCII."""

from __future__ import annotations

import dataclasses
import math

import pytest

from seqvae_cli.errors import DataError
from seqvae_cli.plotting import curves
from seqvae_cli.plotting.curves import History, Phase
from seqvae_cli.plotting.pictures import MAX_RUNS
from seqvae_cli.plotting.text import LETTERS, SIDE_BY_SIDE, draw_text
from tests.plotting.lines import history, metrics


def test_every_run_of_a_picture_has_a_letter() -> None:
    assert len(set(LETTERS)) == MAX_RUNS


def test_a_panel_without_a_number_is_refused_with_the_names() -> None:
    with pytest.raises(DataError, match=r"a, b has a number to draw for KL"):
        draw_text({"a": history(2, rate=None, train_rate=math.nan), "b": History([])})


@pytest.mark.parametrize(("width", "height"), [(24, 5), (40, 24), (70, 20), (80, 23), (80, 60), (200, 50)])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_text_is_ascii_and_keeps_to_the_width(width: int, height: int, count: int) -> None:
    lines = draw_text({f"run-{i}": history(3 + i, i) for i in range(count)}, width=width, height=height)
    assert max(map(len, lines)) <= width
    assert all(line.isascii() and line.isprintable() for line in lines)
    if width >= SIDE_BY_SIDE and height >= 23:
        assert height - 1 <= len(lines) <= height


def test_text_shows_capitals_for_validation_small_letters_for_training_and_the_best_epoch() -> None:
    lines = draw_text({"one": history(9), "two": history(5, shift=3)}, ["reconstruction"], width=80, height=30)
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


def test_text_notes_points_off_the_scale() -> None:
    head, top = draw_text({"one": history(9)}, ["kl"], width=60, height=20)[:2]
    assert head.endswith("1 point above, to 96 nats")
    assert top.partition("|")[2].startswith("^")


def test_epochs_before_the_full_kl_weight_may_be_off_the_scale_and_the_kl_begins_at_0() -> None:
    lines = [line | {"kl_weight": min(1.0, line["epoch"] / 4)} for line in metrics(9)]
    assert curves.at_full_kl_weight(lines) == [False] * 3 + [True] * 6
    assert curves.at_full_kl_weight(lines[:5]) == [True] * 5, "two at the full weight make no picture"
    assert curves.at_full_kl_weight(metrics(4)) == [True] * 4, "a file of an older version does not say"
    for line in lines[:3]:
        line["rate"] = line["train_rate"] = 300.0
    head, *body = draw_text({"one": History(lines, 9)}, ["kl"], width=60, height=20)
    assert head.endswith("6 points above, to 300 nats")
    limits = [line.partition("|")[0] for line in body if "|" in line]
    high, low = float(limits[0]), float(limits[-1])
    assert (high, low) == (pytest.approx(7.88, abs=0.01), 0)
    for line in lines[3:]:
        line["rate"] = line["train_rate"] = math.nan
    assert draw_text({"one": History(lines, 9)}, ["kl"], width=60, height=20)[0].rstrip() == "KL", (
        "else there is nothing to show"
    )


def test_text_shows_gaps() -> None:
    lines = metrics(9)
    for line in lines[3:6]:
        line["rate"] = line["train_rate"] = math.nan
    rows = [line.partition("|")[2].ljust(72) for line in draw_text({"one": History(lines, 9)}, ["kl"], height=20)[1:-4]]
    columns = ["".join(column).strip() for column in zip(*rows, strict=True)]
    assert all(columns[:19])  # epoch 3 in column 18, epoch 7 in 53
    assert not any(columns[19:53])
    assert all(columns[53:])


def test_text_names_the_phases_of_each_run_and_draws_the_entropy() -> None:
    phases = (Phase("pretraining", 0, 1.25), Phase("annealing", 1.25, 3), Phase("annealing", 4, 5.5))
    runs = {"one": dataclasses.replace(history(9), phases=phases, corpus="toy", entropy=20.0), "two": history(9)}
    *lines, names, told, key = draw_text(runs, ["elbo"], width=120, height=20)
    assert names == "A=one   B=two"
    assert told == "A: autoencoder pretraining to epoch 1.25, KL annealing to epoch 3, 5.5"
    assert key.endswith("; -: entropy of toy")
    bottom = next(line for line in lines if line.lstrip().startswith("20|"))
    assert bottom.partition("|")[2] == "-" * (120 - 8)
    assert "entropy" not in draw_text(runs, ["kl"], width=120)[-1]


def test_arrows_in_text_cover_no_point() -> None:
    lines = metrics(9)
    lines[0]["rate"] = 8.9  # the highest point that is drawn, in the column of the arrow
    top = draw_text({"one": History(lines, 9)}, ["kl"], width=60, height=20)[1]
    assert top.partition("|")[2].startswith("A")

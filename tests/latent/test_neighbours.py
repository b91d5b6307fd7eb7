"""Neighbours agree with brute force for every metric, whatever the blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from seqvae_cli.api import Model, load
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.latent import neighbours
from seqvae_cli.latent.code_sets import row_type
from seqvae_cli.latent.neighbours import METRICS, search

Found = tuple[NDArray[np.float64], NDArray[np.int64]]


def euclidean(q: Any, p: Any) -> float:
    return float(np.linalg.norm(q[0] - p[0]))


def cosine(q: Any, p: Any) -> float:
    return float(1 - q[0] @ p[0] / np.linalg.norm(q[0]) / np.linalg.norm(p[0]))


def kl(q: Any, p: Any) -> float:
    first, second = (torch.distributions.Normal(*map(torch.from_numpy, one)) for one in (q, p))
    return float(torch.distributions.kl_divergence(first, second).sum())


KNOWN = {"euclidean": euclidean, "cosine": cosine, "kl": kl}


def codes(count: int, size: int, seed: int) -> NDArray[Any]:
    draw, rows = np.random.default_rng(seed), np.zeros(count, row_type(size))
    rows["mean"] = draw.normal(size=(count, size)) * draw.uniform(0.01, 3, size)
    rows["scale"] = draw.uniform(0.1, 1.5, (count, size))
    rows["place"] = np.arange(count)
    return rows


def found(queries: NDArray[Any], rows: NDArray[Any], n: int, metric: str) -> Found:
    return search(queries["mean"], queries["scale"], rows, n, METRICS[metric])


def brute_force(queries: NDArray[Any], rows: NDArray[Any], n: int, metric: str) -> Found:
    exact = [[one[name].astype(np.float64) for name in ("mean", "scale")] for one in rows]
    asked = [[one[name].astype(np.float64) for name in ("mean", "scale")] for one in queries]
    distances = np.array([[KNOWN[metric](q, p) for p in exact] for q in asked])
    order = np.argsort(distances, axis=1, kind="stable")[:, :n]
    return np.take_along_axis(distances, order, axis=1), order


@pytest.mark.parametrize("size", [1, 3, 32])
@pytest.mark.parametrize("metric", METRICS)
def test_it_is_what_brute_force_finds(metric: str, size: int) -> None:
    rows, queries = codes(150, size, 1), codes(8, size, 2)
    distances, places = found(queries, rows, 7, metric)
    expected, order = brute_force(queries, rows, 7, metric)
    np.testing.assert_allclose(distances, expected, atol=1e-9)
    if metric != "cosine" or size > 1:  # in one dimension every cosine is 1 or -1
        assert places.tolist() == order.tolist()
    assert (np.diff(distances, axis=1) >= 0).all()


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_of_any_size_give_the_same_answer(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, queries = codes(60, 5, 3), codes(6, 5, 4)
    rows[20:40] = rows[:20]  # ties
    whole = found(queries, rows, 9, metric)
    for block, pairs, refined in ((1, 2**20, 3), (7, 2**20, 64), (60, 20, 5)):
        monkeypatch.setattr(neighbours, "ROWS", block)
        monkeypatch.setattr(neighbours, "PAIRS", pairs)
        monkeypatch.setattr(neighbours, "REFINED", refined)
        for one, other in zip(whole, found(queries, rows, 9, metric), strict=True):
            assert one.tolist() == other.tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_equal_codes_have_the_distance_0_and_come_in_the_order_of_their_places(metric: str) -> None:
    rows = codes(40, 32, 5)
    rows["mean"] *= 1000  # large numbers, whose squares cancel
    rows[[11, 30]] = rows[17]
    distances, places = found(rows[17:18], rows, 3, metric)
    assert distances.tolist() == [[0, 0, 0]]
    assert places.tolist() == [[11, 17, 30]]
    rows[:] = rows[0]  # a collapsed code
    assert found(rows[:2], rows, 5, metric)[1].tolist() == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("metric", METRICS)
def test_the_smallest_differences_decide(metric: str) -> None:
    """Codes that differ in the last bits of float32: a matrix product in float32 could not order them."""
    rows = codes(1, 8, 6).repeat(30)
    rows["mean"][:, 0] = 100 + np.arange(30)[::-1] * np.float32(2**-17)
    assert found(rows[-1:], rows, 4, metric)[1].tolist() == [[29, 28, 27, 26]]


def test_extreme_scales_and_codes_of_zeros_have_an_answer() -> None:
    rows = codes(6, 4, 7)
    rows["scale"][1], rows["scale"][2] = 1e-38, 1e30
    rows["mean"][3] = 0
    for metric in METRICS:
        distances, places = found(rows, rows, 6, metric)
        assert not np.isnan(distances).any()
        assert sorted(places[0].tolist()) == list(range(6))
    assert found(rows[:1], rows, 6, "cosine")[0].max() <= 2
    assert set(found(rows[3:4], rows, 6, "cosine")[0].ravel()) == {1.0}


def test_there_are_never_more_than_there_are_candidates() -> None:
    distances, places = found(codes(2, 3, 8), codes(4, 3, 9), 10, "euclidean")
    assert distances.shape == places.shape == (2, 4)
    assert sorted(places[0].tolist()) == [0, 1, 2, 3]


# A model's neighbours


@pytest.fixture
def model(trained_home: Path) -> Model:
    assert trained_home.is_dir()
    return load("tiny-run")


def test_a_sentence_is_its_own_neighbour_and_repeated_ones_are_listed_once(model: Model) -> None:
    given = ["a dog likes it", "", "the cat sees the sea", "a dog  likes it", "my sister paints people"]
    (near,) = model.neighbours(["the cat sees the sea"], given, n=9)
    assert near[0].sentence == "the cat sees the sea"
    assert near[0].distance == pytest.approx(0, abs=1e-6)
    assert sorted(one.place for one in near) == [0, 2, 4]
    assert (near[0].id, near[0].labels) == (None, {})


def test_a_stream_a_list_and_codes_find_the_same(model: Model) -> None:
    asked = ["the cat sees it", "a dog likes it"]
    listed = model.neighbours(asked, "valid", n=3)
    assert [len(near) for near in listed] == [3, 3]
    streamed = list(model.neighbours_stream([asked[0], " ", asked[1]], model.candidates("valid"), n=3))
    assert streamed == [(asked[0], listed[0]), (" ", None), (asked[1], listed[1])]
    assert model.neighbours(model.encode(asked), "valid", n=3) == listed
    assert model.neighbours([], "valid") == []


def test_a_split_knows_its_sentences(model: Model) -> None:
    corpus = model.corpus()
    (near,) = model.neighbours(["the cat sees it"], "test", n=4)
    for one in near:
        assert one.sentence == corpus.tokenizer.decode(corpus.split("test")[one.place])
        assert np.linalg.norm(model.encode(["the cat sees it"]) - model.encode([one.sentence])) == pytest.approx(
            one.distance, abs=1e-5
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 0}, "n is 0"),
        ({"n": 2.5}, "n is 2.5"),
        ({"metric": "euclidian"}, "no metric 'euclidian'"),
        ({"metric": ["kl"]}, "no metric"),
        ({"among": "dev"}, "no split 'dev'"),
        ({"among": 7}, "sentences are 7"),
        ({"among": [7]}, "7 is not a sentence"),
        ({"queries": "the cat"}, "one sentence is given"),
        ({"queries": [""]}, "a sentence is empty"),
        ({"queries": np.ones((1, 3))}, "codes of shape"),
        ({"queries": np.ones((1, 4)), "metric": "kl"}, "a code alone has no scale"),
    ],
)
def test_bad_arguments_are_told(model: Model, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        model.neighbours(**{"queries": ["the cat sees it"], **options})


def test_without_candidates_and_with_those_of_another_model_there_is_no_answer(model: Model) -> None:
    with pytest.raises(DataError, match="no sentences in the list"):
        model.neighbours(["the cat sees it"], ["", " "])
    other = model.candidates(["the cat"])
    narrow = type(other)(other.candidates, codes(1, 3, 0), other.texts, other.tally)
    with pytest.raises(UsageError, match="3 latent dimensions, not 4"):
        model.neighbours(["the cat sees it"], narrow)


def test_kl_takes_a_gaussian_posterior(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.network, "settings", model.network.settings.model_copy(update={"posterior": "vmf"}))
    with pytest.raises(UsageError, match="kl is not defined for a vmf posterior") as caught:
        model.neighbours(["the cat sees it"], metric="kl")
    assert caught.value.hint == "use euclidean or cosine"


def test_what_overflows_bounds_nothing() -> None:
    least, most = neighbours._bounds(np.array([[1e200, 1.0]]), np.array([[1e200, 0.0], [0.5, 2.0]]))
    assert (least[0, 0], most[0, 0]) == (-np.inf, np.inf)
    assert least[0, 1] < 0.5e200 + 2 <= most[0, 1]

"""Paths from one code to another: their shape, and where their steps are."""

from __future__ import annotations

import itertools
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqvae_cli.data.tokenizer import UNK
from seqvae_cli.errors import UsageError
from seqvae_cli.latent import generate, paths
from seqvae_cli.latent.paths import edit_distance, even_steps, linear_path, spherical_path, walk
from seqvae_cli.latent.strategy import Strategy
from tests.latent.test_generate import build, codes

VECTORS = st.lists(st.floats(-5, 5, width=32), min_size=4, max_size=4).map(torch.tensor)


@pytest.mark.parametrize("path", [*paths.PATHS])
@settings(max_examples=100, deadline=None)
@given(VECTORS, VECTORS, st.integers(2, 12))
def test_a_path_begins_and_ends_exactly(path: str, first: Tensor, last: Tensor, steps: int) -> None:
    before = first.clone(), last.clone()
    made = paths.PATHS[path](first, last, steps)
    assert made.shape == (steps, 4)
    assert made.dtype == first.dtype
    assert torch.equal(made[0], first)
    assert torch.equal(made[-1], last)
    assert bool(made.isfinite().all())
    assert torch.equal(first, before[0])
    assert torch.equal(last, before[1])


def test_a_linear_path_has_equal_steps() -> None:
    first, last = codes(2)
    made = linear_path(first, last, 11)
    torch.testing.assert_close(made.diff(dim=0), ((last - first) / 10).expand(10, -1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(made[5], (first + last) / 2)


@pytest.mark.parametrize("degrees", [10, 60, 90, 120, 170, 178])
def test_a_spherical_path_between_equal_lengths_keeps_the_length_and_turns_evenly(degrees: float) -> None:
    angle = math.radians(degrees)
    first, last = torch.tensor([2.0, 0.0, 0.0]), 2 * torch.tensor([math.cos(angle), math.sin(angle), 0.0])
    made = spherical_path(first, last, 9)
    torch.testing.assert_close(made.norm(dim=1), torch.full((9,), 2.0), rtol=1e-3, atol=0)
    turned = torch.atan2(made[:, 1], made[:, 0])
    torch.testing.assert_close(turned, torch.linspace(0, angle, 9), rtol=1e-3, atol=1e-4)


def test_a_spherical_path_blends_the_lengths_of_its_ends() -> None:
    for degrees, length in itertools.product((20, 60, 90, 120, 170, 178), (0.5, 1.5, 10.0)):
        angle = math.radians(degrees)
        first, last = torch.tensor([1.0, 0.0]), length * torch.tensor([math.cos(angle), math.sin(angle)])
        norms = spherical_path(first, last, 9).norm(dim=1)
        torch.testing.assert_close(norms, torch.linspace(1, length, 9), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("factor", [1.0, 3.0, -1.0, -0.5])
def test_a_spherical_path_is_straight_where_there_is_no_one_circle(factor: float) -> None:
    first = torch.tensor([1.0, -2.0, 0.5])
    made = spherical_path(first, factor * first, 6)
    torch.testing.assert_close(made, linear_path(first, factor * first, 6))


def test_a_path_between_nothings_is_nothing() -> None:
    for path in paths.PATHS.values():
        assert not path(torch.zeros(3), torch.zeros(3), 4).any()
        to_nothing = path(torch.tensor([3.0, 0.0, 0.0]), torch.zeros(3), 4)
        assert not to_nothing[:, 1:].any()
        assert (to_nothing[:, 0].diff() < 0).all()


@pytest.mark.parametrize("path", [*paths.PATHS])
def test_the_two_ends_can_be_swapped(path: str) -> None:
    first, last = codes(2)
    there, back = paths.PATHS[path](first, last, 7), paths.PATHS[path](last, first, 7)
    torch.testing.assert_close(there, back.flip(0))


# the sentences along them


@pytest.mark.parametrize("kind", [*paths.PATHS])
def test_a_walk_says_what_is_decoded_at_equal_steps(kind: str) -> None:
    model = build(seed=5)
    first, last = codes(2)
    walked = walk(model, first, last, 6, kind=kind, start=[5], max_len=9)
    assert walked.positions == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert walked.sentences == generate.decode(model, paths.PATHS[kind](first, last, 6), start=[5], max_len=9)
    assert len(set(map(tuple, walked.sentences))) > 1


def test_a_walk_takes_the_default_path_and_refuses_an_unknown_one() -> None:
    first, last = codes(2)
    for model, kind in ((build(seed=5), "linear"), (build(seed=6, posterior="vmf"), "spherical")):
        assert walk(model, first, last, 7) == walk(model, first, last, 7, kind=kind)
    with pytest.raises(UsageError, match="no path 'curved'"):
        walk(model, first, last, 7, kind="curved")
    with pytest.raises(UsageError, match="of 1 steps"):
        walk(model, first, last, 1)
    with pytest.raises(UsageError, match="randomly drawn"):
        walk(model, first, last, 7, Strategy())


def test_a_walk_is_decoded_as_asked() -> None:
    model, (first, last) = build(seed=5), codes(2)
    with torch.no_grad():
        model.decoder.vocabulary.bias[UNK] += 3
    for strategy in (Strategy(beam=3), Strategy(greedy=True, unk=False)):
        walked = walk(model, first, last, 6, strategy, max_len=9)
        assert walked.sentences == generate.decode(model, paths.linear_path(first, last, 6), strategy, max_len=9)
        assert walked != walk(model, first, last, 6, max_len=9)


@pytest.mark.parametrize("steps", [2, 5, 11])
def test_an_even_walk_is_part_of_a_finer_one_with_its_ends(steps: int) -> None:
    model = build(seed=5)
    for seed in range(8):
        first, last = codes(2, seed)
        fine = walk(model, first, last, paths.CANDIDATES_A_STEP * (steps - 1) + 1)
        walked = walk(model, first, last, steps, even=True)
        there = dict(zip(fine.positions, fine.sentences, strict=True))
        assert [there[position] for position in walked.positions] == walked.sentences
        assert walked.positions == sorted(set(walked.positions))
        assert len(walked.positions) == steps
        assert (walked.positions[0], walked.positions[-1]) == (0, 1)


def test_even_walks_change_more_evenly() -> None:
    model = build(seed=5)
    spreads: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(30):
        first, last = codes(2, seed)
        for even, found in spreads.items():
            sentences = walk(model, first, last, 6, even=even).sentences
            edits = [edit_distance(*neighbours) for neighbours in pairwise(sentences)]
            found.append(max(edits) / max(1, sum(edits)))
    assert np.mean(spreads[True]) < np.mean(spreads[False]) - 0.02


def test_even_steps_by_hand() -> None:
    a, b, c, d = [4], [5], [5, 6, 7], [8, 9, 8]
    # Edits from the start: 0 0 0 0 1 3 6, so that thirds of them are nearest at 4 or 5, and at 5.
    assert even_steps([a, a, a, a, b, c, d], 4) == [0, 4, 5, 6]
    assert even_steps([a] * 9, 5) == [0, 2, 4, 6, 8]  # nothing changes: equal steps
    assert even_steps([a, b, b, b, b, b, b, b, d], 3) == [0, 4, 8]  # edits 0 1 … 1 4: all as near, the middle one
    assert even_steps([a, a, a, a, a, a, a, a, d], 5) == [0, 2, 4, 6, 8]  # edits only at the end: all as far
    assert even_steps([a, b, b, b, a, a, c, c, c], 3) == [
        0,
        4,
        8,
    ]  # edits 0 1 1 1 2 2 5 5 5: 2 is nearest to half of them
    assert even_steps([a, d], 2) == [0, 1]
    assert even_steps([a, b, c, d], 4) == [0, 1, 2, 3]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(4, 6), max_size=3), min_size=5, max_size=25), st.integers(2, 5))
def test_even_steps_are_the_nearest_of_all_that_leave_room(sentences: list[list[int]], steps: int) -> None:
    chosen, final = even_steps(sentences, steps), len(sentences) - 1
    assert len(chosen) == steps
    assert (chosen[0], chosen[-1]) == (0, final)
    assert all(first < second for first, second in pairwise(chosen))
    edits = [sum(edit_distance(*pair) for pair in pairwise(sentences[: i + 1])) for i in range(final + 1)]
    for step in range(1, steps - 1):
        share = edits[-1] * step / (steps - 1)
        free = range(chosen[step - 1] + 1, final - (steps - 1 - step) + 1)
        assert abs(edits[chosen[step]] - share) == min(abs(edits[i] - share) for i in free)


def test_many_walks_are_one_after_another() -> None:
    model = build(seed=5)
    ends = [tuple(codes(2, seed)) for seed in range(60)]  # more codes than are decoded at once
    found = list(paths.walks(model, ends, 6))
    assert found == [walk(model, first, last, 6).sentences for first, last in ends]


def test_edit_distance_by_hand() -> None:
    assert edit_distance(list(map(ord, "kitten")), list(map(ord, "sitting"))) == 3
    assert edit_distance([4, 5, 6], [4, 5, 6]) == 0
    assert edit_distance([], [4, 5]) == edit_distance([4, 5], []) == 2
    assert edit_distance([], []) == 0
    assert edit_distance([4, 5, 6], [5, 6, 4]) == 2


def test_edit_distance_is_a_distance() -> None:
    random = np.random.default_rng(0)
    texts = [random.integers(4, 8, length).tolist() for length in random.integers(0, 9, 12)]
    for a in texts:
        for b in texts:
            found = edit_distance(a, b)
            assert found == edit_distance(b, a)
            assert (found == 0) == (a == b)
            assert abs(len(a) - len(b)) <= found <= max(len(a), len(b))
            assert all(found <= edit_distance(a, c) + edit_distance(c, b) for c in texts)

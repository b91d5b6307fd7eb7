"""Sentences of similar length -> batches of padded tensors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqvae_cli.data import batching, windows
from seqvae_cli.data.batching import Batch, Indices, by_length, collate, epoch_order, length_sorted
from seqvae_cli.data.tokenizer import EOS, PAD

LENGTHS = st.lists(st.integers(0, 60), max_size=80).map(lambda values: np.array(values, dtype=np.int64))


def sentence(*ids: int) -> NDArray[np.int64]:
    return np.array(ids, dtype=np.int64)


def some_lengths(count: int = 500, longest: int = 40) -> Indices:
    return np.random.default_rng(3).integers(0, longest, count)


def numbered(lengths: Indices) -> list[NDArray[np.int64]]:
    """Sentences that show their position: sentence i consists of words 10 + i."""
    return [np.full(int(length), 10 + i, dtype=np.int64) for i, length in enumerate(lengths)]


# --- collate


def test_sentences_end_with_eos_and_are_padded_on_the_right() -> None:
    batch = collate([sentence(7, 8, 9), sentence(), sentence(5)])
    assert batch.tokens.tolist() == [[7, 8, 9, EOS], [EOS, PAD, PAD, PAD], [5, EOS, PAD, PAD]]
    assert batch.lengths.tolist() == [4, 1, 2]
    assert (batch.tokens.dtype, batch.lengths.dtype) == (torch.int64, np.int64)
    assert batch.words.tolist() == [7, 8, 9, EOS, EOS, 5, EOS]
    assert len(batch) == 3


@pytest.mark.parametrize("max_len", [1, 2, 3, 4, 2**31])
def test_max_len_truncates_words_and_keeps_eos(max_len: int) -> None:
    batch = collate([sentence(7, 8, 9), sentence(4), sentence()], max_len)
    for row, ids in enumerate([[7, 8, 9], [4], []]):
        kept = [*ids[:max_len], EOS]
        assert batch.tokens[row, : len(kept)].tolist() == kept
        assert batch.lengths[row] == len(kept)
        assert (batch.tokens[row, len(kept) :] == PAD).all()
    assert batch.tokens.size(1) == min(3, max_len) + 1


def test_max_len_zero_keeps_all_words() -> None:
    assert collate([np.arange(4, 10_004)]).tokens.shape == (1, 10_001)


@pytest.mark.parametrize(
    ("lengths", "ragged"),
    [([3, 3], False), ([3], False), ([0, 0], False), ([0], False), ([3, 2], True), ([0, 1], True)],
)
def test_ragged_tells_whether_a_batch_has_padding(lengths: list[int], ragged: bool) -> None:
    batch = collate(numbered(np.array(lengths)))
    assert batch.ragged is ragged
    assert bool((batch.tokens == PAD).any()) is ragged


def test_truncation_can_remove_the_padding() -> None:
    assert collate([sentence(4, 5, 6), sentence(7, 8)]).ragged
    assert not collate([sentence(4, 5, 6), sentence(7, 8)], max_len=2).ragged


def test_collating_copies_its_sentences() -> None:
    ids = sentence(4, 5, 6)
    ids.flags.writeable = False  # like a memory map
    batch = collate([ids])
    batch.tokens[0, 0] = 9
    assert ids.tolist() == [4, 5, 6]


def test_a_batch_moves_as_a_whole() -> None:
    batch = collate([sentence(4, 5), sentence(6)])
    moved = batch.to(torch.device("meta"))
    assert moved.tokens.device.type == moved.mask.device.type == moved.places.device.type == "meta"
    assert moved.repeat(3).tokens.device.type == "meta"
    assert (moved.ragged, moved.words.tolist()) == (batch.ragged, batch.words.tolist())
    assert batch.to(torch.device("cpu")).tokens is batch.tokens


def test_a_repeated_batch_holds_each_sentence_several_times_in_a_row() -> None:
    sentences = [sentence(4, 5), sentence(), sentence(6, 7, 8)]
    repeated, expected = collate(sentences).repeat(3), collate([ids for ids in sentences for _ in range(3)])
    assert repeated.tokens.tolist() == expected.tokens.tolist()
    assert repeated.lengths.tolist() == expected.lengths.tolist()
    assert repeated.words.tolist() == expected.words.tolist()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=20), st.integers(0, 5))
def test_the_mask_is_true_at_all_tokens_and_false_at_padding(lengths: list[int], further: int) -> None:
    batch = collate(numbered(np.array(lengths, dtype=np.int64)))
    assert batch.mask.dtype == torch.bool
    assert torch.equal(batch.mask, batch.tokens != PAD)  # no sentence has a word of that id
    assert batch.mask.sum(1).tolist() == batch.lengths.tolist() == [length + 1 for length in lengths]
    assert bool(batch.mask.all()) is not batch.ragged
    # The mask follows the lengths, not the tokens.
    wider = Batch(np.pad(batch.ids, ((0, 0), (0, further)), constant_values=9), batch.lengths)
    assert torch.equal(wider.mask, torch.nn.functional.pad(batch.mask, (0, further)))
    assert wider.tokens.flatten()[wider.places].tolist() == wider.words.tolist() == batch.words.tolist()


# --- the order of an epoch


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(1, 20), st.integers(0, 200), st.integers(0, 2**63 - 1), st.integers(0, 50))
def test_every_sentence_occurs_exactly_once_an_epoch(
    lengths: Indices, batch_size: int, batch_tokens: int, seed: int, epoch: int
) -> None:
    batches = epoch_order(lengths, batch_size, batch_tokens, seed=seed, epoch=epoch)
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(lengths)))
    assert all(len(batch) for batch in batches)


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(1, 200))
def test_no_batch_exceeds_its_tokens_unless_one_sentence_does(lengths: Indices, batch_tokens: int) -> None:
    batches = by_length(lengths, 7, batch_tokens)
    costs = [collate([np.zeros(lengths[i], np.int64) for i in rows]).tokens.numel() for rows in batches]
    assert all(cost <= batch_tokens or len(rows) == 1 for rows, cost in zip(batches, costs, strict=True))
    for rows, following in pairwise(batches):
        # As many as fit: the next longer sentence would exceed the tokens.
        assert (len(rows) + 1) * (int(lengths[following[0]]) + 1) > batch_tokens


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.integers(1, 20))
def test_all_batches_but_one_have_batch_size_sentences(lengths: Indices, batch_size: int) -> None:
    sizes = sorted(len(rows) for rows in epoch_order(lengths, batch_size, seed=0, epoch=0))
    assert all(size == batch_size for size in sizes[1:])
    assert all(0 < size <= batch_size for size in sizes)


@pytest.mark.parametrize("batch_tokens", [0, 128])
def test_seed_and_epoch_decide_the_order(batch_tokens: int) -> None:
    lengths = some_lengths()

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [rows.tolist() for rows in epoch_order(lengths, 16, batch_tokens, seed=seed, epoch=epoch)]

    assert order(1, 1) == order(1, 1)
    np.random.default_rng(1).random(5)
    torch.manual_seed(9)
    assert order(1, 1) == order(1, 1)  # other random streams have no effect
    others = [order(1, 2), order(2, 1), order(0, 1), order(1, 0)]
    for other in others:
        assert other != order(1, 1)
        assert sorted(map(sorted, other)) != sorted(
            map(sorted, order(1, 1))
        )  # other batches, not only another order of them
    assert order(1, 2) != order(2, 1)


def test_a_long_sentence_is_not_batched_with_short_ones() -> None:
    lengths = np.array([10] * 300 + [40_000])
    batches = epoch_order(lengths, 32, seed=0, epoch=1)
    assert all(len(rows) * (int(lengths[rows].max()) + 1) <= batching.MOST_TOKENS for rows in batches)
    assert sorted(i for rows in batches for i in rows.tolist()) == list(range(301))
    assert [300] in [rows.tolist() for rows in batches]
    (rows, _), *_ = length_sorted([np.arange(10)] * 3 + [np.arange(40_000)], 32)
    assert rows.tolist() == [0, 1, 2]


@pytest.mark.parametrize("batch_size", [1, 32, 500])
def test_batches_that_fit_are_those_of_batch_size_alone(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was begun before there was a bound goes on with the very same batches."""
    lengths = some_lengths(1000)
    bounded = epoch_order(lengths, batch_size, seed=3, epoch=2)
    monkeypatch.setattr(batching, "MOST_TOKENS", 10**12)
    unbounded = epoch_order(lengths, batch_size, seed=3, epoch=2)
    assert [rows.tolist() for rows in bounded] == [rows.tolist() for rows in unbounded]


def test_sentences_of_similar_length_share_a_batch() -> None:
    lengths = some_lengths(1000)
    batches = epoch_order(lengths, 25, seed=0, epoch=1)
    spans = sorted((int(lengths[rows].min()), int(lengths[rows].max())) for rows in batches)
    for (_, high), (low, _) in pairwise(spans):
        assert high <= low  # the spans of two batches never overlap
    padded = sum(len(rows) * (int(lengths[rows].max()) + 1) for rows in batches)
    assert padded < 1.05 * (lengths.sum() + len(lengths))


def test_the_order_of_batches_does_not_follow_length() -> None:
    lengths = some_lengths(1000)
    means = [float(lengths[rows].mean()) for rows in epoch_order(lengths, 25, seed=0, epoch=1)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.4


def test_ties_are_kept_in_the_given_order() -> None:
    lengths = np.array([2, 1, 2, 1])
    assert [rows.tolist() for rows in by_length(lengths, 2)] == [[1, 3], [0, 2]]
    assert [rows.tolist() for rows in by_length(lengths, 2, order=np.array([3, 2, 1, 0]))] == [[3, 1], [2, 0]]
    order = np.random.default_rng(0).permutation(500)
    (rows,) = by_length(np.arange(500) % 2, 500, order=order)
    assert rows.tolist() == [*order[order % 2 == 0], *order[order % 2 == 1]]


def test_a_subset_may_be_ordered() -> None:
    assert [rows.tolist() for rows in by_length(np.array([5, 4, 3, 2]), 10, order=np.array([2, 0]))] == [[2, 0]]


def test_an_empty_split_has_no_batches() -> None:
    empty = np.array([], dtype=np.int64)
    assert epoch_order(empty, 4, seed=0, epoch=0) == []
    assert epoch_order(empty, 4, 100, seed=0, epoch=0) == []
    assert list(length_sorted([], 4)) == []


# --- streams


@pytest.mark.parametrize(("batch_size", "window"), [(1, 1), (3, 7), (4, 8), (64, 5), (7, 8192), (5, 50), (5, 49)])
def test_every_position_of_a_stream_occurs_once_with_its_sentence(batch_size: int, window: int) -> None:
    sentences = numbered(some_lengths(50, 9))
    seen: list[int] = []
    for rows, batch in length_sorted(iter(sentences), batch_size, window):
        assert 0 < len(rows) == len(batch) <= batch_size
        assert len({position // window for position in rows.tolist()}) == 1  # windows are not mixed
        for row, position in enumerate(rows.tolist()):
            words = batch.tokens[row, : int(batch.lengths[row])].tolist()
            assert words == [*sentences[position].tolist(), EOS]
        seen += rows.tolist()
    assert sorted(seen) == list(range(50))
    assert [position // window for position in seen] == sorted(position // window for position in seen)


def test_a_stream_is_read_a_window_at_a_time() -> None:
    read = 0

    def stream() -> Iterator[NDArray[np.int64]]:
        nonlocal read
        while True:  # endless
            read += 1
            yield sentence(4)

    batches = length_sorted(stream(), 5, 10)
    for expected in (10, 10, 20, 20, 30):
        rows, batch = next(batches)
        assert read == expected
        assert isinstance(batch, Batch)
        assert len(rows) == 5


def test_a_window_ends_at_its_tokens_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WINDOW_TOKENS", 20)
    seen = [rows.tolist() for rows, _ in length_sorted([np.arange(9)] * 3 + [np.arange(100), np.arange(5)], 10)]
    assert seen == [[0, 1, 2], [3], [4]]


def test_lengths_rise_within_a_window() -> None:
    lengths = some_lengths(60)
    order = [int(lengths[i]) for rows, _ in length_sorted(numbered(lengths), 8, 30) for i in rows]
    assert order[:30] == sorted(order[:30])
    assert order[30:] == sorted(order[30:])

"""Sentences of similar length -> batches of padded tensors.

Shapes: B sentences, T tokens in the longest of them, N in all of them, `<eos>` included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqvae_cli.data.tokenizer import EOS, PAD
from seqvae_cli.data.windows import WINDOW, windows

Indices = NDArray[np.int64]

MOST_TOKENS = 2**16
"""Padded tokens of a batch, at most, unless one sentence alone has more: a long line does not pad a batch of others."""


CPU = torch.device("cpu")


def upload(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """An array as a tensor on `device`; does not wait for what the device still computes."""
    tensor = torch.from_numpy(values)
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # a copy from other memory waits
    return tensor.to(device, non_blocking=device.type != "mps")  # MPS would read memory that may be freed


@dataclass(frozen=True)
class Batch:
    """Padded sentences: as arrays, and as tensors on the device of the model.

    Shapes that depend on the sentences come from the arrays: to ask the device for them would wait for it.
    """

    ids: Indices
    """w1 … wn `<eos>` of each sentence, then padding: [B, T]."""
    lengths: Indices
    """Tokens of each sentence, `<eos>` included: [B]."""
    device: torch.device = CPU
    """Where the tensors are."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def counts(self) -> tuple[int, int]:
        """Sentences and tokens, `<eos>` included."""
        return len(self), int(self.lengths.sum())

    @cached_property
    def ragged(self) -> bool:
        """Whether the batch has padding."""
        return bool((self.lengths != self.ids.shape[1]).any())

    @cached_property
    def words(self) -> Indices:
        """The tokens that are not padding, sentence by sentence: [N]."""
        return self.ids[self._mask]

    @cached_property
    def tokens(self) -> Tensor:
        """`ids` on the device: [B, T]."""
        return upload(self.ids, self.device)

    @cached_property
    def mask(self) -> Tensor:
        """True at tokens, False at padding: [B, T]."""
        return upload(self._mask, self.device)

    @cached_property
    def places(self) -> Tensor:
        """Index of each of `words` in the flattened tokens: [N]."""
        return upload(np.flatnonzero(self._mask), self.device)

    @cached_property
    def _mask(self) -> NDArray[np.bool_]:
        return np.arange(self.ids.shape[1]) < self.lengths[:, None]

    def to(self, device: torch.device) -> Batch:
        return self if device == self.device else replace(self, device=device)

    def repeat(self, count: int) -> Batch:
        """Each sentence `count` times in a row: [B * count, T]."""
        return self if count == 1 else Batch(self.ids.repeat(count, 0), self.lengths.repeat(count), self.device)

    def apart(self) -> list[Batch]:
        """Each sentence as a batch of its own, without padding."""
        rows = zip(self.ids, self.lengths, strict=True)
        return [Batch(ids[None, :length], np.array([length]), self.device) for ids, length in rows]


@dataclass(frozen=True)
class FixedBatch:
    """Padded sentences of which only the device knows more than the shape: no operation on them depends on their words.

    Such operations can be recorded once and repeated on other sentences (see `training.graphs`).
    """

    tokens: Tensor
    """w1 … wn `<eos>` of each sentence, then padding: [B, T]."""
    mask: Tensor
    """True at tokens, False at padding: [B, T]."""
    ragged: bool = True
    """Whether there may be padding."""

    def __len__(self) -> int:
        return len(self.tokens)


AnyBatch = Batch | FixedBatch


def collate(sentences: Sequence[NDArray[np.int64]], max_len: int = 0) -> Batch:
    """A batch of sentences, given as token ids. `max_len` > 0 truncates each to `max_len` words before its `<eos>`."""
    if max_len:
        sentences = [ids[:max_len] for ids in sentences]
    lengths = np.array([len(ids) + 1 for ids in sentences], dtype=np.int64)
    tokens = np.full((len(sentences), int(lengths.max(initial=1))), PAD, dtype=np.int64)
    for row, ids in enumerate(sentences):
        tokens[row, : len(ids)] = ids
        tokens[row, len(ids)] = EOS
    return Batch(tokens, lengths)


def epoch_order(lengths: Indices, batch_size: int, batch_tokens: int = 0, *, seed: int, epoch: int) -> list[Indices]:
    """Batches of an epoch as sentence indices: similar lengths together, ties and batches in seeded random order.

    Every sentence occurs once. See `by_length` for `batch_size` and `batch_tokens`.
    """
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(lengths))
    batches = by_length(lengths, batch_size, batch_tokens, order)
    return [batches[i] for i in random.permutation(len(batches))]


def by_length(lengths: Indices, batch_size: int, batch_tokens: int = 0, order: Indices | None = None) -> list[Indices]:
    """Sorts sentence indices by length (ties keep their place in `order`) and cuts them into batches.

    With `batch_tokens` > 0 a batch holds as many sentences as fit into `batch_tokens` (padding and `<eos>` included, at
    least one sentence), else `batch_size` sentences; a batch of over `MOST_TOKENS` is cut into several.
    """
    order = np.arange(len(lengths)) if order is None else order
    order = order[np.argsort(lengths[order], kind="stable")]
    if not batch_tokens:
        batches = []
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            fits = len(rows) * (int(lengths[rows[-1]]) + 1) <= MOST_TOKENS
            batches += [rows] if fits else by_length(lengths, 0, MOST_TOKENS, rows)
        return batches
    batches, start = [], 0
    padded = lengths[order] + 1
    while start < len(order):
        # Lengths are sorted: the last sentence sets the width of a batch, so every sentence added makes it larger.
        end = start + max(1, batch_tokens // int(padded[start]))
        cost = padded[start:end] * np.arange(1, len(padded[start:end]) + 1)
        count = max(1, int(np.searchsorted(cost, batch_tokens, side="right")))
        batches.append(order[start : start + count])
        start += count
    return batches


def length_sorted(
    sentences: Iterable[NDArray[np.int64]], batch_size: int, window: int = WINDOW
) -> Iterator[tuple[Indices, Batch]]:
    """Batches of a stream, sorted by length within its `windows`; each with the stream positions of its sentences."""
    offset = 0
    for held in windows(sentences, window, len):
        lengths = np.array([len(ids) for ids in held], dtype=np.int64)
        for rows in by_length(lengths, batch_size):
            yield rows + offset, collate([held[i] for i in rows])
        offset += len(held)

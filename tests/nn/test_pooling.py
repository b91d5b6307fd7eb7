"""Poolings: which words reach the summary, and how."""

from __future__ import annotations

import pytest
import torch

from seqvae_cli.nn.pooling import POOLINGS
from seqvae_cli.nn.rotary import rotate
from tests.test_model import build, encoder_of, ragged, row, words

every_pooling = pytest.mark.parametrize("pooling", [*POOLINGS])


@every_pooling
@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_word_and_its_place_reach_the_code(bidirectional: bool, pooling: str) -> None:
    encoder = build(bidirectional=bidirectional, pooling=pooling).encoder
    sentences = [[4, 5, 6], [7, 5, 6], [4, 7, 6], [4, 5, 7], [6, 5, 4], [4, 5], [4, 5, 6, 6]]
    means = encoder(words(*sentences)).mean
    distances = torch.cdist(means, means) + torch.eye(len(sentences))
    assert float(distances.detach().min()) > 1e-4


@every_pooling
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_summary_is_made_of_the_states_at_the_words_of_a_sentence(bidirectional: bool, pooling: str) -> None:
    """The last one of each direction, where it ends; of each dimension the largest or the mean; or all, each turned."""
    encoder = encoder_of(build(bidirectional=bidirectional, encoder_layers=2, pooling=pooling))
    batch = ragged()
    summary = encoder.summary(encoder.embedding(batch.tokens), batch)
    assert summary.shape == (5, 10 if bidirectional else 5)
    for i in range(5):
        embedded = encoder.embedding(row(batch, i).tokens)
        outputs = encoder.lstm(embedded)[0][0]
        expected = {"last": torch.cat([outputs[-1, :5], outputs[0, 5:]])}
        expected |= {"max": outputs.max(0).values, "mean": outputs.mean(0)}
        if encoder.words is not None:
            bound = rotate(outputs + encoder.words(embedded[0]), torch.arange(len(outputs)))
            expected["rotary"] = bound.sum(0) / len(outputs) ** 0.5
        torch.testing.assert_close(summary[i], expected[pooling])

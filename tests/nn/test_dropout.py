"""Dropout with one mask a token, or a sentence."""

from __future__ import annotations

import pytest
import torch

from seqvae_cli.nn.dropout import LockedDropout
from tests.test_model import build, decoder_inputs, noise_for, words


@pytest.mark.parametrize("locked", [False, True])
def test_dropout_works_before_and_after_the_lstm_in_training_alone(locked: bool) -> None:
    model = build(dropout=0.5, locked_dropout=locked, latent_output=True)
    batch = words(*[[4, 5, 6, 7]] * 40)
    decoder, inputs, z = model.decoder.train(), decoder_inputs(batch), noise_for(40)
    embedded, of_z = decoder.embed(inputs), decoder.embed_code(z, inputs.size(1), None)
    assert 0.4 < float((embedded == 0).float().mean()) < 0.6
    assert torch.equal(of_z, z[:, None].expand(-1, inputs.size(1), -1))  # the code is never dropped
    states = decoder.states(inputs, z)
    assert 0.4 < float((states == 0).float().mean()) < 0.6
    for values in (embedded, states):  # one mask a sentence, or one a token
        assert bool((values == 0).eq(values[:, :1] == 0).all()) is locked
        assert not bool((values == 0).eq(values[:1] == 0).all())
    torch.manual_seed(0)
    forced = decoder(inputs[:, :1], z)[:, 0]
    torch.manual_seed(0)
    torch.testing.assert_close(decoder.step(inputs[:, 0], decoder.start(z))[0], forced)  # also a step at a time
    decoder.eval()
    assert float((decoder.states(inputs, z) == 0).float().mean()) == 0
    assert torch.equal(decoder(inputs, z), decoder(inputs, z))


def test_a_locked_mask_keeps_the_mean_and_drops_its_share() -> None:
    dropout = LockedDropout(0.3)
    values = torch.full((200, 3, 50), 2.0)
    dropped = dropout(values)
    assert dropped.unique().tolist() == pytest.approx([0.0, 2 / 0.7])
    share = float((dropped[:, 0] == 0).float().mean())
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 10_000) ** 0.5
    assert torch.equal(dropout.eval()(values), values)
    assert torch.equal(LockedDropout(0.0)(values), values)

"""Recurrent networks: first states, names of weights, weight drop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seqvae_cli.nn.recurrent import CELLS, run, run_shared
from tests.test_model import build, decoder_inputs, noise_for, ragged, variant


def test_the_first_state_is_the_one_documented() -> None:
    decoder = build(decoder_layers=2).decoder
    assert decoder.first_cell is not None
    z = noise_for(4)
    state = decoder.start(z)
    h, c = state.hidden
    assert h.shape == c.shape == (2, 4, 5)
    assert state.z is z
    assert state.position == 0
    flat = decoder.first_cell(z)
    torch.testing.assert_close(c[0], flat[:, :5])
    torch.testing.assert_close(c[1], flat[:, 5:])
    torch.testing.assert_close(h, c.tanh())
    h, c = variant("z in the inputs alone").decoder.start(z).hidden
    assert not h.any()
    assert not c.any()


def test_a_gru_starts_at_the_hyperbolic_tangent_alone() -> None:
    decoder, z = build(cell="gru", decoder_layers=2).decoder, noise_for(4)
    assert decoder.first_cell is not None
    (h,) = decoder.start(z).hidden
    torch.testing.assert_close(h.transpose(0, 1).flatten(1), decoder.first_cell(z).tanh())


def test_the_weights_of_a_cell_bear_its_name() -> None:
    """Names of parameters are keys of checkpoints: those of an LSTM must never be read as a GRU's."""
    for cell in ("lstm", "gru"):
        keys = build(cell=cell).state_dict()
        assert {f"encoder.{cell}.weight_ih_l0", f"decoder.{cell}.weight_hh_l0"} <= keys.keys()
        other = "gru" if cell == "lstm" else "lstm"
        assert not [key for key in keys if other in key]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_weight_drop_takes_recurrent_weights_of_the_decoder_in_training_alone(cell: str) -> None:
    settings: dict[str, Any] = {"cell": cell, "hidden_size": 20, "decoder_layers": 2}
    model, batch, noise = build(weight_drop=0.4, **settings), ragged(), noise_for(5)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trained, again = model.train()(batch, noise), model(batch, noise)
    assert not torch.allclose(trained.distortion, again.distortion)  # anew each step
    assert torch.equal(trained.z, again.z)  # the encoder's are spared
    model(batch, noise).distortion.sum().backward()
    for key, weight in model.decoder.recurrent.named_parameters():
        assert weight.grad is not None
        idle = float((weight.grad == 0).float().mean())  # what was dropped has no gradient
        if key.startswith("weight_hh"):
            assert abs(idle - 0.4) < 4 * (0.4 * 0.6 / weight.numel()) ** 0.5
        else:
            assert idle == 0
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    plain = build(**settings)
    plain.load_state_dict(before)
    assert torch.equal(model.eval()(batch, noise).distortion, plain.eval()(batch, noise).distortion)


def test_weight_drop_cannot_reach_the_first_word() -> None:
    """The recurrent weights carry nothing where the first state is 0."""
    decoder = build(weight_drop=0.4, latent_state=False).decoder.train()
    inputs, z = decoder_inputs(ragged()), noise_for(5)
    first, second = decoder(inputs, z), decoder(inputs, z)
    assert torch.equal(first[:, 0], second[:, 0])
    assert bool((first[:, 1:] - second[:, 1:]).abs().amax((0, 2)).gt(1e-4).all())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("steps", [7, 40])
def test_words_that_all_rows_read_need_be_multiplied_once(cell: str, steps: int) -> None:
    network = CELLS[cell](32 + 3, 6, 2, batch_first=True)
    shared, own, hidden = torch.randn(steps, 32), torch.randn(5, steps, 3), network.first(torch.randn(2, 5, 6))
    expected = run(network, torch.cat([shared.expand(5, -1, -1), own], dim=2), hidden)
    torch.testing.assert_close(run_shared(network, shared, own, hidden), expected)

"""`torch.export` programs of a network, whose recurrent encoder is a scan over the tokens.

`torch.export` unrolls a recurrent network to the length of its example, and it cannot trace packed sentences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqvae_cli.export.graphs import graphs
from seqvae_cli.export.quiet import quiet
from seqvae_cli.model import SentenceVAE
from seqvae_cli.nn.recurrent import LSTM, Recurrent


def write(network: SentenceVAE, folder: Path) -> dict[str, Any]:
    """Writes a program for each graph into `folder`; returns torch's version and the graphs, for `config.json`."""
    described: dict[str, Any] = {}
    dims: dict[str, Any] = {}
    for graph in graphs(network, ScanReader):
        shapes = graph.dynamic_shapes(lambda name: dims.setdefault(name, torch.export.Dim(name, min=1)))
        with quiet():
            program = torch.export.export(graph.module, graph.examples(), dynamic_shapes=shapes)
            torch.export.save(program, folder / f"{graph.name}.pt2")
        described[f"{graph.name}.pt2"] = graph.to_json()
    return {"torch": torch.__version__, "graphs": described}


class ScanReader(nn.Module):
    """A `MakeReader`: the equations of the cell, scanned over the tokens of each layer and direction."""

    def __init__(self, network: Recurrent) -> None:
        super().__init__()
        self.network = network
        self.read = _lstm if isinstance(network, LSTM) else _gru
        self.ends = ("", "_reverse") if network.bidirectional else ("",)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        places = torch.arange(inputs.size(1), device=inputs.device)
        # Reverses each sentence, and leaves its padding in place.
        turned = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
        for layer in range(self.network.num_layers):
            directions = []
            for end in self.ends:
                given = _rows(inputs, turned) if end else inputs
                states = self.read(given, *self._weights(f"_l{layer}{end}"))
                directions.append(_rows(states, turned) if end else states)
            inputs = torch.cat(directions, -1)
        return inputs

    def _weights(self, end: str) -> list[Tensor]:
        """Weights of the inputs and the states, then their biases."""
        return [getattr(self.network, kind + end) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def _rows(values: Tensor, places: Tensor) -> Tensor:
    """The vectors of `values` [B, T, W] at `places` [B, T]."""
    return values.gather(1, places[..., None].expand(-1, -1, values.size(2)))


def _lstm(inputs: Tensor, input_weight: Tensor, weight: Tensor, input_bias: Tensor, bias: Tensor) -> Tensor:
    """The states [B, T, H] of an LSTM (Hochreiter & Schmidhuber 1997) that begins at 0."""
    from torch._higher_order_ops.scan import scan  # torch has no public name for it yet

    gates = inputs @ input_weight.T + input_bias + bias
    zeros = inputs.new_zeros(inputs.size(0), weight.size(1))

    def step(carried: list[Tensor], given: Tensor) -> tuple[list[Tensor], Tensor]:
        state, cell = carried
        entry, forget, new, out = (given + state @ weight.T).chunk(4, -1)
        cell = forget.sigmoid() * cell + entry.sigmoid() * new.tanh()
        state = out.sigmoid() * cell.tanh()
        return [state, cell], state.clone()

    _, states = scan(step, [zeros, zeros.clone()], gates.transpose(0, 1))
    return states.transpose(0, 1)  # type: ignore[no-any-return]


def _gru(inputs: Tensor, input_weight: Tensor, weight: Tensor, input_bias: Tensor, bias: Tensor) -> Tensor:
    """The states [B, T, H] of a GRU (Cho et al. 2014, with the reset gate after the product) that begins at 0."""
    from torch._higher_order_ops.scan import scan  # torch has no public name for it yet

    gates = inputs @ input_weight.T + input_bias
    zeros = inputs.new_zeros(inputs.size(0), weight.size(1))

    def step(carried: list[Tensor], given: Tensor) -> tuple[list[Tensor], Tensor]:
        (state,) = carried
        reset, keep, new = given.chunk(3, -1)
        old_reset, old_keep, old = (state @ weight.T + bias).chunk(3, -1)
        new = (new + (reset + old_reset).sigmoid() * old).tanh()
        keep = (keep + old_keep).sigmoid()
        state = (1 - keep) * new + keep * state
        return [state], state.clone()

    _, states = scan(step, [zeros], gates.transpose(0, 1))
    return states.transpose(0, 1)  # type: ignore[no-any-return]

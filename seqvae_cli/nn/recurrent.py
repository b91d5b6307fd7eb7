"""The recurrent networks that read sentences in the encoder and write them in the decoder.

The hidden state of each is a tuple of tensors [layers, B, H].

Shapes: B sentences, T tokens, I dimensions of an input, H of a state.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from seqvae_cli.nn.shapes import filled_where_real

Hidden = tuple[Tensor, ...]


class LSTM(nn.LSTM):
    """Hochreiter & Schmidhuber 1997, "Long Short-Term Memory". Its hidden state is (h, c)."""

    @staticmethod
    def first(values: Tensor) -> Hidden:
        """The first hidden state from unbounded values [layers, B, H]: h = tanh(values), c = values."""
        return values.tanh(), values


class GRU(nn.GRU):
    """Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder". Its hidden state is (h,)."""

    @staticmethod
    def first(values: Tensor) -> Hidden:
        """The first hidden state from unbounded values [layers, B, H]: h = tanh(values)."""
        return (values.tanh(),)

    def forward(self, inputs: Any, hidden: Hidden | None = None) -> tuple[Any, Hidden]:  # type: ignore[override]
        outputs, h = super().forward(inputs, None if hidden is None else hidden[0])
        return outputs, (h,)


Recurrent = LSTM | GRU

CELLS: dict[str, type[Recurrent]] = {"lstm": LSTM, "gru": GRU}
"""By `model.cell`.

A cell is built with (inputs, size, layers, batch_first, bidirectional, device, dtype), and called with [B, T, I],
packed if bidirectional, and a hidden state; it returns the top layer's states and the new hidden state. `first` makes
the first hidden state from values. Attributes and weights are named as those of `nn.LSTM`: weight drop drops
`weight_hh…`, and shared words need `weight_ih_l0`. `export` knows these two cells alone.
"""


class RecurrentModule(nn.Module):
    """A module with one recurrent network, an attribute named after its cell: the name is part of checkpoint keys."""

    def add_recurrent(
        self, cell: str, inputs: int, size: int, layers: int, bidirectional: bool = False, *, device: torch.device | str
    ) -> None:
        self.cell = cell
        options: dict[str, Any] = {"batch_first": True, "device": device, "dtype": torch.float32}
        self.add_module(cell, CELLS[cell](inputs, size, layers, bidirectional=bidirectional, **options))

    @property
    def recurrent(self) -> Recurrent:
        return cast(Recurrent, self.get_submodule(self.cell))


def run(network: Recurrent, inputs: Tensor, hidden: Hidden, weight_drop: float = 0.0) -> tuple[Tensor, Hidden]:
    """The top layer's states [B, T, H] at `inputs` [B, T, I], and the hidden state after the last of them.

    weight_drop: rate at which recurrent weights are dropped, one mask for all steps (Merity et al. 2018,
    "Regularizing and Optimizing LSTM Language Models", section 2).
    """
    if not weight_drop:
        return network(inputs, hidden)  # type: ignore[no-any-return]
    dropped = {
        name: F.dropout(weight, weight_drop)
        for name, weight in network.named_parameters()
        if name.startswith("weight_hh")
    }
    return functional_call(network, dropped, (inputs, hidden))  # type: ignore[no-any-return]


def run_shared(network: Recurrent, shared: Tensor, own: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
    """`run` for B rows that read the same words: inputs are `shared` [T, S] and then, of each row, `own` [B, T, R].

    The product of `shared` with the input weights is taken once and not for each row: it becomes T columns of input
    weights, and step t reads the t-th of them. With as many steps as dimensions that would save nothing.
    """
    steps, rows = len(shared), len(own)
    if steps >= shared.size(1):
        return run(network, torch.cat([shared.expand(rows, -1, -1), own], dim=2), hidden)
    weights: dict[str, Tensor] = dict(network.named_parameters())
    of_shared, of_own = torch.split(weights["weight_ih_l0"], [shared.size(1), own.size(2)], dim=1)
    weights["weight_ih_l0"] = torch.cat([of_shared @ shared.t().to(of_shared.dtype), of_own], dim=1)
    step = torch.eye(steps, dtype=own.dtype, device=own.device).expand(rows, steps, steps)
    cell, inputs = type(network), torch.cat([step, own], dim=2)
    with filled_where_real("meta"):
        narrow = cell(inputs.size(2), network.hidden_size, network.num_layers, batch_first=True, device="meta")
    return functional_call(narrow, weights, (inputs, hidden))  # type: ignore[no-any-return]

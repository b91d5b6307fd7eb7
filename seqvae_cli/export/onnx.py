"""ONNX files of a network, whose recurrent encoder is ONNX's own LSTM or GRU, with the lengths of the sentences.

torch's exporter would unroll a recurrent network to the length of its example, and it cannot express packed sentences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqvae_cli.errors import MachineError
from seqvae_cli.export.graphs import graphs
from seqvae_cli.export.quiet import quiet
from seqvae_cli.model import SentenceVAE
from seqvae_cli.nn.recurrent import LSTM, Recurrent

OPSET = 18
"""The version of ONNX's operators: the first that torch's exporter writes without conversion, of 2022."""

GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}
"""ONNX's order of the gates, by their places in torch's order."""


def write(network: SentenceVAE, folder: Path) -> dict[str, Any]:
    """Writes a file for each graph into `folder`; returns the opset and the graphs, for `config.json`.

    Raises `MachineError` where the extra `onnx` is missing.
    """
    check_libraries()
    described: dict[str, Any] = {}
    for graph in graphs(network, OnnxReader):
        with quiet():
            program = torch.onnx.export(
                graph.module,
                graph.examples(),
                input_names=[*graph.inputs],
                output_names=[*graph.outputs],
                dynamic_shapes=graph.dynamic_shapes(),
                opset_version=OPSET,
                verbose=False,
                dynamo=True,
            )
            assert program is not None
            for node in program.model.graph:
                node.metadata_props.clear()  # stack traces, with paths of this machine
            program.save(folder / f"{graph.name}.onnx")
        described[f"{graph.name}.onnx"] = graph.to_json()
    return {"opset": OPSET, "graphs": described}


def check_libraries() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        message = f"ONNX files need the packages onnx and onnxscript: {error}"
        raise MachineError(message, 'pip install "seqvae[onnx]"') from error


class OnnxReader(nn.Module):
    """A `MakeReader`: ONNX's operator for each layer, both directions at once."""

    def __init__(self, network: Recurrent) -> None:
        super().__init__()
        self.operator = "LSTM" if isinstance(network, LSTM) else "GRU"
        self.size, self.layers = network.hidden_size, network.num_layers
        self.ends = ("", "_reverse") if network.bidirectional else ("",)
        self.attributes: dict[str, Any] = {
            "hidden_size": self.size,
            "direction": "bidirectional" if network.bidirectional else "forward",
        }
        if self.operator == "GRU":
            self.attributes["linear_before_reset"] = 1  # as torch's
        for layer in range(self.layers):
            for name, kinds in (
                ("inputs", ["weight_ih"]),
                ("states", ["weight_hh"]),
                ("biases", ["bias_ih", "bias_hh"]),
            ):
                rows = [
                    torch.cat([self._ordered(getattr(network, f"{kind}_l{layer}{end}")) for kind in kinds])
                    for end in self.ends
                ]
                self.register_buffer(f"{name}{layer}", torch.stack(rows))

    def _ordered(self, weight: Tensor) -> Tensor:
        gates = weight.detach().chunk(len(GATES[self.operator]))
        return torch.cat([gates[i] for i in GATES[self.operator]])

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        states = inputs.transpose(0, 1)
        for layer in range(self.layers):
            weights = [self.get_buffer(f"{name}{layer}") for name in ("inputs", "states", "biases")]
            found = torch.onnx.ops.symbolic(
                self.operator,
                [states, *weights, lengths.int()],
                self.attributes,
                dtype=torch.float32,
                shape=[states.size(0), len(self.ends), states.size(1), self.size],
                version=14,
            )
            states = found.transpose(1, 2).flatten(2)
        return states.transpose(0, 1)

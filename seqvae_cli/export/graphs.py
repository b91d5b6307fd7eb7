"""The parts of a sentence VAE as functions of plain tensors, which other programs can run: the encoder, the decoder's
first state, and one step of the decoder.

Every tensor has the batch as its first axis, so that a search keeps rows of the decoder's state by indexing it.

Shapes: B sentences or hypotheses, T tokens (`<eos>` counted), L latent dimensions, V words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqvae_cli.errors import UsageError
from seqvae_cli.model import Encoder, RecurrentDecoder, SentenceVAE
from seqvae_cli.nn.decoding import DecoderState
from seqvae_cli.nn.recurrent import Recurrent

BATCH, TOKENS = "batch", "tokens"
"""Names of the axes of any length; the length of every other axis is a number."""

Axes = tuple[int | str, ...]

MakeReader = Callable[[Recurrent], nn.Module]
"""Recurrent network -> module of (inputs [B, T, I], lengths [B]) -> states [B, T, S], for T of any length.

The backward direction begins at the last token of each sentence. The states at padding are finite.
"""


@dataclass(frozen=True)
class Graph:
    """A module with the names, axes and types of its inputs and outputs, in their order."""

    name: str
    module: nn.Module
    inputs: Mapping[str, tuple[torch.dtype, Axes]]
    outputs: Mapping[str, tuple[torch.dtype, Axes]]

    def examples(self) -> tuple[Tensor, ...]:
        """Inputs to trace the module with: all 1, which is a valid token, length and code. No free axis has length 1,
        which torch would take for a constant."""
        lengths = {BATCH: 2, TOKENS: 3}
        return tuple(
            torch.ones([axis if isinstance(axis, int) else lengths[axis] for axis in axes], dtype=dtype, device="cpu")
            for dtype, axes in self.inputs.values()
        )

    def dynamic_shapes(self, axis: Callable[[str], object] = str) -> tuple[Any, ...]:
        """The axes of any length of each input, in the form that torch's exporters take: number -> `axis(name)`."""
        free = [
            {i: axis(str(name)) for i, name in enumerate(axes) if name in (BATCH, TOKENS)}
            for _, axes in self.inputs.values()
        ]
        # The parts of the state are one argument, of any number of tensors.
        return (*free[:2], tuple(free[2:])) if len(free) > 2 else tuple(free)

    def to_json(self) -> dict[str, Any]:
        """Inputs and outputs: name -> type and axes."""
        return {
            kind: {name: {"type": str(dtype).removeprefix("torch."), "shape": [*axes]} for name, (dtype, axes) in named}
            for kind, named in (("inputs", self.inputs.items()), ("outputs", self.outputs.items()))
        }


class EncoderGraph(nn.Module):
    """tokens [B, T], lengths [B] -> code and scale of q(z|x), [B, L] each. Tokens at and after a length are ignored."""

    def __init__(self, encoder: Encoder, reader: nn.Module) -> None:
        super().__init__()
        self.encoder, self.reader = encoder, reader

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        inputs = self.encoder.embedding(tokens)
        mask = torch.arange(tokens.size(1), device=tokens.device) < lengths[:, None]
        posterior = self.encoder.posterior(self.encoder.pool(inputs, self.reader(inputs, lengths), mask))
        return posterior.code, posterior.scale.clone()


class DecoderGraph(nn.Module):
    """A decoder whose state is a tuple: hidden states [B, layers, H], and the words read [B] where it needs them."""

    def __init__(self, decoder: RecurrentDecoder) -> None:
        super().__init__()
        self.decoder = decoder
        self.counts = decoder.memory is not None

    def parts(self) -> dict[str, tuple[torch.dtype, Axes]]:
        """The parts of the state by name."""
        settings = self.decoder.settings
        hidden = {"lstm": ("h", "c"), "gru": ("h",)}[settings.cell]
        axes: Axes = (BATCH, settings.decoder_layers, settings.hidden_size)
        parts: dict[str, tuple[torch.dtype, Axes]] = dict.fromkeys(hidden, (torch.float32, axes))
        return parts | ({"position": (torch.int64, (BATCH,))} if self.counts else {})

    def flat(self, state: DecoderState, position: Tensor) -> tuple[Tensor, ...]:
        hidden = tuple(part.transpose(0, 1).clone() for part in state.hidden)
        return (*hidden, position) if self.counts else hidden


class StartGraph(DecoderGraph):
    """z [B, L] -> the state before the first word."""

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        return self.flat(self.decoder.start(z), torch.zeros(z.size(0), dtype=torch.int64, device=z.device))


class StepGraph(DecoderGraph):
    """token [B], z [B, L], state -> log p of each next word [B, V], and the state after the token."""

    def forward(self, token: Tensor, z: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        hidden = parts[:-1] if self.counts else parts
        # A position for each row, [B, 1]: positions broadcast like the words that they belong to.
        position = parts[-1][:, None] if self.counts else torch.zeros((), dtype=torch.int64, device=z.device)
        state = DecoderState(z, position, tuple(part.transpose(0, 1).contiguous() for part in hidden))
        logits, state = self.decoder.step(token, state)
        return logits.float().log_softmax(-1), *self.flat(state, state.position.flatten())


def graphs(network: SentenceVAE, make_reader: MakeReader) -> list[Graph]:
    """Encoder, first state and step of a network on the CPU, in eval mode. Raises `UsageError` for a language model."""
    encoder, settings = network.encoder, network.settings
    if not isinstance(encoder, Encoder):
        raise UsageError("a language model has no latent code: there is nothing to encode", "--format safetensors")
    words, code = network.decoder.vocabulary.out_features, (BATCH, settings.latent_size)
    start, step = StartGraph(network.decoder), StepGraph(network.decoder)
    number, count = torch.float32, torch.int64
    state = step.parts()
    return [
        Graph(
            "encoder",
            EncoderGraph(encoder, make_reader(encoder.recurrent)),
            {"tokens": (count, (BATCH, TOKENS)), "lengths": (count, (BATCH,))},
            {"mean": (number, code), "scale": (number, code)},
        ),
        Graph("decoder_start", start, {"z": (number, code)}, state),
        Graph(
            "decoder_step",
            step,
            {"token": (count, (BATCH,)), "z": (number, code)} | state,
            {"log_prob": (number, (BATCH, words))} | {f"next_{name}": part for name, part in state.items()},
        ),
    ]

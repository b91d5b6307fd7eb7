"""Training steps as CUDA graphs: a step is recorded once for each shape of a batch, then repeated on other sentences.

A step of a small model is a few hundred short operations; to start them one by one takes the CPU longer than the device
takes to compute them. A graph starts them all at once. It reads its inputs from the same memory each time, so each
step first copies there the sentences and the numbers that depend on the moment of the training. Sentences are padded to
a multiple of `WIDTH` tokens, so that there are few shapes; padding changes no loss.

Shapes: B sentences, T tokens of the padded sentences.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqvae_cli.config.schema import Settings
from seqvae_cli.data.batching import AnyBatch, Batch, FixedBatch, upload
from seqvae_cli.errors import MachineError
from seqvae_cli.nn.cross_entropy import MOST_LOGITS
from seqvae_cli.training.objective import Loss

WIDTH = 4
"""Tokens: padded sentences have a multiple of them."""

MOST_SHAPES = 64
"""Shapes that are recorded; batches of others are computed operation by operation."""

HINT = "a new run with --set runtime.graphs=false"

Update = Callable[[AnyBatch, Sequence[float | Tensor], str], Loss]
"""One step on a batch, given the numbers of its moment and the part of the model that it updates."""


def obstacle(settings: Settings, device: torch.device, processes: int = 1) -> str:
    """Why the training steps of so many processes are no CUDA graphs; empty where they are."""
    if device.type != "cuda":
        return "no CUDA device"
    if processes > 1:
        return "the gradients of several processes are summed"
    if not settings.runtime.graphs:
        return "runtime.graphs is false"
    if settings.model.weight_drop:
        return "weight drop: a resumed training differed from an uninterrupted one"
    if settings.model.bidirectional:
        return "the encoder reads in both directions, which takes the lengths of the sentences"
    return ""


@dataclass
class _Shape:
    inputs: Tensor
    """Token ids, and in the last column the lengths: [B, T + 1]."""
    replay: Callable[[], Tensor] | None = None
    """Repeats the recorded step: total, distortion and rate, [3]."""


class StepGraphs:
    """The recorded steps of one optimizer.

    The first step of a shape is computed operation by operation, which also allocates what lives longer than a step;
    the second is recorded.
    """

    def __init__(self, update: Update, numbers: int, vocabulary_size: int, device: torch.device) -> None:
        self.update, self.vocabulary_size, self.device = update, vocabulary_size, device
        self.numbers = torch.zeros(numbers, dtype=torch.float32, device=device)
        self.shapes: dict[tuple[int, int, str], _Shape] = {}
        self.prepare()

    def prepare(self) -> None:
        # Every step is on this stream, recorded or not: gradients of one parameter must not come from two.
        self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self.pool = torch.cuda.graph_pool_handle()

    def step(self, batch: Batch, numbers: Sequence[float], part: str) -> Loss:
        """One step on `batch`, which may be on the CPU. `numbers` and `part` are passed on to `update`."""
        with self.on_stream():
            return self._step(batch, numbers, part)

    def _step(self, batch: Batch, numbers: Sequence[float], part: str) -> Loss:
        count, longest = batch.ids.shape
        width = -(-longest // WIDTH) * WIDTH
        key = count, width, part
        shape = self.shapes.get(key)
        if shape is None and (len(self.shapes) == MOST_SHAPES or count * width * self.vocabulary_size > MOST_LOGITS):
            return self.update(batch.to(self.device), numbers, part)
        padded = np.zeros((count, width + 1), dtype=np.int64)
        padded[:, :longest], padded[:, -1] = batch.ids, batch.lengths
        self.numbers.copy_(upload(np.array(numbers, dtype=np.float32), self.device))
        uploaded = upload(padded, self.device)
        if shape is None:
            shape = self.shapes[key] = _Shape(uploaded)
            return self._repeated(shape.inputs, part)
        shape.inputs.copy_(uploaded)
        if shape.replay is None:
            inputs = shape.inputs
            shape.replay = self.record(lambda: self._outputs(inputs, part))
        return Loss(*shape.replay().clone().unbind())

    def _repeated(self, inputs: Tensor, part: str) -> Loss:
        """The operations that are recorded."""
        tokens, lengths = inputs[:, :-1], inputs[:, -1:]
        mask = torch.arange(tokens.size(1), device=self.device) < lengths
        return self.update(FixedBatch(tokens, mask), self.numbers.unbind(), part)

    def _outputs(self, inputs: Tensor, part: str) -> Tensor:
        loss = self._repeated(inputs, part)
        return torch.stack([loss.total, loss.distortion, loss.rate])

    @contextlib.contextmanager
    def on_stream(self) -> Iterator[None]:
        """Within, operations follow those of the present stream, which afterwards follow them."""
        present = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(present)
        with torch.cuda.stream(self.stream):
            yield
        present.wait_stream(self.stream)

    def record(self, action: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Records the operations of `action`, without computing them; returns what computes them.

        Raises `MachineError` where they cannot be recorded, after which CUDA's random stream cannot be used, and
        `OutOfMemoryError`.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode="thread_local"):
                outputs = action()
        except torch.OutOfMemoryError:  # a RuntimeError, too, and no fault of graphs
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise MachineError(f"a training step cannot be a CUDA graph here: {reason}", HINT) from error

        def replay() -> Tensor:
            graph.replay()
            return outputs

        return replay

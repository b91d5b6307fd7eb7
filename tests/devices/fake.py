"""A pretended accelerator: tensors without values on torch's device `meta`, and what would make a program wait for it.

torch's `FakeTensorMode` computes shapes, types and devices alone, and raises where an operation mixes devices. Not
covered: packed sequences, whose shapes need values; autocast; kernels; Adam's fused step.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

ACCELERATOR = torch.device("meta")
"""In a build without CUDA autograd has no engine for pretended `cuda` tensors."""


class Waits(TorchDispatchMode):
    """Counts, by kind and line of ours, the operations that wait for the accelerator: their results need its values.

    Each is answered, so that the computation goes on: every number is 1, every flag is true, every element is nonzero.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options, name = kwargs or {}, function._schema.name
        match name:
            case "aten::item" | "aten::_local_scalar_dense":
                self.note("item", args[0])
                return {torch.bool: True, torch.long: 1}.get(args[0].dtype, 1.0)
            case "aten::nonzero":
                self.note("nonzero", args[0])
                return args[0].new_empty((args[0].numel(), args[0].dim()), dtype=torch.long)
            case "aten::masked_select":
                self.note("mask", args[1])
                return args[0].new_empty(args[0].numel())
            case "aten::masked_scatter_backward":
                self.note("mask", args[1])
            case "aten::index" | "aten::index_put" | "aten::index_put_" | "aten::_unsafe_index":
                args = (args[0], [part for index in args[1] for part in self.numbers(index)], *args[2:])
        result = function(*args, **options)
        match name:
            case "aten::where":
                # Other operations read a number that lies on the CPU there; this one copies it.
                if on_accelerator(result) and not all(on_accelerator(part) for part in args):
                    self.found[f"where at {line_of_ours()}"] += 1
            case "aten::copy_":
                self.copied(args[1], args[0], non_blocking=args[2] if len(args) > 2 else False)
            case "aten::_to_copy":
                self.copied(args[0], result, non_blocking=options.get("non_blocking", False))
        return result

    def note(self, kind: str, read: Tensor) -> None:
        if on_accelerator(read):
            self.found[f"{kind} at {line_of_ours()}"] += 1

    def copied(self, source: Tensor, target: Tensor, *, non_blocking: bool) -> None:
        if on_accelerator(source) != on_accelerator(target) and not non_blocking:
            self.found[f"copy at {line_of_ours()}"] += 1

    def numbers(self, index: Tensor | None) -> list[Tensor | None]:
        """An index as numbers: of a mask, those that `nonzero` finds in it."""
        if index is None or index.dtype != torch.bool:
            return [index]
        self.note("mask", index)
        return [index.new_empty(index.numel(), dtype=torch.long)] * index.dim()


def on_accelerator(value: object) -> bool:
    return isinstance(value, Tensor) and value.device.type == ACCELERATOR.type


def line_of_ours() -> str:
    """The innermost line of the package, or of a test, that is running."""
    for frame in reversed(traceback.extract_stack()):
        if "/seqvae_cli/" in frame.filename or frame.name.startswith("test_"):
            return f"{frame.filename.rpartition('/seqvae_cli/')[2]}:{frame.lineno} {frame.line}"
    return "?"


def moved(module: nn.Module, device: torch.device) -> nn.Module:
    """`Module.to` without changing parameters in place, which fake ones do not allow."""
    made: dict[nn.Parameter, nn.Parameter] = {}
    for part in module.modules():
        for name, old in part.named_parameters(recurse=False):
            if old not in made:
                made[old] = nn.Parameter(old.detach().to(device), old.requires_grad)
            setattr(part, name, made[old])
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, buffer.to(device))
    return module


@contextmanager
def pretended_accelerator() -> Iterator[None]:
    """Within, modules and tensors can be moved to `ACCELERATOR`, and all tensors made are without values."""
    real_autocast, real_tensor = torch.autocast, torch.tensor

    def autocast(kind: str, **options: Any) -> Any:  # torch's knows no `meta`
        return nullcontext() if kind == ACCELERATOR.type else real_autocast(kind, **options)

    def tensor(data: Any, *, device: Any = "cpu", **options: Any) -> Tensor:
        return real_tensor(data, **options).to(device)

    with pytest.MonkeyPatch.context() as patch, FakeTensorMode(allow_non_fake_inputs=True) as mode:
        mode.allow_meta = True
        patch.setattr(torch, "autocast", autocast)
        patch.setattr(torch, "tensor", tensor)
        patch.setattr(nn.Module, "to", moved)
        patch.setattr(FakeTensor, "numpy", lambda self: np.zeros(tuple(self.shape)))
        yield

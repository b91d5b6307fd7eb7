"""Modules on the `meta` device: names and shapes alone, without values."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

FILLING = {
    *(Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_),
    *(nn.init.normal_, nn.init.uniform_, nn.init.constant_, nn.init.kaiming_uniform_),
}
"""Functions that fill a tensor with its first values."""


class _Unfilled(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FILLING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def filled_where_real(device: torch.device | str) -> AbstractContextManager[Any]:
    """Within it, parameters on `meta` are not initialized: torch would import its compiler for that, in seconds."""
    return _Unfilled() if torch.device(device).type == "meta" else nullcontext()

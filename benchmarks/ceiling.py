"""The arithmetic of a piece of work alone: its matrix products and LSTM layers, replayed at their own shapes.

What they take is the least that the work can take with the same products on this machine. All else that the work does
(softmax, dropout, the optimizer, memory, Python) lies between its own time and that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten
WITH_OUTPUT: dict[Any, Any] = {
    ATEN.mm.default: ATEN.mm.out,
    ATEN.addmm.default: ATEN.addmm.out,
    ATEN.bmm.default: ATEN.bmm.out,
    ATEN.mv.default: ATEN.mv.out,
}
"""Products, and the form of each that writes into given memory, so that allocation is not measured."""
PRODUCTS = {*WITH_OUTPUT, *WITH_OUTPUT.values()}
LAYERS = {ATEN.mkldnn_rnn_layer.default, ATEN.mkldnn_rnn_layer_backward.default}


class Arithmetic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the products and LSTM layers of what runs within it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: list[Callable[[], object]] = []
        self.layers: list[Callable[[], object]] = []
        self.flop = 0
        """Floating-point operations of the products."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if function in LAYERS:
            self.layers.append(lambda: function(*args, **kwargs))
        elif function in PRODUCTS:
            call, options = function, kwargs
            if function in WITH_OUTPUT:
                call, options = WITH_OUTPUT[function], kwargs | {"out": torch.empty_like(result)}
            self.products.append(lambda: call(*args, **options))
            one, other = [value for value in args if isinstance(value, Tensor)][-2:]
            self.flop += 2 * one.numel() * (other.shape[-1] if other.dim() > 1 else 1)
        return result

    def seconds(self) -> tuple[float, float]:
        """Seconds of the products, and of the layers: of a second replay, whose memory is at hand."""
        with torch.inference_mode():
            for call in [*self.products, *self.layers]:
                call()
            return _time(self.products), _time(self.layers)


def _time(calls: list[Callable[[], object]]) -> float:
    start = time.perf_counter()
    for call in calls:
        call()
    return time.perf_counter() - start

"""How fast a device multiplies matrices."""

from __future__ import annotations

import time

import torch

SECONDS = 0.1
"""For one measurement, once the device is warm."""
SIZES = (256, 512, 1024, 2048, 4096, 8192)
"""Rows of the square matrices: the largest that `SECONDS` allow `REPEATS` products of."""
REPEATS = 8


def gflops(device: torch.device, precision: torch.dtype, seconds: float = SECONDS) -> float | None:
    """10^9 floating-point operations a second in the fastest product of two matrices, 2n³ for n rows.

    With the threads of torch. None where the device cannot compute it. Takes about twice the `seconds`.
    """
    random = torch.Generator("cpu").manual_seed(0)
    best = 0.0
    try:
        for size in SIZES:
            left, right = (
                torch.randn(size, size, generator=random, device="cpu", dtype=torch.float32).to(device, precision)
                for _ in range(2)
            )
            _product(left, right)  # warm: the first one may choose or compile a kernel
            took = _product(left, right)
            best = max(best, 2e-9 * size**3 / took)
            if took * 8 * REPEATS > seconds or size == SIZES[-1]:
                break
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            best = max(best, 2e-9 * size**3 / _product(left, right))
    except RuntimeError:  # a type that the device lacks, or too little memory
        return best or None
    return best


def _product(left: torch.Tensor, right: torch.Tensor) -> float:
    """Seconds that a product takes."""
    _wait(left.device)
    start = time.perf_counter()
    left @ right
    _wait(left.device)
    return max(time.perf_counter() - start, 1e-9)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()

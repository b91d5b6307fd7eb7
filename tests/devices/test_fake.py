"""The pretended accelerator finds what it is to find."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.devices.fake import ACCELERATOR, Waits, moved, pretended_accelerator

WAITING: dict[str, Callable[[Tensor, Tensor], object]] = {
    "item": lambda values, mask: float(values.sum()),
    "a condition": lambda values, mask: bool(mask.any()),
    "nonzero": lambda values, mask: mask.nonzero(),
    "mask": lambda values, mask: values[mask],
    "masked assignment": lambda values, mask: values.index_put((mask,), values.new_zeros(())),
    "gradient of a masked scatter": lambda values, mask: values.masked_scatter(mask, values).sum().backward(),
    "where with a number": lambda values, mask: values.where(mask, 1.0),
    "copy to the CPU": lambda values, mask: values.cpu(),
    "copy from the CPU": lambda values, mask: torch.zeros(3).to(ACCELERATOR),
    "copy into a tensor": lambda values, mask: torch.zeros(3).copy_(values[0]),
}
QUIET: dict[str, Callable[[Tensor, Tensor], object]] = {
    "rows": lambda values, mask: values.index_select(0, torch.tensor([1, 0], device=ACCELERATOR)).sum().backward(),
    "fill": lambda values, mask: values.masked_fill(mask, 1.0).sum().backward(),
    "where of tensors": lambda values, mask: values.where(mask, values + 1),
    "copy without waiting": lambda values, mask: torch.zeros(3).to(ACCELERATOR, non_blocking=True),
    "numbers on the CPU": lambda values, mask: float(torch.zeros(3).sum()),
    "masks on the CPU": lambda values, mask: torch.zeros(3)[torch.zeros(3) > 0],
}


def waits(action: Callable[[Tensor, Tensor], object]) -> int:
    with pretended_accelerator():
        values = torch.zeros(2, 3).to(ACCELERATOR).requires_grad_()
        mask = values > 0
        with Waits() as found:
            action(values, mask)
    return sum(found.found.values())


@pytest.mark.parametrize("name", WAITING)
def test_what_needs_a_value_of_the_accelerator_waits(name: str) -> None:
    assert waits(WAITING[name]) > 0


@pytest.mark.parametrize("name", QUIET)
def test_what_needs_none_does_not_wait(name: str) -> None:
    assert waits(QUIET[name]) == 0


def test_devices_do_not_mix() -> None:
    with pretended_accelerator(), pytest.raises(RuntimeError, match="device"):
        torch.zeros(3).to(ACCELERATOR) + torch.zeros(3)


def test_a_module_moves_with_its_shared_parameters_and_buffers() -> None:
    with pretended_accelerator():
        module = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2)])
        module[1].weight = module[0].weight
        moved(module, ACCELERATOR)
    assert module[1].weight is module[0].weight
    assert {part.device for part in [*module.parameters(), *module.buffers()]} == {ACCELERATOR}

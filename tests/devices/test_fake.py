"""The pretended accelerator finds what it is to find."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.devices.fake import ACCELERATOR, Waits, moved, pretended_accelerator

Action = Callable[[Tensor], object]
WAITING: dict[str, Action] = {
    "item": lambda values: float(values.detach().sum()),
    "a condition": lambda values: bool((values > 0).any()),
    "nonzero": lambda values: values.nonzero(),
    "mask": lambda values: values[values > 0],
    "masked_select": lambda values: values.masked_select(values > 0),
    "masked assignment": lambda values: values.index_put((values > 0,), values.new_zeros(())),
    "gradient of masked_scatter": lambda values: values.masked_scatter(values > 0, values).sum().backward(),
    "where with a number on the CPU": lambda values: values.where(values > 0, torch.zeros(())),
    "copy to the CPU": lambda values: values.cpu(),
    "copy from the CPU": lambda _: torch.zeros(3).to(ACCELERATOR),
    "copy into a tensor": lambda values: torch.zeros(3).copy_(values[0]),
    "a list as a tensor": lambda _: torch.tensor([1, 0], device=ACCELERATOR),
}
QUIET: dict[str, Action] = {
    "rows": lambda values: values.index_select(0, torch.arange(2, device=ACCELERATOR)).sum().backward(),
    "rows by numbers": lambda values: values[torch.arange(2, device=ACCELERATOR)].sum().backward(),
    "fill": lambda values: values.masked_fill(values > 0, 1.0).sum().backward(),
    "where": lambda values: values.where(values > 0, 1.0),
    "copy without waiting": lambda _: torch.zeros(3).to(ACCELERATOR, non_blocking=True),
    "numbers on the CPU": lambda _: float(torch.zeros(3).sum()),
    "masks on the CPU": lambda _: torch.zeros(3)[torch.zeros(3) > 0],
}


def waits(action: Action) -> int:
    with pretended_accelerator():
        values = torch.zeros(2, 3).to(ACCELERATOR).requires_grad_()
        with Waits() as found:
            action(values)
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

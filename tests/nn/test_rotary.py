"""Rotation by position: what is bound can be told apart again."""

from __future__ import annotations

import pytest
import torch

from seqvae_cli.nn.rotary import rotate

every_width = pytest.mark.parametrize("width", [2, 3, 8, 65])


def vectors(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@every_width
def test_turning_back_undoes_turning(width: int) -> None:
    values, positions = vectors(4, 9, width), torch.arange(9)
    rotated = rotate(values, positions)
    torch.testing.assert_close(rotate(rotated, -positions), values)
    torch.testing.assert_close(rotate(rotate(values, positions), positions + 2), rotate(values, 2 * positions + 2))
    torch.testing.assert_close(rotated.norm(dim=-1), values.norm(dim=-1))
    assert torch.equal(rotated[:, 0], values[:, 0])
    assert not torch.allclose(rotated[:, 1], values[:, 1])


def test_positions_less_than_the_width_apart_are_orthogonal() -> None:
    """On the average over a pair's two axes: the same word at two places is no nearer to itself than to others."""
    width, axes = 8, torch.eye(8)
    for distance in range(1, width):
        rotated = rotate(axes[:, None], torch.tensor([distance]))[:, 0]
        assert float((axes * rotated).sum()) == pytest.approx(0, abs=1e-5)
    assert float((axes * rotate(axes[:, None], torch.tensor([width]))[:, 0]).sum()) == pytest.approx(-width)


def test_a_sum_of_words_gives_each_back_at_its_position() -> None:
    table = vectors(1000, 256)
    words = torch.tensor([7, 3, 3, 999, 0, 512, 7, 8, 100, 31])
    whole = rotate(table[words], torch.arange(10)).sum(0)
    read = rotate(whole.expand(10, -1), -torch.arange(10))
    assert torch.equal((read @ table.T).argmax(1), words)
    shuffled = rotate(table[words.flip(0)], torch.arange(10)).sum(0)
    assert not torch.allclose(whole, shuffled)


def test_it_keeps_the_type_and_has_a_gradient() -> None:
    values = vectors(3, 5, 6).to(torch.bfloat16).requires_grad_()
    rotated = rotate(values, torch.arange(5))
    assert rotated.dtype == torch.bfloat16
    rotated.sum().backward()
    assert values.grad is not None
    assert bool(values.grad.any())

"""The fused vocabulary loss computes what its reference does: values and gradients, in every precision."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seqvae_cli.nn import cross_entropy as module
from seqvae_cli.nn.cross_entropy import cross_entropy, reference

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def problem(n: int, width: int = 7, words: int = 23, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    torch.manual_seed(n)
    states, weight, bias = torch.randn(n, width), torch.randn(words, width), torch.randn(words)
    return (*(t.to(dtype).requires_grad_() for t in (states, weight, bias)), torch.randint(0, words, (n,)))


def gradients(loss: Loss, inputs: tuple[Tensor, ...], upstream: Tensor) -> list[Tensor]:
    values = loss(*inputs)
    return list(torch.autograd.grad((values * upstream.to(values.dtype)).sum(), inputs[:3]))


def reference64(states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """`reference` without its float32."""
    return torch.nn.functional.cross_entropy(states @ weight.T + bias, targets, reduction="none")


@pytest.mark.parametrize("n", [0, 1, 2, 37, 300, 600])
def test_the_values_in_float64(n: int) -> None:
    inputs = problem(n)
    expected = reference64(*inputs)
    assert cross_entropy(*inputs).dtype == torch.float64
    torch.testing.assert_close(cross_entropy(*inputs), expected, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(cross_entropy(*inputs), expected, rtol=1e-12, atol=1e-12)


def test_the_gradients_by_finite_differences() -> None:
    *inputs, targets = problem(5)
    assert torch.autograd.gradcheck(lambda *args: cross_entropy(*args, targets), inputs)


@pytest.mark.parametrize("n", [1, 37, 300])
def test_the_gradients_in_float64_with_a_weight_a_token(n: int) -> None:
    inputs, upstream = problem(n), torch.randn(n)
    for ours, theirs in zip(
        gradients(cross_entropy, inputs, upstream), gradients(reference64, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("n", [37, 300])
def test_many_logits_are_not_kept_for_the_gradient(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = torch.randn(n)
    expected = gradients(cross_entropy, problem(n), upstream)
    kept: list[int] = []
    lease = module._Lease

    def watched(count: int, dtype: torch.dtype) -> object:
        kept.append(count)
        return lease(count, dtype)

    monkeypatch.setattr(module, "_Lease", watched)
    monkeypatch.setattr(module, "MOST_LOGITS", 250)
    torch.testing.assert_close(cross_entropy(*problem(n)), reference64(*problem(n)), rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(gradients(cross_entropy, problem(n), upstream), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert max(kept) <= 250


@pytest.mark.parametrize("n", [1, 37, 300])
def test_float32_is_as_near_to_float64_as_the_reference_is(n: int) -> None:
    upstream = torch.randn(n)
    exact = gradients(reference64, problem(n), upstream)
    ours = gradients(cross_entropy, problem(n, dtype=torch.float32), upstream)
    theirs = gradients(reference, problem(n, dtype=torch.float32), upstream)
    for a, b, true in zip(ours, theirs, exact, strict=True):
        assert a.dtype == torch.float32
        assert (a - true).norm() <= 3 * (b - true).norm() + 1e-6 * true.norm()


def test_bfloat16_rounds_no_more_than_the_reference() -> None:
    n = 200
    upstream = torch.randn(n)
    exact = gradients(reference64, problem(n), upstream)
    inputs = problem(n, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = cross_entropy(*inputs)
        ours, theirs = gradients(cross_entropy, inputs, upstream), gradients(reference, inputs, upstream)
    assert losses.dtype == torch.float32
    assert abs(losses.mean() - reference64(*problem(n)).mean()) < 0.01
    for a, b, true in zip(ours, theirs, exact, strict=True):
        assert (a - true).norm() < 0.02 * true.norm()
        assert (a - true).norm() < 2 * (b - true).norm()


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gap", [50.0, 80.0, 100.0, 200.0, 800.0])
def test_a_word_of_hardly_any_probability_costs_its_full_nats(gap: float, dtype: torch.dtype, grad: bool) -> None:
    weight, states = torch.zeros(5, 1, dtype=dtype), torch.ones(3, 1, dtype=dtype, requires_grad=True)
    weight[2] = gap
    with torch.set_grad_enabled(grad):
        losses = cross_entropy(states, weight.requires_grad_(), torch.zeros(5, dtype=dtype), torch.tensor([0, 2, 4]))
    assert losses[0].item() == pytest.approx(gap, rel=1e-6)
    assert losses[1].item() == pytest.approx(0, abs=1e-6)
    assert losses[2].item() == pytest.approx(gap, rel=1e-6)


def test_no_number_stays_no_number() -> None:
    states, weight, bias, targets = problem(4, dtype=torch.float32)
    broken = states.detach().clone()
    broken[1, 0] = math.nan
    losses = cross_entropy(broken.requires_grad_(), weight, bias, targets)
    assert losses.isnan().tolist() == [False, True, False, False]


def test_two_losses_may_wait_for_their_gradients_together() -> None:
    """Each keeps memory of its own until its backward pass, which may come in any order."""
    first, second, third = problem(40), problem(30), problem(50)
    ones = [torch.ones(len(p[0])) for p in (first, second, third)]
    expected = [gradients(reference64, p, one) for p, one in zip((first, second, third), ones, strict=True)]
    losses = [cross_entropy(*p).sum() for p in (first, second)]
    got = [torch.autograd.grad(losses[0], first[:3])]
    again = cross_entropy(*third).sum()
    got += [torch.autograd.grad(losses[1], second[:3]), torch.autograd.grad(again, third[:3])]
    for ours, theirs in zip(got, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_memory_is_taken_again_once_the_graph_is_gone() -> None:
    lease = module._Lease
    lease.lent.clear()

    def places() -> list[int]:
        return sorted(memory.data_ptr() for _, memory in lease.lent)

    loss = cross_entropy(*problem(64)).sum()
    loss.backward()
    (first,) = places()
    other = cross_entropy(*problem(32)).sum()
    assert first in places(), "the first graph holds it still"
    assert len(places()) == 2
    del loss, other
    before = places()
    kept = [cross_entropy(*problem(n)).sum() for n in (32, 64)]
    assert places() == before, "each takes the smallest that it fits in"
    larger = cross_entropy(*problem(100)).sum()
    assert len(places()) == 3
    del kept, larger
    largest = cross_entropy(*problem(200)).sum()
    assert len(places()) == 3, "in the place of the largest that is free"
    assert float(largest.detach()) > 0


def test_a_retained_graph_gives_its_gradient_again() -> None:
    inputs = problem(3)
    loss = cross_entropy(*inputs).sum()
    first = torch.autograd.grad(loss, inputs[:3], retain_graph=True)
    cross_entropy(*problem(5)).sum().backward()
    for a, b in zip(first, torch.autograd.grad(loss, inputs[:3]), strict=True):
        assert torch.equal(a, b)

"""The output layer: one softmax or two stages, a distribution over all words, its loss and its gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.data.batching import collate
from seqvae_cli.model import SentenceVAE
from seqvae_cli.nn.cross_entropy import cross_entropy
from seqvae_cli.nn.softmax import OutputSoftmax
from tests.conftest import Float64

WIDTH = 7
WORDS = 45

every_shortlist = pytest.mark.parametrize("shortlist", [0, 1, 2, 4, 44, 45, 1000])


def layer(shortlist: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> OutputSoftmax:
    torch.manual_seed(seed)
    made = OutputSoftmax(WIDTH, WORDS, shortlist)
    for weight in made.parameters():
        torch.nn.init.normal_(weight)
    return made.to(dtype)


def states(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(5), dtype=dtype)


def targets(count: int) -> Tensor:
    return torch.randint(0, WORDS, (count,), generator=torch.Generator().manual_seed(6))


# --- the groups


@pytest.mark.parametrize(
    ("words", "shortlist", "sizes"),
    [
        *((45, 0, [45]), (45, 45, [45]), (45, 1000, [45])),
        *((45, 44, [44, 1]), (45, 4, [4, 12, 29]), (45, 1, [1, 3, 12, 29]), (16, 4, [4, 12]), (17, 4, [4, 12, 1])),
        (10_000, 500, [500, 1500, 6000, 2000]),
    ],
)
def test_groups_of_rarer_words_grow_fourfold(words: int, shortlist: int, sizes: list[int]) -> None:
    vocabulary = OutputSoftmax(2, words, shortlist)
    assert vocabulary.sizes == sizes
    assert vocabulary.weight.shape == (words, 2)
    assert vocabulary.bias.shape == (words,)
    if len(sizes) == 1:
        assert vocabulary.groups is None
    else:
        assert vocabulary.groups is not None
        assert vocabulary.groups.weight.shape == (len(sizes) - 1, 2)


# --- the distribution


@every_shortlist
@pytest.mark.usefixtures("float64")
def test_probabilities_of_all_words_sum_to_1(shortlist: int) -> None:
    vocabulary = layer(shortlist)
    logits = vocabulary(states(9).view(3, 3, WIDTH))
    assert logits.shape == (3, 3, WORDS)
    one = torch.ones(3, 3, dtype=torch.float64)
    torch.testing.assert_close(logits.softmax(-1).sum(-1), one)
    if vocabulary.groups is not None:  # they are log-probabilities as they stand
        torch.testing.assert_close(logits.exp().sum(-1), one)
        assert float(logits.detach().max()) < 0
    total = torch.zeros(9, dtype=torch.float64)
    for word in range(WORDS):
        total += (-vocabulary.cross_entropy(states(9), torch.full((9,), word))).exp().detach()
    torch.testing.assert_close(total, one.flatten())


@pytest.mark.usefixtures("float64")
def test_two_stages_are_the_group_and_the_word_within_it() -> None:
    vocabulary, state = layer(4), states(1)[0]
    assert vocabulary.groups is not None
    plain = vocabulary.weight @ state + vocabulary.bias
    groups = vocabulary.groups.weight @ state + vocabulary.groups.bias
    first = torch.cat([plain[:4], groups]).exp()
    first = first / first.sum()
    expected = [first[word] for word in range(4)]
    for group, (start, end) in enumerate([(4, 16), (16, 45)]):
        within = plain[start:end].exp() / plain[start:end].exp().sum()
        expected += [first[4 + group] * p for p in within]
    torch.testing.assert_close(vocabulary(state[None])[0].exp(), torch.stack(expected))


@every_shortlist
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.usefixtures("float64")
def test_the_loss_of_every_word_is_its_log_probability(shortlist: int, grad: bool) -> None:
    vocabulary, every = layer(shortlist), torch.arange(WORDS)
    with torch.set_grad_enabled(grad):
        expected = -vocabulary(states(WORDS)).log_softmax(-1)[every, every]
        found = vocabulary.cross_entropy(states(WORDS), every)
        assert found.requires_grad is grad
    torch.testing.assert_close(found, expected)
    assert float(expected.detach().std()) > 1
    for word in range(0, WORDS, 7):  # alone, where most groups have no word
        alone = vocabulary.cross_entropy(states(WORDS)[word, None], every[word, None])
        torch.testing.assert_close(alone, expected[word, None])


@every_shortlist
def test_the_loss_in_float32_is_the_loss(shortlist: int) -> None:
    vocabulary = layer(shortlist, dtype=torch.float32)
    found = vocabulary.cross_entropy(states(300).float(), targets(300))
    assert found.dtype == torch.float32
    with Float64():
        expected = layer(shortlist).cross_entropy(states(300), targets(300))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shortlist", [0, 45, 1000])
def test_with_every_word_on_the_list_it_is_the_single_softmax_bit_for_bit(shortlist: int) -> None:
    vocabulary, plain = layer(shortlist, dtype=torch.float32), torch.nn.Linear(WIDTH, WORDS)
    plain.load_state_dict(vocabulary.state_dict())
    assert [name for name, _ in vocabulary.named_parameters()] == ["weight", "bias"]
    x = states(60).float()
    assert torch.equal(vocabulary(x), plain(x))
    found = vocabulary.cross_entropy(x, targets(60))
    expected = cross_entropy(x, plain.weight, plain.bias, targets(60))
    assert torch.equal(found, expected)
    ours = torch.autograd.grad(found.sum(), list(vocabulary.parameters()))
    theirs = torch.autograd.grad(expected.sum(), list(plain.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


# --- gradients


@every_shortlist
@pytest.mark.usefixtures("float64")
def test_gradients_are_those_of_the_plain_way(shortlist: int) -> None:
    vocabulary, x, upstream = layer(shortlist), states(200).requires_grad_(), states(200)[:, 0]
    inputs = [x, *vocabulary.parameters()]
    assert len(inputs) == (5 if 0 < shortlist < WORDS else 3)
    plain = -vocabulary(x).log_softmax(-1).gather(1, targets(200)[:, None])[:, 0]
    expected = torch.autograd.grad((plain * upstream).sum(), inputs)
    found = torch.autograd.grad((vocabulary.cross_entropy(x, targets(200)) * upstream).sum(), inputs)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
        assert bool(theirs.ne(0).all()) or shortlist == 44  # a group of one word has nothing to choose


class Losses(torch.nn.Module):
    """A module whose call is the loss."""

    def __init__(self, vocabulary: OutputSoftmax) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def forward(self, states: Tensor, targets: Tensor) -> Tensor:
        return self.vocabulary.cross_entropy(states, targets)


@pytest.mark.usefixtures("float64")
def test_gradients_are_the_numerical_ones() -> None:
    module, index = Losses(layer(4)), torch.tensor([0, 3, 4, 15, 16, 44])
    names = [name for name, _ in module.named_parameters()]

    def losses(x: Tensor, *weights: Tensor) -> Any:
        return torch.func.functional_call(module, dict(zip(names, weights, strict=True)), (x, index))

    inputs = [states(6), *(weight.detach().clone() for weight in module.parameters())]
    assert torch.autograd.gradcheck(losses, [one.requires_grad_() for one in inputs], fast_mode=True)


def test_a_group_that_no_target_is_in_has_no_gradient() -> None:
    """And costs nothing: its words are not even looked at."""
    vocabulary = layer(4, dtype=torch.float32)
    loss = vocabulary.cross_entropy(states(20).float(), torch.arange(20) % 16).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert vocabulary.weight.grad is not None
    assert vocabulary.groups is not None
    assert vocabulary.groups.weight.grad is not None
    assert bool(vocabulary.weight.grad[:16].ne(0).all())
    assert not bool(vocabulary.weight.grad[16:].any())
    assert bool(vocabulary.groups.weight.grad.ne(0).all())  # that it was not chosen is news


# --- edges


@every_shortlist
@pytest.mark.parametrize("grad", [True, False])
def test_no_tokens_have_no_loss(shortlist: int, grad: bool) -> None:
    vocabulary, nothing = layer(shortlist, dtype=torch.float32), torch.zeros(0, WIDTH, requires_grad=True)
    with torch.set_grad_enabled(grad):
        losses = vocabulary.cross_entropy(nothing, torch.zeros(0, dtype=torch.long))
    assert losses.shape == (0,)
    assert vocabulary(nothing).shape == (0, WORDS)
    if grad:
        gradients = torch.autograd.grad(losses.sum(), [nothing, *vocabulary.parameters()], allow_unused=True)
        assert all(gradient is None or not gradient.any() for gradient in gradients)


@every_shortlist
def test_in_bfloat16_it_runs_and_is_near(shortlist: int) -> None:
    vocabulary = layer(shortlist, dtype=torch.float32)
    x, index = states(300).float(), targets(300)
    expected = vocabulary.cross_entropy(x, index)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses, logits = vocabulary.cross_entropy(x, index), vocabulary(x)
        (gradient,) = torch.autograd.grad(losses.mean(), [vocabulary.weight])
    assert losses.dtype == torch.float32
    assert abs(float((losses - expected).mean().detach())) < 0.01
    assert float((losses - expected).abs().max().detach()) < 0.2
    picked = -logits.float().log_softmax(-1)[torch.arange(300), index]
    assert float((picked - expected).abs().max().detach()) < 0.2
    (exact,) = torch.autograd.grad(expected.mean(), [vocabulary.weight])
    assert gradient.dtype == torch.float32
    assert float((gradient - exact).norm()) < 0.02 * float(exact.norm())


@pytest.mark.parametrize("gap", [50.0, 200.0])
@pytest.mark.parametrize("target", [1, 5, 30])
def test_a_word_of_hardly_any_probability_costs_its_full_nats(target: int, gap: float) -> None:
    vocabulary = layer(4, dtype=torch.float32)
    with torch.no_grad():
        for weight in vocabulary.parameters():
            weight.zero_()
        vocabulary.bias[0] = gap
    loss = vocabulary.cross_entropy(torch.zeros(1, WIDTH), torch.tensor([target]))
    within = {1: 0.0, 5: 12.0, 30: 29.0}[target]
    expected = gap + (torch.tensor(within).log().item() if within else 0.0)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


# --- tied to the embeddings


@pytest.mark.parametrize("shortlist", [0, 2, 5, 13])
@pytest.mark.parametrize("hidden_size", [5, 7])
def test_tied_weights_are_one_tensor_with_a_gradient_from_both_sides(shortlist: int, hidden_size: int) -> None:
    sizes = {"embed_size": 5, "hidden_size": hidden_size, "latent_size": 3, "dropout": 0.0}
    torch.manual_seed(0)
    model = SentenceVAE(ModelSettings(**sizes, tied=True, shortlist=shortlist), 13)
    weight = model.decoder.vocabulary.weight
    assert weight is model.decoder.embedding.weight
    batch = collate([torch.tensor([4, 5, 6]).numpy(), torch.tensor([7]).numpy()])
    inputs, z = model.inputs(batch), torch.randn(2, 3)
    (whole,) = torch.autograd.grad(model.decoder.log_prob(inputs, batch, z).sum(), weight)
    # The same with the weights apart: as embeddings they are read, as vectors of the output predicted.
    torch.manual_seed(0)
    apart = SentenceVAE(ModelSettings(**sizes, tied=True, shortlist=shortlist), 13)
    apart.load_state_dict(model.state_dict())
    del apart.decoder.vocabulary.weight
    apart.decoder.vocabulary.weight = torch.nn.Parameter(weight.detach().clone())
    sides = [apart.decoder.embedding.weight, apart.decoder.vocabulary.weight]
    read, predicted = torch.autograd.grad(apart.decoder.log_prob(inputs, batch, z).sum(), sides)
    torch.testing.assert_close(whole, read + predicted)
    assert set(read.any(1).nonzero()[:, 0].tolist()) == {1, 4, 5, 6, 7}  # <bos> and the words
    assert predicted.any()
    assert bool(predicted[[2, 4, 5, 6, 7]].any(1).all())


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shortlist", [0, 1, 3, 5, 10, 47])
@pytest.mark.parametrize("banned", [[0, 1], [0, 2, 9], [0, 1, 2, 5, 20, 46]], ids=str)
def test_the_likeliest_word_is_that_of_highest_logit(shortlist: int, banned: list[int], precision: torch.dtype) -> None:
    torch.manual_seed(0)
    softmax = OutputSoftmax(6, 47, shortlist).to(precision)
    states = (3 * torch.randn(300, 6)).to(precision)
    states[7], states[8] = 0, states[9]  # where words tie, the first counts
    if softmax.groups is not None:
        softmax.groups.bias.data += torch.tensor([3.0, 0.0, 1.0])[: len(softmax.sizes) - 1].to(precision)
    logits = softmax(states).float().index_fill(1, torch.tensor(banned), -torch.inf)
    found = softmax.likeliest(states, banned, softmax.stages())
    assert torch.equal(found, logits.argmax(1))
    groups = {int((torch.tensor(softmax.sizes).cumsum(0) <= word).sum()) for word in found.tolist()}
    assert len(groups) >= min(2, len(softmax.sizes)), "words of several stages are chosen"
    assert not {*found.tolist()} & {*banned}

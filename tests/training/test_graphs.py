"""Steps on padded batches whose operations are recorded and repeated, beside the plain ones: on the CPU.

A recording here repeats the Python code on the tensors that it read first, as a CUDA graph repeats the operations.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqvae_cli.config import layers, presets
from seqvae_cli.config.schema import Settings
from seqvae_cli.data.batching import Batch, FixedBatch, collate
from seqvae_cli.errors import DivergedError, MachineError
from seqvae_cli.nn.softmax import OutputSoftmax
from seqvae_cli.training import graphs, learner
from seqvae_cli.training.graphs import StepGraphs, obstacle
from seqvae_cli.training.learner import Learner
from seqvae_cli.training.schedule import Clock
from tests.conftest import TINY
from tests.faults.matrix import FULL

WORDS = 64
CPU = torch.device("cpu")

NO_NOISE = {"model.dropout": 0.0, "model.weight_drop": 0.0, "model.word_dropout": 0.0}
"""Padding takes random numbers, too: with dropout the words would draw others."""

ALIKE = {"bowman", "beta", "seed", "free-bits", "cyclical", "pretrain"}
"""Presets whose steps consist of the operations of others."""
ALLOWED = [name for name in presets.names() if not layers.resolve(name).model.bidirectional]


class Recordings(StepGraphs):
    """Counts what is recorded and repeated."""

    def prepare(self) -> None:
        self.recorded = self.repeated = 0

    @contextlib.contextmanager
    def on_stream(self) -> Iterator[None]:
        yield

    def record(self, action: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.recorded += 1

        def replay() -> Tensor:
            self.repeated += 1
            return action()

        return replay


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "obstacle", lambda *_: "")
    monkeypatch.setattr(learner, "StepGraphs", Recordings)


def settings(preset: str, **changes: Any) -> Settings:
    overrides = TINY | NO_NOISE | {"model.shortlist": 8, "model.components": 3} | changes
    if preset == "lm":
        overrides.pop("model.latent_size")
    if layers.resolve(preset).model.word_dropout == 1:
        overrides.pop("model.word_dropout")  # an inputless decoder, which reads no word
    return layers.resolve(preset, overrides=overrides)


def batches(count: int, longest: int = 11) -> list[Batch]:
    """Batches of 4 sentences of different lengths, and one of 3."""
    draw = np.random.default_rng(0)

    def one(rows: int) -> Batch:
        return collate([draw.integers(4, WORDS, size=draw.integers(1, longest)) for _ in range(rows)])

    return [*(one(4) for _ in range(count - 1)), one(3)]


def made(chosen: Settings) -> Learner:
    one = Learner(chosen, WORDS, CPU, torch.float32)
    one.model.train()
    one.objective.train()
    return one


def losses(one: Learner, given: list[Batch], *, part: str = "all") -> list[list[float]]:
    """Total, distortion and rate of each step, while the KL weight rises and the learning rate falls."""
    found = []
    for number, batch in enumerate(given, 1):
        loss = one.step(batch, Clock(number / 3, 8.0), number, part=part)
        found.append([float(loss.total), float(loss.distortion), float(loss.rate)])
    return found


@pytest.mark.parametrize("preset", [name for name in ALLOWED if FULL or name not in ALIKE])
def test_repeated_steps_give_the_losses_of_plain_ones(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, given = settings(preset), batches(8) * 2
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.zeros(shape))  # an inputless decoder drops all words
    plain = losses(made(chosen), given)
    monkeypatch.setattr(learner, "obstacle", lambda *_: "")
    monkeypatch.setattr(learner, "StepGraphs", Recordings)
    one = made(chosen)
    assert np.allclose(losses(one, given), plain, rtol=1e-5, atol=1e-6)
    assert isinstance(one.graphs, Recordings)
    shapes = {(len(batch), math.ceil(batch.ids.shape[1] / graphs.WIDTH)) for batch in given}
    assert 3 <= one.graphs.recorded == len(shapes) < 8  # each occurs at least twice
    assert one.graphs.repeated == len(given) - len(shapes)


@pytest.mark.usefixtures("recordings")
def test_each_part_of_the_model_is_recorded_for_itself() -> None:
    one, given = made(settings("lagging")), batches(2)[:1] * 3
    before = {name: weight.clone() for name, weight in one.model.named_parameters()}
    losses(one, given, part="encoder")
    changed = {name for name, weight in one.model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed
    assert all(learner.belongs_to_encoder(name) for name in changed)
    losses(one, given, part="decoder")
    assert one.graphs is not None
    assert [key[2] for key in one.graphs.shapes] == ["encoder", "decoder"]


@pytest.mark.usefixtures("recordings")
def test_a_new_optimizer_forgets_what_was_recorded() -> None:
    one, given = made(settings("default")), batches(2)[:1] * 3
    losses(one, given)
    one.model.reset_decoder()
    one.new_optimizer(0.001)
    before = [weight.clone() for weight in one.model.decoder.parameters()]
    losses(one, given)
    assert not any(torch.equal(weight, old) for weight, old in zip(one.model.decoder.parameters(), before, strict=True))


@pytest.mark.usefixtures("recordings")
def test_batches_of_further_shapes_are_computed_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [collate([np.full(length, 5)]) for length in (3, 7, 11, 3, 7, 11, 11)]
    monkeypatch.setattr(graphs, "MOST_SHAPES", 2)
    one = made(settings("default"))
    assert np.isfinite(losses(one, given)).all()
    assert isinstance(one.graphs, Recordings)
    assert [key[1] for key in one.graphs.shapes] == [4, 8]
    monkeypatch.setattr(graphs, "MOST_LOGITS", 8 * WORDS)
    one = made(settings("default"))
    losses(one, given)
    assert one.graphs is not None
    assert [key[1] for key in one.graphs.shapes] == [4, 8]


@pytest.mark.usefixtures("recordings")
def test_the_first_step_that_is_not_finite_is_named_though_it_is_repeated() -> None:
    one, given = made(settings("default")), batches(2)[:1] * 6
    losses(one, given[:3])
    with torch.no_grad():
        one.model.decoder.vocabulary.bias.fill_(torch.nan)
    for number, batch in enumerate(given, 4):
        one.step(batch, Clock(1.0, 8.0), number)
    with pytest.raises(DivergedError, match="at step 4"):
        one.check_finite()


@pytest.mark.parametrize(
    ("raised", "expected", "said"),
    [
        (
            RuntimeError("operation not permitted\nfurther lines"),
            MachineError,
            "CUDA graph here: operation not permitted$",
        ),
        (torch.OutOfMemoryError("out of memory"), torch.OutOfMemoryError, "^out of memory$"),
    ],
)
def test_a_step_that_cannot_be_recorded_ends_the_training_with_its_reason(
    raised: Exception, expected: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", lambda *_, **__: contextlib.nullcontext())
    one = Recordings(lambda *_: None, 1, WORDS, CPU)  # type: ignore[arg-type, return-value]
    one.pool = one.stream = None

    def action() -> Tensor:
        raise raised

    with pytest.raises(expected, match=said):
        StepGraphs.record(one, action)


def test_where_steps_are_no_graphs_the_reason_is_said() -> None:
    cuda = torch.device("cuda")
    assert obstacle(layers.resolve("default"), cuda) == ""
    assert "several processes" in obstacle(layers.resolve("default"), cuda, 2)
    assert "no CUDA device" in obstacle(layers.resolve("default"), CPU)
    assert "both directions" in obstacle(layers.resolve("autoencoder-like"), cuda)
    assert "weight drop" in obstacle(layers.resolve("large"), cuda)
    assert "runtime.graphs" in obstacle(layers.resolve("default", overrides={"runtime.graphs": False}), cuda)


@pytest.mark.parametrize("shortlist", [0, 2, 7, 63, 64])
def test_reading_every_row_in_every_stage_gives_the_same_cross_entropy(shortlist: int) -> None:
    torch.manual_seed(0)
    one = OutputSoftmax(6, WORDS, shortlist)
    targets = torch.randint(WORDS, (40,))
    states = torch.randn(40, 6)
    gradients = []
    for losses in (one.cross_entropy, one.fixed_cross_entropy):
        leaf = states.clone().requires_grad_()
        one.zero_grad()
        found = losses(leaf, targets)
        (found * torch.linspace(0.5, 2, 40)).sum().backward()
        gradients.append([found.detach(), leaf.grad, *(weight.grad for weight in one.parameters())])
    for plain, fixed in zip(*gradients, strict=True):
        assert torch.allclose(plain, fixed, rtol=1e-5, atol=1e-6)


def test_padding_of_a_fixed_batch_changes_nothing() -> None:
    one = made(settings("default")).model.eval()
    batch = collate([np.array([5, 6, 7]), np.array([9])])
    tokens = torch.nn.functional.pad(batch.tokens, (0, 3), value=7)
    mask = torch.nn.functional.pad(batch.mask, (0, 3))
    noise = torch.randn(2, 4)
    plain, padded = one(batch, noise), one(FixedBatch(tokens, mask), noise)
    assert torch.allclose(plain.distortion, padded.distortion, rtol=1e-5)
    assert torch.allclose(plain.kl, padded.kl, rtol=1e-5)

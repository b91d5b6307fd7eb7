"""Every preset on a real device, beside the CPU: training, resuming, evaluation, samples and paths, in float32.

`python -m pytest -m cuda` runs it on a CUDA device. The same code runs on the CPU, where it shows that it works.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from seqvae_cli.api import Model, load
from seqvae_cli.config import layers, presets
from seqvae_cli.data.batching import collate
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.runs import checkpoint
from seqvae_cli.runs.run import Run
from seqvae_cli.training import aggressive, session
from seqvae_cli.training import learner as training_learner
from seqvae_cli.training.learner import Learner
from seqvae_cli.training.objective import Loss
from seqvae_cli.training.schedule import Clock
from tests.conftest import TINY
from tests.faults.matrix import FULL
from tests.trainings import fit

CLOSE = 1e-3
"""Largest difference between devices, as a share of the value where that is above 1."""

STEPS = 20

SENTENCES = ["the cat sees the sea", "a dog likes it", "my sister paints a red house"]

QUICK = ("large", "vmf")
"""Presets that the default suite tries on the CPU."""

CUDA = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
    pytest.mark.filterwarnings("ignore:RNN module weights"),  # weights that are dropped anew in every step
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),  # a prototype, by its own words
]
GRAPHS = [name for name in presets.names() if not layers.resolve(name).model.bidirectional]
"""Presets whose steps can be recorded as CUDA graphs."""

VERY_CLOSE = 1e-5
"""The same where only the order of sums on one device may differ."""

every_preset = pytest.mark.parametrize(
    ("preset", "device"),
    [(name, "cpu") for name in (presets.names() if FULL else QUICK)]
    + [pytest.param(name, "cuda", marks=CUDA) for name in presets.names()],
)


@pytest.fixture
def same_noise() -> Iterator[None]:
    with noise_of_the_cpu():
        yield


comparable = pytest.mark.usefixtures("exact_products", "same_noise")


@pytest.fixture
def exact_products(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Full float32 products, and no decision that rounding could turn."""
    monkeypatch.setattr(aggressive, "MAX_ENCODER_STEPS", aggressive.STEPS_PER_COMPARISON - 1)
    products: list[Any] = [torch.backends.cudnn.rnn, torch.backends.cuda.matmul]
    before = [one.fp32_precision for one in products]
    try:
        for one in products:
            one.fp32_precision = "ieee"  # not TF32
        yield
    finally:
        for one, value in zip(products, before, strict=True):
            one.fp32_precision = value


@contextmanager
def noise_of_the_cpu() -> Iterator[None]:
    """Within, the random numbers of a training come from the CPU's stream, which a device has in common with it."""

    def randn_like(values: Tensor) -> Tensor:
        return torch.empty(values.shape).normal_().to(values)

    def rand(shape: Any, *, device: Any, **_: Any) -> Tensor:
        return torch.empty(shape).uniform_().to(device)

    def dropout(values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        assert not inplace
        return values * (torch.empty(values.shape).bernoulli_(1 - p) / (1 - p)).to(values) if training else values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn_like", randn_like)
        patch.setattr(torch, "rand", rand)
        patch.setattr(F, "dropout", dropout)
        yield


def new_run(corpus: Corpus, name: str, preset: str, device: str, *, graphs: bool = False) -> Run:
    """A run of 20 steps in two epochs. graphs: not with the noise of `comparable`, which they would repeat."""
    sizes = {key: value for key, value in TINY.items() if not (preset == "lm" and key == "model.latent_size")}
    overrides = sizes | {"model.shortlist": 8, "train.pretrain": 1, "runtime.device": device, "runtime.graphs": graphs}
    if layers.resolve(preset).train.aggressive:
        overrides["train.pretrain"] = 0
    return session.start(layers.resolve(preset, overrides=overrides), corpus, name=name)


def close(found: Any, expected: Any, tolerance: float = CLOSE) -> bool:
    return bool(np.allclose(np.asarray(found, float), np.asarray(expected, float), rtol=tolerance, atol=tolerance))


def same_share(found: list[str], expected: list[str]) -> float:
    """The share of equal sentences: rounding may turn a choice between words of nearly one probability."""
    return float(np.mean([one == other for one, other in zip(found, expected, strict=True)]))


def answers(model: Model) -> tuple[dict[str, Any], list[str]]:
    """What a model says of its split and of `SENTENCES`, as numbers; and what it writes."""
    figures = model.evaluate(samples=20).to_json()
    numbers = {key: figures[key] for key in ("neg_elbo", "distortion", "rate", "iw_nll", "mutual_information")}
    numbers["scores"] = [one.iw_nll for one in model.score(SENTENCES, samples=5)]
    written = model.sample(20)
    if model.latent_size:
        numbers["means"], numbers["scales"] = model.posterior(SENTENCES)
        written += model.interpolate(*SENTENCES[:2], steps=5) + model.reconstruct(SENTENCES)
    return numbers, written


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The losses of all steps from now on."""
    losses: list[Tensor] = []
    real = Learner.step

    def step(learner: Learner, *arguments: Any, **options: Any) -> Loss:
        loss = real(learner, *arguments, **options)
        losses.append(loss.total)
        return loss

    monkeypatch.setattr(Learner, "step", step)
    return losses


@every_preset
@comparable
def test_a_device_trains_resumes_and_answers_like_the_cpu(
    tiny_corpus: Corpus, preset: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = recorded(monkeypatch)
    plain, other = (new_run(tiny_corpus, name, preset, where) for name, where in (("plain", "cpu"), ("other", device)))
    fit(plain, tiny_corpus)
    expected = torch.stack(losses).tolist()
    losses.clear()
    calls = iter(range(1000))
    fit(other, tiny_corpus, stop=lambda: next(calls) > STEPS // 2 + 2)
    assert other.info["status"] == "interrupted"
    fit(other, tiny_corpus, resume=True)
    assert other.info["status"] == "finished"
    assert {loss.device.type for loss in losses} == {device}
    assert checkpoint.step_of(checkpoint.newest(other.path / "last")) == STEPS <= len(expected)
    assert close(torch.stack(losses).tolist(), expected)
    for line, like in zip(other.metrics(), plain.metrics(), strict=True):
        numbers = [key for key, value in like.items() if type(value) is float and key != "tokens_per_second"]
        assert len(numbers) >= 10
        assert {key: close(line[key], like[key]) for key in numbers} == dict.fromkeys(numbers, True)

    for run in (plain, other):  # a checkpoint of either loads on the other
        there, here = answers(load(run, device=device)), answers(load(run, device="cpu"))
        assert {key: close(value, here[0][key]) for key, value in there[0].items()} == dict.fromkeys(here[0], True)
        assert same_share(there[1], here[1]) >= 0.9


@every_preset
@comparable
def test_training_goes_on_from_a_checkpoint_of_either_device(tiny_corpus: Corpus, preset: str, device: str) -> None:
    made = new_run(tiny_corpus, "made", preset, device)
    settings = layers.load(made.path / "config.yaml")
    batch = collate(list(tiny_corpus.split("train"))[:8])

    def learner(where: str) -> Learner:
        return Learner(settings, len(tiny_corpus.tokenizer), torch.device(where), torch.float32)

    for first, second in dict.fromkeys((("cpu", device), (device, "cpu"))):
        begun = learner(first)
        for number in (1, 2, 3):
            begun.step(batch, Clock(1.0, 2.0), number)
        path = checkpoint.write(made.path / f"from-{first}", 3, begun.tensors())
        resumed = learner(second)
        resumed.restore(path, begun.base_learning_rate)
        for number in (4, 5):
            expected, found = (one.step(batch, Clock(1.0, 2.0), number).total for one in same_stream(begun, resumed))
            assert close(float(found), float(expected))


def same_stream(*learners: Learner) -> Iterator[Learner]:
    """Each learner in turn, from the same place in the CPU's random stream."""
    state = torch.get_rng_state()
    for one in learners:
        torch.set_rng_state(state)
        yield one


@pytest.mark.parametrize("preset", [pytest.param(name, marks=CUDA) for name in presets.names()])
@pytest.mark.parametrize("graphs", [False, True])
def test_a_device_computes_on_while_a_step_is_prepared(tiny_corpus: Corpus, preset: str, graphs: bool) -> None:
    """A CUDA device tells of each operation that waits for it; tests/devices/test_fake_device.py asks without one."""
    made = new_run(tiny_corpus, "made", preset, "cuda", graphs=graphs)
    settings = layers.load(made.path / "config.yaml")
    batches = [collate(list(tiny_corpus.split("train"))[start : start + 8]) for start in (0, 8, 16)]
    learner = Learner(settings, len(tiny_corpus.tokenizer), torch.device("cuda"), torch.float32)
    for number, batch in enumerate(2 * batches, 1):  # all shapes are recorded
        learner.step(batch, Clock(1.0, 2.0), number)
    with waiting_forbidden():
        losses = [learner.step(batch, Clock(1.0, 2.0), number).total for number, batch in enumerate(batches, 7)]
    assert all(bool(loss.isfinite()) for loss in losses)


@pytest.mark.parametrize("preset", [pytest.param(name, marks=CUDA) for name in GRAPHS])
@pytest.mark.usefixtures("exact_products")
def test_repeated_graphs_train_like_the_operations_one_by_one(
    tiny_corpus: Corpus, preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout and all other noise, which a graph draws anew each time it is repeated."""
    made = new_run(tiny_corpus, "made", preset, "cuda", graphs=True)
    settings = layers.load(made.path / "config.yaml")
    sentences = sorted(tiny_corpus.split("train"), key=len)
    batches = 6 * [collate(sentences[start : start + 8]) for start in (0, 36, len(sentences) - 8)]
    monkeypatch.setattr(training_learner, "obstacle", lambda *_: "")
    found, random = [], []
    for recorded in (True, False):
        learner = Learner(settings, len(tiny_corpus.tokenizer), torch.device("cuda", 0), torch.float32)
        learner.model.train()
        assert learner.graphs is not None
        if not recorded:
            monkeypatch.setattr(learner.graphs, "record", lambda action: action)
        steps = [learner.step(batch, Clock(n / 9, 2.0), n) for n, batch in enumerate(batches, 1)]
        learner.check_finite()
        found.append([(float(loss.total), float(loss.distortion), float(loss.rate)) for loss in steps])
        random.append(torch.cuda.get_rng_state().tolist())
    assert random[0] == random[1]
    assert close(*found, VERY_CLOSE)


@pytest.mark.parametrize("preset", [pytest.param(name, marks=CUDA) for name in GRAPHS])
@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.usefixtures("exact_products")
def test_a_training_with_noise_of_the_device_resumes(
    tiny_corpus: Corpus, preset: str, graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_learner, "obstacle", lambda *_: "" if graphs else "not asked for")
    whole, again, parts = (new_run(tiny_corpus, name, preset, "cuda", graphs=graphs) for name in ("a", "b", "c"))
    fit(whole, tiny_corpus)
    fit(again, tiny_corpus)
    calls = iter(range(1000))
    fit(parts, tiny_corpus, stop=lambda: next(calls) > STEPS // 2 + 4)
    fit(parts, tiny_corpus, resume=True)
    figures = [[(line["neg_elbo"], line["rate"]) for line in run.metrics()] for run in (whole, again, parts)]
    assert close(figures[1], figures[0], VERY_CLOSE), "two trainings of one seed"
    assert close(figures[2], figures[0], VERY_CLOSE)


@contextmanager
def waiting_forbidden() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")

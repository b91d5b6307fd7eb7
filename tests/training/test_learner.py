"""One step: its learning rate, the part it updates, the averaged weights; the optimizer's state in a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.data.batching import collate
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import CheckpointError
from seqvae_cli.model import SentenceVAE
from seqvae_cli.runs import checkpoint
from seqvae_cli.training import learner
from seqvae_cli.training.learner import belongs_to_encoder
from seqvae_cli.training.schedule import Clock
from tests.trainings import changed, copied, small_learner


def test_a_step_takes_the_learning_rate_of_its_moment(tiny_corpus: Corpus) -> None:
    batch = collate([tiny_corpus.split("train")[i] for i in range(8)])
    one = small_learner(tiny_corpus, lr=0.5)
    before = [weight.clone() for weight in one.model.parameters()]
    one.step(batch, Clock(8, 8), 1)  # at the end of the cosine: 0
    assert all(torch.equal(old, new) for old, new in zip(before, one.model.parameters(), strict=True))
    one.step(batch, Clock(0, 8), 2)
    assert not any(torch.equal(old, new) for old, new in zip(before, one.model.parameters(), strict=True))


def test_what_is_validated_is_the_running_mean_of_the_weights(tiny_corpus: Corpus) -> None:
    batch = collate([tiny_corpus.split("train")[i] for i in range(8)])
    one = small_learner(tiny_corpus, lr=0.5, average=0.75)
    assert one.evaluated is not one.model
    mean: list[torch.Tensor] = []
    for number in range(4):
        one.step(batch, Clock(1, 8), number + 1)
        weights = [weight.detach().clone() for weight in one.model.parameters()]
        decay = min(0.75, (1 + number) / (10 + number))  # it warms up
        mean = [decay * old + (1 - decay) * new for old, new in zip(mean, weights, strict=True)] if mean else weights
    for expected, found, last in zip(mean, one.evaluated.parameters(), one.model.parameters(), strict=True):
        torch.testing.assert_close(found, expected)
        assert not torch.equal(found, last)
    assert one.evaluated.decoder.vocabulary.weight is one.evaluated.encoder.embedding.weight


def test_without_averaging_the_model_itself_is_validated(tiny_corpus: Corpus) -> None:
    one = small_learner(tiny_corpus, lr=0.5)
    assert one.evaluated is one.model


@pytest.mark.parametrize("part", ["all", "encoder", "decoder"])
def test_a_step_of_one_part_changes_that_part_alone(tiny_corpus: Corpus, part: str) -> None:
    batch = collate([tiny_corpus.split("train")[i] for i in range(8)])
    one = small_learner(tiny_corpus)
    before = copied(one.model)
    one.step(batch, Clock(5, 10), 1, part=part)
    own = {name for name in before if belongs_to_encoder(name)}
    expected = {"all": set(before), "encoder": own, "decoder": set(before) - own}[part]
    assert changed(before, one.model) == expected
    assert any(name.startswith("encoder.lstm") for name in own)
    assert not any("embedding" in name for name in own)


# --- the optimizer's state


def tiny_model(tied: bool = False) -> SentenceVAE:
    settings = ModelSettings(embed_size=6, hidden_size=8, latent_size=2, dropout=0.3, tied=tied)
    return SentenceVAE(settings, 11)


def bits(tensors: dict[str, Tensor]) -> dict[str, bytes]:
    return {name: value.contiguous().numpy().tobytes() for name, value in sorted(tensors.items())}


def steps(model: SentenceVAE, optimizer: torch.optim.Optimizer, count: int) -> None:
    model.train()
    for i in range(count):
        batch = collate([torch.arange(4, 5 + i % 6).numpy(), torch.tensor([4, 9, 10]).numpy()])
        terms = model(batch)
        optimizer.zero_grad()
        (terms.distortion.mean() + terms.kl.sum(1).mean()).backward()
        optimizer.step()


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "free"])
def test_going_on_from_a_checkpoint_gives_the_bits_of_never_having_stopped(
    fused: bool, tied: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = tiny_model(tied)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=fused)
    steps(model, optimizer, 5)
    state = torch.get_rng_state()
    saved = learner.optimizer_tensors(model, optimizer)
    assert len(saved) == 3 * len(list(model.parameters()))
    path = checkpoint.write(tmp_path, 5, {"model": model.state_dict(), "training": saved})
    steps(model, optimizer, 5)

    other = tiny_model(tied)
    checkpoint.load_weights(other, path)
    again = torch.optim.Adam(other.parameters(), lr=0.01, fused=fused)
    learner.restore_optimizer(other, again, checkpoint.read_tensors(path / "training.safetensors"))
    torch.set_rng_state(state)
    steps(other, again, 5)
    assert bits(other.state_dict()) == bits(model.state_dict())
    assert bits(learner.optimizer_tensors(other, again)) == bits(learner.optimizer_tensors(model, optimizer))
    checkpoint.verify(path)  # going on changed nothing on disk


def test_an_optimizer_without_its_state_would_go_another_way() -> None:
    torch.manual_seed(0)
    model, other = tiny_model(), tiny_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    steps(model, optimizer, 5)
    other.load_state_dict(model.state_dict())
    state = torch.get_rng_state()
    steps(model, optimizer, 1)
    torch.set_rng_state(state)
    steps(other, torch.optim.Adam(other.parameters(), lr=0.01), 1)
    assert bits(other.state_dict()) != bits(model.state_dict())


def test_optimizer_state_of_another_shape_is_refused() -> None:
    model = tiny_model()
    optimizer = torch.optim.Adam(model.parameters())
    steps(model, optimizer, 1)
    tensors = learner.optimizer_tensors(model, optimizer)
    name = "encoder.mean.weight/exp_avg"
    tensors[name] = torch.zeros(3, 3)
    with pytest.raises(CheckpointError, match=name):
        learner.restore_optimizer(model, torch.optim.Adam(model.parameters()), tensors)

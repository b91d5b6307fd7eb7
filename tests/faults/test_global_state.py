"""Row 32: a program that has changed torch's global state, and what the library leaves of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch

from seqvae_cli.api import Model, load
from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.evaluation import diagnosis
from seqvae_cli.latent.strategy import Strategy
from seqvae_cli.model import SentenceVAE
from seqvae_cli.training import aggressive, session
from seqvae_cli.training.events import StepEvent
from tests.trainings import assert_same_run, fit, new_run

pytestmark = pytest.mark.row(32)

SENTENCES = ["the cat sees the sea", "a dog likes it", "my sister paints a red house"]


def pandas_frame() -> Any:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    return pandas.DataFrame({"text": SENTENCES})


READ: dict[str, Callable[[Model], Any]] = {
    "encode": lambda model: model.encode(SENTENCES),
    "posterior": lambda model: model.posterior(SENTENCES),
    "encode_frame": lambda model: model.encode_frame(pandas_frame(), "text").to_numpy(),
    "encode_stream": lambda model: model.encode_stream(SENTENCES),
    "decode": lambda model: model.decode(np.ones((2, 4)), Strategy(temperature=0.7, top_k=5, top_p=0.9)),
    "decode_stream": lambda model: model.decode_stream(np.ones((2, 4), np.float32), Strategy(beam=3), max_len=9),
    "reconstruct": lambda model: model.reconstruct(SENTENCES),
    "reconstruct_stream": lambda model: model.reconstruct_stream(SENTENCES),
    "unknown": lambda model: model.unknown("a whale"),
    "sample": lambda model: model.sample(3, start="the"),
    "samples": lambda model: model.samples(3, log_probs=True, batch_size=2, max_len=6),
    "interpolate": lambda model: model.interpolate(*SENTENCES[:2], path="spherical"),
    "interpolation": lambda model: model.interpolation(random=True, steps=3, even=True),
    "mean_code": lambda model: model.mean_code(SENTENCES),
    "offset": lambda model: model.offset(SENTENCES[:1], SENTENCES[1:]),
    "shift": lambda model: model.shift(SENTENCES, np.ones(4), Strategy(beam=2)),
    "shift_stream": lambda model: model.shift_stream(SENTENCES, np.ones(4)),
    "traverse": lambda model: model.traverse(random=True, steps=3).to_json(),
    "require_latent": lambda model: model.require_latent(),
    "score": lambda model: model.score(SENTENCES, samples=3),
    "score_stream": lambda model: model.score_stream(SENTENCES),
    "corpus": lambda model: model.corpus().name,
    "evaluate": lambda model: model.evaluate(samples=3, elbo_samples=2).to_json(),
    "store": lambda model: model.store(model.evaluate(samples=1)),
    "diagnose": lambda model: model.diagnose(),
    "sample_quality": lambda model: model.sample_quality(count=8),
    "path_quality": lambda model: model.path_quality(pairs=2, steps=3),
    "export": lambda model: [
        path.name for path in model.export(Path(mkdtemp(dir=model.run.path)) / "new", "safetensors")
    ],
    "candidates": lambda model: model.candidates("valid").rows.tolist(),
    "neighbours": lambda model: model.neighbours(SENTENCES, metric="kl"),
    "neighbours_stream": lambda model: model.neighbours_stream(SENTENCES, SENTENCES, n=2),
    "project": lambda model: model.project(),
    "project_sentences": lambda model: model.project_sentences(SENTENCES, "aba", most=2),
    "map": lambda model: model.map(method="pca").points,
}


@contextmanager
def changed_defaults() -> Iterator[None]:
    """Within, a tensor made without a type is float64, and one made without a device is on `meta`, without data."""
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def global_state() -> list[str]:
    states = torch.get_rng_state().tolist(), np.random.get_state(), random.getstate()  # noqa: NPY002 - that very state
    return [str(torch.get_default_dtype()), str(torch.get_default_device()), str(torch.is_grad_enabled()), repr(states)]


def drained(found: Any) -> str:
    """What was found, to the last digit; whatever the library yields, the state is untouched between two items."""
    if isinstance(found, Iterator):
        before, items = global_state(), []
        for item in found:
            assert global_state() == before
            items.append(item)
        found = items
    return exactly(found)


def exactly(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.tolist()}"
    if hasattr(value, "__dataclass_fields__"):
        return exactly(vars(value))
    if isinstance(value, dict):
        return exactly(list(value.items()))
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(exactly(part) for part in value)
    return repr(value)


def test_every_method_of_a_model_is_tried() -> None:
    assert {name for name in dir(Model) if not name.startswith("_") and callable(getattr(Model, name))} == set(READ)


@pytest.mark.usefixtures("trained_home")
@pytest.mark.parametrize("name", READ)
def test_reading_depends_on_no_global_state_and_changes_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", None)  # who calls it fails
    expected = drained(READ[name](load("tiny-run")))
    with changed_defaults():
        before = global_state()
        found = drained(READ[name](load("tiny-run")))
        assert global_state() == before
    assert found == expected


def test_a_loaded_network_is_the_trained_one_without_gradients(trained_home: Any) -> None:
    assert trained_home.is_dir()
    network = load("tiny-run").network
    assert network.decoder.vocabulary.weight is network.decoder.embedding.weight is network.encoder.embedding.weight
    assert not network.training
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in network.parameters())
    assert not any(buffer.is_meta for buffer in network.buffers())


KINDS: dict[str, dict[str, object]] = {
    "default": {},
    "on the sphere": {
        "model__posterior": "vmf",
        "model__concentration": 0.0,
        "model__prior": "vamp",
        "model__pooling": "mean",
        "objective__min_rate": 2.0,
    },
    "mixture": {
        "model__prior": "mixture",
        "model__bidirectional": True,
        "model__pooling": "rotary",
        "model__latent_rotary": True,
        "model__word_dropout": 0.3,
        "model__shortlist": 8,
        "train__average": 0.9,
        "train__pretrain": 1,
    },
    "aggressive": {"train__aggressive": True, "train__epochs": 1, "model__cell": "gru", "model__pooling": "last"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_training_and_resuming_depend_on_no_default(
    tiny_corpus: Corpus, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggressive, "MAX_ENCODER_STEPS", 5)
    settings = {"model__components": 3} | KINDS[kind]
    plain = new_run(tiny_corpus, "plain", **settings)
    fit(plain, tiny_corpus)
    changed = new_run(tiny_corpus, "changed", **settings)
    calls = iter(range(1000))
    with changed_defaults():
        fit(changed, tiny_corpus, stop=lambda: next(calls) > 3)
        assert changed.info["status"] == "interrupted"
        fit(changed, tiny_corpus, resume=True)
        assert (torch.get_default_dtype(), torch.get_default_device().type) == (torch.float64, "meta")
    assert_same_run(plain, changed)


def test_loading_and_reading_beside_a_training_do_not_change_it(tiny_corpus: Corpus) -> None:
    quiet, disturbed = new_run(tiny_corpus, "quiet"), new_run(tiny_corpus, "disturbed")
    fit(quiet, tiny_corpus)
    loaded = 0
    for event in session.fit(disturbed, tiny_corpus):
        if isinstance(event, StepEvent):
            model = load("tiny-run")
            model.sample(2)
            model.diagnose()
            loaded += 1
    assert loaded
    assert_same_run(quiet, disturbed)


def test_a_probe_depends_on_no_default_and_draws_nothing() -> None:
    """`tiny` has no hidden factors, so that no diagnosis of it probes."""
    draw = np.random.default_rng(0)
    codes = torch.from_numpy(draw.standard_normal((60, 3), dtype=np.float32))
    labels = torch.from_numpy((codes.numpy()[:, 0] > 0.3).astype(np.int64))
    labels[::7] = 2
    arguments = codes[:40], labels[:40], codes[40:], labels[40:]
    expected = diagnosis.probe(*arguments)
    with changed_defaults():
        before = global_state()
        assert diagnosis.probe(*arguments) == expected
        assert global_state() == before
    assert 0 < expected < 1


def test_a_network_is_made_in_float32_on_the_cpu_unless_told_otherwise() -> None:
    settings = ModelSettings(embed_size=4, hidden_size=4, latent_size=2, shortlist=5)
    with changed_defaults():
        torch.manual_seed(0)
        made = SentenceVAE(settings, 20)
    torch.manual_seed(0)
    expected = SentenceVAE(settings, 20).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in made.state_dict().items())

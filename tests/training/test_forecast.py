"""How long a training will take: what it grows with, and that it needs no PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from seqvae_cli.config import layers
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.training import forecast

SIZES = {"sentences": 1000, "tokens": 13_000, "words": 2000}


def guessed(sizes: dict[str, int] = SIZES, **overrides: object) -> float:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return forecast.seconds(layers.resolve(overrides=dotted), **sizes)


def test_more_work_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "speed", lambda: forecast.REFERENCE)
    usual = guessed()
    assert guessed(train__epochs=60) == pytest.approx(2 * usual)
    assert guessed({**SIZES, "sentences": 10_000, "tokens": 130_000}) > 9 * usual
    for more in ({"train__batch_size": 8}, {"model__hidden_size": 512}, {"model__embed_size": 512}):
        assert guessed(**more) > usual, more
    assert guessed(train__batch_tokens=100) > guessed(train__batch_tokens=1000)


def test_a_slower_machine_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "speed", lambda: forecast.REFERENCE)
    usual = guessed()
    monkeypatch.setattr(forecast, "speed", lambda: 3 * forecast.REFERENCE)
    assert guessed() == pytest.approx(3 * usual)


def test_the_forecast_is_of_the_settings_that_a_training_would_have(tiny_corpus: Corpus) -> None:
    from seqvae_cli.training import session

    settings, seconds = forecast.of_default(tiny_corpus)
    assert settings == session.settle(corpus=tiny_corpus)[0]
    assert 0 < seconds < 3600


def test_it_does_without_pytorch() -> None:
    code = "import sys, seqvae_cli.training.forecast; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

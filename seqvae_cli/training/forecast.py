"""How long a training will take on a CPU, guessed from its sizes and the speed of the machine, without PyTorch."""

from __future__ import annotations

import math
import time

import numpy as np

from seqvae_cli.config import layers
from seqvae_cli.config.adapt import adapted
from seqvae_cli.config.schema import Settings
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.training.facts import facts

STEP = 2.0e-3
"""Seconds of a training step that do not depend on the sizes."""
TOKEN = 2.0e-4
"""Seconds for a time step of the recurrent networks, whatever the batch."""
RATE = 4.0e10
"""Multiplications and additions a second of the others."""
REFERENCE = 3.0e-4
"""Seconds of `speed` on the machine on which these were measured: docs/performance.md."""


def of_default(corpus: Corpus) -> tuple[Settings, float]:
    """The settings of the preset `default` on a corpus, and the seconds that its training takes here, at most."""
    preset = layers.resolve()
    settings = layers.resolve(adapted=adapted(preset, facts(corpus)))
    counts = corpus.info["splits"]["train"]
    return settings, seconds(settings, counts["sentences"], counts["tokens"], len(corpus.tokenizer))


def seconds(settings: Settings, sentences: int, tokens: int, words: int) -> float:
    """Seconds of all epochs on this machine's CPU; an early stop ends sooner.

    sentences, tokens: those of the training split, `<eos>` counted; words: the size of the vocabulary.
    """
    model, train = settings.model, settings.train
    length = tokens / max(1, sentences)
    steps = (
        math.ceil(sentences / train.batch_size) if not train.batch_tokens else math.ceil(tokens / train.batch_tokens)
    )
    chosen = min(words, model.shortlist or words)
    recurrent = 4 * model.hidden_size * (2 * (model.embed_size + model.hidden_size) + model.latent_size)
    output = model.embed_size * (model.hidden_size + chosen)
    # Forward, and twice as much backward; each multiplication with its addition.
    work = 6 * tokens * (recurrent + output) / RATE
    return train.epochs * (steps * (STEP + TOKEN * length) + work) * speed() / REFERENCE


def speed() -> float:
    """Seconds of a small matrix product on one core: the fastest of a few."""
    random = np.random.default_rng(0)
    left, right = (random.random(shape, np.float32) for shape in ((64, 512), (512, 1024)))
    times = []
    for _ in range(20):
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return min(times)

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

STEP, TOKEN, PARAMETER = 4.0e-3, 3.5e-5, 7.3e-9
"""Seconds of a training step: at least, for each token, and for each parameter.

Least squares over 18 steps of the default preset with 128 and 256 dimensions, batches of 4 to 32, sentences of 6 to 40
tokens and 60 to 8,500 words, on two idle cores of an AMD EPYC in bfloat16; none is off by more than 19 %.
"""
VALIDATION = 1.15
"""Times that of the steps alone: what validation and checkpoints take besides."""
REFERENCE = 5.9e-4
"""Seconds of `speed` on that machine."""


def of_default(corpus: Corpus) -> tuple[Settings, float]:
    """The settings of the preset `default` on a corpus, and the seconds that its training takes here, at most."""
    preset = layers.resolve()
    settings = layers.resolve(adapted=adapted(preset, facts(corpus)))
    counts = corpus.info["splits"]["train"]
    return settings, seconds(settings, counts["sentences"], counts["tokens"], len(corpus.tokenizer))


def seconds(settings: Settings, sentences: int, tokens: int, words: int) -> float:
    """Seconds of all epochs of a model with one layer on this machine's CPU; an early stop ends sooner.

    sentences, tokens: those of the training split, `<eos>` counted; words: the size of the vocabulary.
    """
    model, train = settings.model, settings.train
    steps = math.ceil(tokens / train.batch_tokens) if train.batch_tokens else math.ceil(sentences / train.batch_size)
    recurrent = 4 * model.hidden_size * (2 * (model.embed_size + model.hidden_size) + model.latent_size)
    step = STEP + PARAMETER * (recurrent + words * model.embed_size)
    return train.epochs * (steps * step + tokens * TOKEN) * VALIDATION * speed() / REFERENCE


def speed() -> float:
    """Seconds of 128 small matrix products on one core: the fastest of a few tries.

    OpenBLAS takes one thread for so small a product. With more, a busy machine seemed two hundred times slower.
    """
    random = np.random.default_rng(0)
    left, right = random.random((2, 128, 64, 64), np.float32)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return min(times)

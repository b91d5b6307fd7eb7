"""The statistics of a training split from which settings follow, without PyTorch."""

from __future__ import annotations

import numpy as np

from seqvae_cli.config.adapt import Facts
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.tokenizer import UNK

NEVER_SEEN = chr(0x10FFFD)
"""A character without a meaning, which text does not have."""


def facts(corpus: Corpus) -> Facts:
    """What the settings of a run on this corpus follow from."""
    train = corpus.split("train")
    counts = train.counts(len(corpus.tokenizer))
    once, twice = (int((counts == number).sum()) for number in (1, 2))
    # A tokenizer may know every text, and text that has `<unk>` for its rare words has taught it already.
    known = UNK not in corpus.tokenizer.encode(NEVER_SEEN) or counts[UNK] > once
    if known:
        once = twice = 0
    seen = counts[counts > 0]
    nats = float((seen * np.log(seen.sum() / seen)).sum() / max(1, len(train)))
    return Facts(len(train), once, twice, float(seen.mean()) if len(seen) else 0.0, nats)

"""The rule by which the sizes of a preset follow from the training split.

A preset gives batches, epochs, phases, dropout and free bits for `FULL` sentences and more, the sizes of `toy` and the
Penn Treebank. A smaller corpus gets smaller batches, more epochs and larger steps of the optimizer, so that it gets far
enough; a smaller network and more dropout, since it is read more often. Its free bits fall to 0 towards the end: the
code learns to say something with them, and nats that do not pay are given back.
docs/settings.md has the rule as a table, with what it was chosen by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from seqvae_cli.config.schema import Settings

FULL, FEW = 20_000, 300
"""Training sentences between which dropout and free bits go from the preset's to those of the smallest corpora."""
SCARCE = 200
"""Training sentences below which a code does not pay: none of its bits are free."""
SMALL = 5_000
"""Training sentences below which a network has half the dimensions, unless words are `FREQUENT`."""
FREQUENT = 200
"""Times that a word occurs on average, from which on even a small corpus teaches all dimensions."""
COMMON = 10
"""Times that a word occurs on average, from which on only a corpus below `LONGER` sentences needs more dropout."""
STEPS = 48
"""Steps of an epoch, about: a batch is that part of a small corpus."""
SMALLEST_BATCH = 4
LONGER = 3_000
"""Training sentences below which there are more epochs, and where words are `COMMON` more dropout."""
FASTEST = 4.0
"""Times the learning rate of the preset, at most."""
FREE_SHARE, HIGH_SHARE = 0.15, 0.26
"""Share of the unigram NLL that free bits have, at most; that of a preset of over `HIGH` free bits."""
HIGH = 10
"""Free bits of a preset, in nats, from which on a high rate is its purpose."""
KEYS = (
    *("train.unknown", "train.batch_size", "train.epochs", "train.pretrain", "train.early_stop", "train.lr"),
    *("objective.kl_hold", "objective.kl_warmup", "objective.free_bits_total", "objective.free_bits_fade"),
    *("model.embed_size", "model.hidden_size", "model.encoder_size", "model.dropout"),
)
"""The settings that follow from a corpus."""


@dataclass(frozen=True)
class Facts:
    """What the rule reads of a training split."""

    sentences: int
    seen_once: int
    """Words that occur once; 0 where an unknown word cannot occur, or the text itself has `<unk>`."""
    seen_twice: int
    occurrences: float
    """How often a word of the vocabulary occurs, on average."""
    unigram_nll: float
    """Nats of a sentence under the frequencies of its words alone."""


def adapted(settings: Settings, facts: Facts) -> dict[str, Any]:
    """The settings, by dotted key, that those of a preset give way to on a split; none without `train.adapt`."""
    train, model, objective = settings.train, settings.model, settings.objective
    if not train.adapt:
        return {}
    found: dict[str, Any] = {"train.unknown": unknown_share(facts)}
    if objective.free_bits_total:
        share = HIGH_SHARE if objective.free_bits_total > HIGH else FREE_SHARE
        most = round(share * facts.unigram_nll, 1) if facts.sentences >= SCARCE else 0.0
        found["objective.free_bits_total"] = min(objective.free_bits_total, most)
    sentences = max(1, facts.sentences)
    small = smallness(sentences)
    if not small:
        return found
    longer = max(1.0, LONGER / sentences) ** 0.25
    epochs = round(train.epochs * longer)
    if objective.free_bits_total:
        found["objective.free_bits_fade"] = 1 - 0.7 * min(1.0, 2 * small)
    if train.lr_schedule != "plateau":  # its last plateau ends a training
        found["train.early_stop"] = train.early_stop or max(5, epochs // 2)
    if sentences < SMALL and facts.occurrences < FREQUENT:
        sizes = ("embed_size", "hidden_size", "encoder_size")
        found |= {f"model.{size}": math.ceil(getattr(model, size) / 2) for size in sizes}
    read_often = small if facts.occurrences < COMMON else smallness(sentences, LONGER)
    part = 2 ** round(math.log2(sentences / STEPS))
    return found | {
        "train.batch_size": min(train.batch_size, max(SMALLEST_BATCH, part)),
        "train.epochs": epochs,
        "train.lr": train.lr * min(FASTEST, math.sqrt(FULL / sentences)),
        "train.pretrain": train.pretrain * longer,
        "objective.kl_hold": objective.kl_hold * longer,
        "objective.kl_warmup": objective.kl_warmup * longer,
        "model.dropout": model.dropout + max(0.0, 0.65 - model.dropout) * read_often,
    }


def smallness(sentences: int, full: int = FULL) -> float:
    """Where a corpus stands between `full` sentences, 0, and `FEW`, 1, on a logarithmic scale."""
    return min(1.0, max(0.0, math.log(full / max(1, sentences)) / math.log(full / FEW)))


def unknown_share(facts: Facts) -> float:
    """The share of the words seen once that training reads as unknown.

    By Good's estimates (1953, equation 9), of T tokens n1 / T of new text are words not seen, and 2 n2 / T are words
    seen once, with n1 words seen once and n2 seen twice. This share gives `<unk>` and the others these proportions.
    """
    if not facts.seen_once:
        return 0.0
    return facts.seen_once / (facts.seen_once + 2 * facts.seen_twice)

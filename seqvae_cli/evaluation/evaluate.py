"""All figures of one model on one split, with the signature that reproduces them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from seqvae_cli.data import text_counts
from seqvae_cli.data.batching import by_length
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.evaluation import bounds, metrics
from seqvae_cli.evaluation.figures import FIGURES, Measurements
from seqvae_cli.evaluation.words import Words
from seqvae_cli.latent import generate
from seqvae_cli.latent.strategy import GREEDY
from seqvae_cli.model import SentenceVAE
from seqvae_cli.system.processes import ALONE, Processes
from seqvae_cli.system.progress import Advance, Stages, silent
from seqvae_cli.system.runtime import precision_name
from seqvae_cli.version import __version__

BATCH_SIZE = 128
"""Sentences that are reconstructed at once."""


@dataclass(frozen=True)
class Evaluation:
    """The figures of one model on one split. Each is an attribute, too: `evaluation.iw_ppl`."""

    split: str
    sentences: int
    tokens: int
    """Predicted tokens, `<eos>` counted."""
    truncated: int
    """Sentences that were cut when the corpus was prepared."""
    figures: Mapping[str, float | None]
    """By key, in the order of `FIGURES`; None where a figure is unknown."""
    signature: str
    """Everything that the figures depend on."""

    def __getattr__(self, key: str) -> Any:
        figures = self.__dict__.get("figures", {})
        if key not in figures:
            raise AttributeError(f"an evaluation has no figure {key!r}")
        return figures[key]

    def to_json(self) -> dict[str, object]:
        """One flat object, without unknown figures; null for a perplexity that overflows."""
        known = {key: value for key, value in self.figures.items() if value is not None}
        head = {"split": self.split, "sentences": self.sentences, "tokens": self.tokens, "truncated": self.truncated}
        return {**head, **metrics.finite_values(known), "signature": self.signature}


def reconstructions(
    network: SentenceVAE,
    split: metrics.SplitLike,
    *,
    unk: bool = True,
    precision: torch.dtype = torch.float32,
    watch: Advance,
    processes: Processes = ALONE,
) -> list[list[int]]:
    """Token ids that the posterior mean of each sentence is greedily decoded into, in the order of the split.

    At most twice those of the sentence, or twice `usual_length` if that is more. unk: whether `<unk>` may be chosen.
    watch: told tokens of the sentences. processes: the batches are shared out to them, and the first gets them all.
    """
    greedy = replace(GREEDY, unk=unk)
    lengths = split.lengths
    limits = 2 * lengths.clip(min=metrics.usual_length(lengths))
    found: list[list[int]] = [[] for _ in range(len(split))]
    for rows in by_length(lengths, BATCH_SIZE)[processes.rank :: processes.size]:
        sentences, longest = [split[int(i)] for i in rows], int(limits[rows].max())
        decoded = generate.reconstruct(network, sentences, greedy, max_len=longest, precision=precision)
        for i, words in zip(rows.tolist(), decoded, strict=True):
            found[i] = words[: limits[i]]
        watch(int(lengths[rows].sum()) + len(rows))
    shares = processes.gathered(found)  # empty where a sentence is another's
    return [next(filter(None, words), []) for words in zip(*shares, strict=True)]


def evaluate(
    network: SentenceVAE,
    corpus: Corpus,
    split: str = "test",
    *,
    weights: str,
    samples: int = 500,
    elbo_samples: int = 1,
    seed: int = 0,
    unk: bool = True,
    precision: torch.dtype = torch.float32,
    stage: Stages = silent,
    processes: Processes = ALONE,
) -> Evaluation:
    """All of `FIGURES` on `split` of the corpus that the network was trained on.

    weights: their name in the signature, RUN@STEP; samples: K of the importance-weighted bound; elbo_samples: z a
    sentence for the -ELBO; unk: whether reconstructions may have `<unk>`; processes: those that share the sentences and
    get the same result. Raises `DataError` for a damaged corpus, `UsageError` for an unknown or empty split.
    """
    corpus.verify()
    data = corpus.nonempty_split(split)
    count, lengths = len(data), data.lengths
    tokens = int(lengths.sum()) + count
    if not network.settings.latent_size:
        samples = 1  # without a latent code the bound is exact
    own = tokens // processes.size
    shared: dict[str, Any] = {"precision": precision, "processes": processes}
    elbo = metrics.elbo(network, data, seed=seed, samples=elbo_samples, watch=stage("ELBO", own), **shared)
    outputs = reconstructions(network, data, unk=unk, watch=stage("reconstruction", own), **shared)
    bound = stage("importance-weighted bound", own * samples)
    nlls = bounds.iw_nll(network, data, samples=samples, seed=seed, watch=bound, **shared)
    tokenizer = corpus.tokenizer

    def figures() -> dict[str, float | None]:
        inputs: list[list[int]] = [data[i].tolist() for i in range(count)]
        pairs = zip(inputs, outputs, strict=True)
        measured = Measurements(
            elbo=elbo,
            bounds=nlls,
            samples=samples,
            inputs=inputs,
            outputs=outputs,
            exact=[ids == made or tokenizer.same_text(ids, made) for ids, made in pairs],
            words=Words(tokenizer, inputs),
            text=text_counts.of_split(corpus, split),
            log_probs=corpus.log_probs(split),
            entropy=corpus.entropy,
        )
        return {key: figure.measure(measured) for key, figure in FIGURES.items()}

    signature = "|".join(
        [
            f"data:{corpus.name}@{corpus.hash[:12]}",
            f"split:{split}@{data.hash[:12]}",
            f"run:{weights}",
            f"K:{samples}",
            f"elbo_samples:{elbo_samples}",
            f"seed:{seed}",
            f"tok:{tokenizer.kind}",
            f"precision:{precision_name(precision)}",
            f"version:{__version__}",
        ]
    )
    return Evaluation(
        split=split,
        sentences=elbo.sentences,
        tokens=elbo.tokens,
        truncated=int(corpus.info["splits"][split]["truncated"]),
        figures=processes.by_first(figures),
        signature=signature,
    )

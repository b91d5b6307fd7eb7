"""Quality of a model's samples, compared with real sentences.

A sentence is a list of token ids. Distinct-2 and self-BLEU are of words (`evaluation.words`), perplexities and lengths
of tokens. Figures that depend on the number of sentences are computed on equally many samples
and real sentences.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.evaluation.ngrams import KneserNey
from seqvae_cli.evaluation.subset import spread_indices
from seqvae_cli.evaluation.words import Words
from seqvae_cli.latent import generate
from seqvae_cli.latent.paths import Sentence
from seqvae_cli.latent.strategy import ANCESTRAL
from seqvae_cli.model import SentenceVAE
from seqvae_cli.system.progress import Stages, silent

SAMPLES = 10_000
"""Number of samples."""

LEARNED = 200_000
"""Sentences of train that the n-gram model behind the perplexities learns from, at most; evenly spread. It takes some
200 bytes a token."""
BLEU_SENTENCES = 500
"""Most sentences that self-BLEU compares: its cost grows with their square."""


@dataclass(frozen=True)
class TextFigures:
    """Figures of a text, from its n-grams."""

    perplexity: float
    """Of the text under a 5-gram model of train (at most `LEARNED` sentences), a token (forward perplexity): low for
    fluent text."""
    reverse_perplexity: float
    """Of the split under a 5-gram model of the text, a token: low where the text covers much of the language (Zhao et
    al. 2018, "Adversarially regularized autoencoders")."""
    distinct_2: float
    """Distinct bigrams of words over all bigrams, 0 to 1."""
    self_bleu: float
    """BLEU-4 of the words of each sentence against all others, 0 to 100: high where sentences repeat each other."""
    length: float
    """Mean tokens a sentence, `<eos>` not counted."""


@dataclass(frozen=True)
class Quality:
    """Figures of samples from the prior, and of real sentences.

    The real sentences are the split's, except for the reverse perplexity, whose model of real sentences is fitted to
    `modelled` random sentences of train.
    """

    samples: TextFigures
    real: TextFigures
    sampled: int
    """Number of samples. Perplexity and length are of all samples, and of all sentences of the split."""
    modelled: int
    """Sentences that each model of the reverse perplexity is fitted to: as many as samples, at most all of train."""
    compared: int
    """Sentences behind each distinct-2: as many as samples, at most all of the split."""
    bleu_sentences: int
    """Sentences behind each self-BLEU."""

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {
            "samples": metrics.finite_values(asdict(self.samples)),
            "real": metrics.finite_values(asdict(self.real)),
        }


def check_split(split: str) -> None:
    """Raises `UsageError` for `train`: the n-gram model is fitted to its sentences, which biases their perplexity."""
    if split == "train":
        raise UsageError("the quality of samples is measured against a model of train", "--split valid or --split test")


def quality(
    network: SentenceVAE,
    corpus: Corpus,
    split: str = "test",
    *,
    count: int = SAMPLES,
    seed: int = 0,
    unk: bool = True,
    precision: torch.dtype = torch.float32,
    stage: Stages = silent,
) -> Quality:
    """The figures of `count` ancestral samples (z from the prior, tokens from the decoder) and of real sentences.

    unk: whether samples may have `<unk>`. A sample that reaches twice the `usual_length` of the split is cut there, and
    counted as complete.

    `corpus` is the one that the network was trained on. Raises `DataError` where it is damaged, `UsageError` for
    `train` and for an empty split.
    """
    check_split(split)
    corpus.verify()
    train, real = corpus.nonempty_split("train"), corpus.nonempty_split(split)
    watch, samples = stage("samples", count), []
    strategy, max_len = replace(ANCESTRAL, unk=unk), 2 * metrics.usual_length(real.lengths)
    for words in generate.sample(network, count, strategy, seed=seed, max_len=max_len, precision=precision):
        samples.append(words)
        watch(1)
    modelled, compared = min(count, len(train)), min(count, len(real))
    bleu_sentences = min(compared, BLEU_SENTENCES)
    random = np.random.default_rng(seed)
    sources = [train[int(i)].tolist() for i in random.choice(len(train), modelled, replace=False)]
    held_out = [real[int(i)].tolist() for i in random.permutation(len(real))]
    vocabulary, words_of = len(corpus.tokenizer), Words(corpus.tokenizer, held_out)
    watch = stage("n-gram models", 3)
    language = KneserNey.fit((train[int(i)] for i in spread_indices(len(train), LEARNED)), vocabulary)
    watch(1)

    def figures(text: Sequence[Sentence], source: Sequence[Sentence]) -> TextFigures:
        reverse = KneserNey.fit(source, vocabulary)
        watch(1)
        return TextFigures(
            perplexity=language.perplexity(text),
            reverse_perplexity=reverse.perplexity(held_out),
            distinct_2=distinct(words_of(text[:compared])),
            self_bleu=self_bleu(words_of(text[:bleu_sentences])),
            length=float(np.mean([len(words) for words in text])),
        )

    return Quality(
        samples=figures(samples, samples[:modelled]),
        real=figures(held_out, sources),
        sampled=count,
        modelled=modelled,
        compared=compared,
        bleu_sentences=bleu_sentences,
    )


def distinct(sentences: Sequence[Sentence], n: int = 2) -> float:
    """Distinct n-grams over all n-grams (distinct-n, Li et al. 2016), 0 to 1; NaN where there are none."""
    grams = [gram for words in sentences for gram in _grams(words, n)]
    return len(set(grams)) / len(grams) if grams else math.nan


def self_bleu(sentences: Sequence[Sentence]) -> float:
    """Mean BLEU-4 of each sentence with all others as its references (Zhu et al. 2018, "Texygen"), 0 to 100.

    Equals sacrebleu's sentence BLEU: exponential smoothing, and only orders up to the sentence's length (effective
    order). NaN for fewer than two sentences.
    """
    from sacrebleu.metrics.bleu import BLEU

    if len(sentences) < 2:
        return math.nan
    counts = [Counter(gram for n in range(1, 5) for gram in _grams(words, n)) for words in sentences]
    # The largest count of an n-gram among the other sentences is the largest of all, or the second largest for the
    # sentence that has the largest itself: two counts an n-gram replace a loop over all pairs of sentences.
    most: Counter[Sentence] = Counter()
    second: Counter[Sentence] = Counter()
    for sentence in counts:
        for gram, times in sentence.items():
            second[gram] = max(second[gram], min(times, most[gram]))
            most[gram] = max(most[gram], times)
    lengths = [len(words) for words in sentences]
    scores = []
    for i, sentence in enumerate(counts):
        matched, total = [0] * 4, [0] * 4
        for gram, times in sentence.items():
            reference_count = second[gram] if times == most[gram] else most[gram]
            matched[len(gram) - 1] += min(times, reference_count)
            total[len(gram) - 1] += times
        closest = min(lengths[:i] + lengths[i + 1 :], key=lambda length: (abs(length - lengths[i]), length))
        found = BLEU.compute_bleu(matched, total, lengths[i], closest, smooth_method="exp", effective_order=True)
        scores.append(found.score)
    return float(np.mean(scores))


def _grams(words: Sentence, n: int) -> list[tuple[int, ...]]:
    return list(zip(*(words[i:] for i in range(n)), strict=False))

"""How the decoder uses the latent code: rate by dimension, distortion with other codes, probes, and a verdict.

Shapes: N sentences of the split, L latent dimensions, C values of a label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.labels import Label
from seqvae_cli.errors import UsageError, counted
from seqvae_cli.evaluation import disentanglement, metrics, steering
from seqvae_cli.evaluation.aggregate import active_units, mutual_information
from seqvae_cli.evaluation.disentanglement import ABSENT, Coded, Disentanglement
from seqvae_cli.evaluation.encoded import Encoded
from seqvae_cli.evaluation.steering import Steering
from seqvae_cli.evaluation.subset import spread_indices
from seqvae_cli.latent import generate
from seqvae_cli.model import SentenceVAE
from seqvae_cli.nn.distributions import kl
from seqvae_cli.system.progress import Stages, silent
from seqvae_cli.system.runtime import sentence_stream, stream

CEILING_MARGIN = 0.1
"""Nats below its ceiling, ln N, within which the estimate of the mutual information is only a lower bound."""

MOSTLY_UNUSED = 4
"""A code is mostly unused where it costs more than this times what it says."""
MOST_CLASSES = 50
"""Values of a label in a split that a probe tells apart, at most."""
LEARNED = 20_000
"""Sentences that a probe learns from, at most; evenly spread over their split."""


@dataclass(frozen=True)
class Probe:
    """Accuracy of a linear classifier that predicts a label from the posterior means: 0 to 1.

    The probe reads means without noise, even where they differ less than the posterior's width. What survives the
    noise of a draw is measured by `Diagnosis.worth` and the mutual information.
    """

    accuracy: float
    chance: float
    """Accuracy of always predicting the commonest value."""


@dataclass(frozen=True)
class Diagnosis:
    """How the decoder uses z on a split; nats a sentence unless stated otherwise."""

    sentences: int
    latent_size: int
    rate: float
    rate_by_dimension: tuple[float, ...]
    """By group of the KL: one a dimension, or a single one where the KL is not a sum over dimensions."""
    mutual_information: float
    active_units: int
    own: float
    """Distortion, -log p(x|z), with z from the sentence's own posterior."""
    shuffled: float
    """Distortion with the code of another sentence of the split."""
    prior: float
    """Distortion with a draw from the prior."""
    probes: dict[str, Probe]
    """By label of the corpus, such as the hidden factors of toy; empty where it has none."""
    left_out: dict[str, str]
    """Label without a probe -> why."""
    disentanglement: Disentanglement | None = None
    """How the labels with a probe lie in single dimensions; None where there are none."""
    steering: Steering | None = None
    """What offsets between groups do; None where no grammar can read the factors of a decoding."""

    @property
    def worth(self) -> float:
        """Nats that the decoder loses when it gets the code of another sentence: `shuffled` - `own`."""
        return self.shuffled - self.own

    @property
    def aggregate_kl(self) -> float:
        """KL(q(z) ‖ p(z)), rate - mutual information (Hoffman & Johnson 2016): the nats by which the codes of the split
        differ, all together, from what samples decode. With `at_ceiling` it is at most that."""
        return max(0.0, self.rate - self.mutual_information)

    @property
    def at_ceiling(self) -> bool:
        """Whether more sentences might show more mutual information: the estimate is near its ceiling, ln N."""
        return self.mutual_information > math.log(self.sentences) - CEILING_MARGIN

    @property
    def verdict(self) -> str:
        """One line: no code, collapsed, mostly unused, used at a high price, or used; with the figures that show it."""
        units = f"{self.active_units} of {self.latent_size} units are active"
        if not self.latent_size:
            return "no latent code: a language model"
        if self.rate < metrics.COLLAPSED or self.worth < metrics.COLLAPSED:
            return f"collapsed: a code of {self.rate:z.1f} nats is worth {self.worth:z.1f} to the decoder; {units}"
        said = f"{self.mutual_information:z.1f} of {self.rate:z.1f} nats are mutual information"
        if self.at_ceiling:
            said = f"{said}, or more: {self.sentences:,} sentences cannot show more"
        elif self.rate > MOSTLY_UNUSED * self.mutual_information:
            return f"mostly unused: {said}; {units}"
        elif self.rate > 2 * self.mutual_information:
            return f"used, at a high price: {said}; {units}"
        return f"used: {said}, the code of another sentence costs {self.worth:z.1f}; {units}"

    def to_json(self) -> dict[str, object]:
        found = {
            **asdict(self),
            "worth": self.worth,
            "aggregate_kl": self.aggregate_kl,
            "verdict": self.verdict,
        }
        return {name: value for name, value in found.items() if name != "steering" or value is not None}


def diagnose(
    network: SentenceVAE,
    corpus: Corpus,
    split: str,
    *,
    seed: int = 0,
    precision: torch.dtype = torch.float32,
    stage: Stages = silent,
) -> Diagnosis:
    """How the decoder uses z on `split`.

    `corpus` is the one that the network was trained on. Raises `DataError` where it is damaged, `UsageError` for a
    split of fewer than two sentences.
    """
    data = corpus.split(split)
    if len(data) < 2:
        raise UsageError(
            f"{split} has {counted(len(data), 'sentence')}: a diagnosis exchanges the codes of two or more"
        )
    corpus.verify()
    tokens = int(data.lengths.sum()) + len(data)
    encoded = Encoded(network, corpus, precision=precision, stage=stage)
    posterior, prior = encoded.whole(split), network.prior()
    latent = network.settings.latent_size
    noise = [sentence_stream(seed, data[i]).standard_normal(latent, dtype=np.float32) for i in range(len(data))]
    own = posterior.rsample(torch.from_numpy(np.stack(noise)))
    drawn = generate.prior_codes(network, [stream(seed, i) for i in range(len(data))])
    codes = {"own": own, "shuffled": own[derangement(len(data), seed)], "prior": drawn}
    distortions = {
        name: metrics.distortion(network, data, z, precision=precision, watch=stage(f"{name} codes", tokens))
        for name, z in codes.items()
    }
    rates = kl(posterior.apply(Tensor.double), prior, own.double()).mean(0)
    probes, left_out, lying = _labels(encoded, split, seed)
    return Diagnosis(
        sentences=len(data),
        latent_size=latent,
        rate=float(rates.sum()),
        rate_by_dimension=tuple(rates.tolist()),
        mutual_information=mutual_information(posterior, prior, own),
        active_units=active_units(posterior),
        **distortions,
        probes=probes,
        left_out=left_out,
        disentanglement=lying,
        steering=steering.measure(encoded, split),
    )


def _labels(encoded: Encoded, split: str, seed: int) -> tuple[dict[str, Probe], dict[str, str], Disentanglement | None]:
    """By label: a probe trained on train (on valid if `split` is train), tested on the posterior means of `split`.

    Sentences without the label are left out. And the labels without a probe, each with the reason; and how the others
    lie in single dimensions, with regressions trained and tested on the same splits.
    """
    corpus, means = encoded.corpus, encoded.whole(split).mean
    labels = corpus.labels(split)
    if not labels or not means.size(1):
        return {}, {}, None
    other = "train" if split != "train" else "valid"
    rows = spread_indices(corpus.sentences(other), LEARNED)
    learned = {name: Label(label.values, label.indices[rows]) for name, label in corpus.labels(other).items()}
    reasons = {name: _reason({split: labels[name], other: learned[name]}) for name in labels}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    kept = [name for name, reason in reasons.items() if not reason]
    if not kept:
        return {}, left_out, None
    learned_means = encoded.some(other, rows).mean
    found = {}
    for name in kept:
        known, tested = _labelled(learned[name]), _labelled(labels[name])
        truth = labels[name].indices[tested]
        accuracy = probe(
            *(learned_means[torch.from_numpy(known)], torch.from_numpy(learned[name].indices[known])),
            *(means[torch.from_numpy(tested)], torch.from_numpy(truth)),
        )
        found[name] = Probe(accuracy, float(np.bincount(truth).max()) / len(truth))
    parts = (
        Coded(
            codes.double().numpy(),
            {name: np.where(_labelled(of[name]), of[name].indices, ABSENT) for name in kept},
        )
        for codes, of in ((learned_means, learned), (means, labels))
    )
    return found, left_out, disentanglement.measure(*parts, seed=seed, stage=encoded.stage)


def _reason(label: Mapping[str, Label]) -> str:
    """Why a label has no probe, given of the split to test on and the split to learn from; empty where it has one."""
    values = {split: set(part.indices[_labelled(part)].tolist()) for split, part in label.items()}
    for split, found in values.items():
        if not 2 <= len(found) <= MOST_CLASSES:
            return f"{counted(len(found), 'value')} in {split}, a probe takes 2 to {MOST_CLASSES}"
    if len(shared := set.intersection(*values.values())) < 2:
        return f"{counted(len(shared), 'value')} in both {' and '.join(values)}, a probe takes 2 or more"
    return ""


def _labelled(label: Label) -> NDArray[np.bool_]:
    """Which of N sentences have a value of the label: [N]."""
    named = np.array([bool(value) for value in label.values], dtype=np.bool_)
    present: NDArray[np.bool_] = named[label.indices]
    return present


def derangement(count: int, seed: int) -> Tensor:
    """A permutation of `count` sentences that leaves none in place: each gets the next in a random cycle. [N]"""
    cycle = np.random.default_rng(seed).permutation(count)
    found = np.empty(count, dtype=np.int64)
    found[cycle] = np.roll(cycle, -1)
    return torch.from_numpy(found)


def probe(train: Tensor, labels: Tensor, test: Tensor, truth: Tensor) -> float:
    """Accuracy, 0 to 1, on the codes `test` [M, L] of a linear classifier trained on the codes `train` [N, L].

    Multinomial logistic regression on standardized codes with a weak ridge penalty, fitted by L-BFGS.
    """
    center, scale = train.mean(0), train.std(0).clamp(min=1e-6)
    classes = int(max(labels.max(), truth.max())) + 1
    weight = train.new_zeros(classes, train.size(1), requires_grad=True)
    bias = train.new_zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")
    inputs = (train - center) / scale

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(inputs, weight, bias), labels) + 1e-4 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        guessed = F.linear((test - center) / scale, weight, bias).argmax(1)
    return float((guessed == truth).double().mean())

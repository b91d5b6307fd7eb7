"""How single dimensions of the code relate to factors that are known: MIG, DCI, SAP and z-min-var.

All read posterior means, without noise, and none depends on the scale of a dimension. Each score is 0 to 1.

Shapes: N sentences, L latent dimensions, K factors.

References:
    Chen et al. 2018, Isolating Sources of Disentanglement in VAEs, arXiv 1802.04942 (MIG).
    Eastwood & Williams 2018, A Framework for the Quantitative Evaluation of Disentangled Representations (DCI).
    Kumar et al. 2018, Variational Inference of Disentangled Latent Concepts, arXiv 1711.00848 (SAP).
    Kim & Mnih 2018, Disentangling by Factorising, arXiv 1802.05983 (z-min-var, the FactorVAE score).
    Locatello et al. 2019, Challenging Common Assumptions in Disentangled Representations, arXiv 1811.12359.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.errors import DataError
from seqvae_cli.evaluation.subset import spread_indices
from seqvae_cli.system.progress import Stages, silent

Codes = NDArray[np.float64]
Values = NDArray[np.int64]

ABSENT = -1
"""In place of the value of a factor, for a sentence without it."""
MOST = 5_000
"""Sentences of each part that are used, at most; evenly spread over it."""
BINS = 20
"""Equal bins between the least and the largest value of a dimension, for its mutual information."""
VOTE = 64
"""Sentences of one vote of z-min-var."""
VOTES = 1_000
"""Votes for each factor, in each part."""
BLOCK = 2**20
"""Numbers of the sentences of votes that are counted at once."""
SEEDS = 2**32
"""Seeds that scikit-learn knows; others count modulo this."""
ITERATIONS = 200
"""Passes of a regression over its sentences, at most."""


@dataclass(frozen=True)
class Coded:
    """The codes of N sentences and the values of their factors."""

    codes: Codes
    """[N, L]"""
    factors: Mapping[str, Values]
    """By name: the index of each sentence's value, or `ABSENT`: [N]."""

    def labelled(self, name: str) -> tuple[Codes, Values]:
        """The codes and the values of the sentences that have the factor."""
        present = self.factors[name] != ABSENT
        return self.codes[present], self.factors[name][present]


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness and informativeness."""

    disentanglement: float | None
    """Whether a dimension serves one factor alone; None for a single factor."""
    completeness: dict[str, float]
    """By factor: whether one dimension alone serves it."""
    informativeness: dict[str, float]
    """By factor: the share of sentences whose value the regression names."""


@dataclass(frozen=True)
class FactorScores:
    """Scores of one factor, each 0 to 1; None where scikit-learn is not installed."""

    mig: float
    sap: float | None
    completeness: float | None
    informativeness: float | None


@dataclass(frozen=True)
class Disentanglement:
    """Scores over all factors, each 0 to 1: means over the factors, but for `disentanglement` and `z_min_var`.

    `sap` and those of DCI are None where scikit-learn is not installed; `disentanglement` and `z_min_var` also for a
    single factor.
    """

    train_sentences: int
    """Sentences that regressions and votes learn from."""
    sentences: int
    """Sentences that they are tested on, and those of the MIG."""
    mig: float
    sap: float | None
    disentanglement: float | None
    completeness: float | None
    informativeness: float | None
    z_min_var: float | None
    z_min_var_chance: float | None
    """That of codes without information: 1 / the number of `voted` factors."""
    factors: dict[str, FactorScores]


def measure(train: Coded, test: Coded, *, seed: int = 0, stage: Stages = silent) -> Disentanglement | None:
    """All scores on `test`; regressions and votes learn from `train`.

    Of each part at most `MOST` sentences are used. Factors of a single value among them are left out; None where no
    factor remains. Without scikit-learn, MIG and z-min-var alone. Raises `DataError` for codes that are not finite.
    """
    if not all(np.isfinite(part.codes).all() for part in (train, test)):
        raise DataError("the posterior means are not finite", "name another run")
    train, test = _spread(train), _spread(test)
    names = [name for name in test.factors if all(len(np.unique(part.labelled(name)[1])) > 1 for part in (train, test))]
    if not names:
        return None
    train, test = (Coded(part.codes, {name: part.factors[name] for name in names}) for part in (train, test))
    regressions = has_regressions()
    watch = stage("disentanglement", 4 if regressions else 2)
    gaps = mig(test)
    watch(1)
    votes = z_min_var(train, test, seed=seed)
    watch(1)
    predicted: dict[str, float] | None = None
    regressed: DCI | None = None
    if regressions:
        predicted = sap(train, test, seed=seed)
        watch(1)
        regressed = dci(train, test, seed=seed)
        watch(1)
    return Disentanglement(
        train_sentences=len(train.codes),
        sentences=len(test.codes),
        mig=fmean(gaps.values()),
        sap=fmean(predicted.values()) if predicted else None,
        disentanglement=regressed.disentanglement if regressed else None,
        completeness=fmean(regressed.completeness.values()) if regressed else None,
        informativeness=fmean(regressed.informativeness.values()) if regressed else None,
        z_min_var=votes,
        z_min_var_chance=None if votes is None else 1 / len(voted(train, test)),
        factors={
            name: FactorScores(
                mig=gaps[name],
                sap=predicted[name] if predicted else None,
                completeness=regressed.completeness[name] if regressed else None,
                informativeness=regressed.informativeness[name] if regressed else None,
            )
            for name in names
        },
    )


def has_regressions() -> bool:
    """Whether scikit-learn is installed: DCI and SAP need it."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        return False
    return True


def mig(coded: Coded) -> dict[str, float]:
    """Mutual information gap of each factor (Chen et al. 2018, equation 6).

    (I(z_1; v) - I(z_2; v)) / H(v), with z_1 and z_2 the two dimensions that know most of the factor v; I is the mutual
    information of the counts in `BINS` equal bins (Locatello et al. 2019). An absent second dimension knows nothing.
    """
    found = {}
    for name in coded.factors:
        codes, values = coded.labelled(name)
        second, first = _best_two([_mutual_information(_binned(z), values) for z in codes.T], least=0)
        found[name] = (first - second) / _entropy(np.bincount(values))
    return found


def sap(train: Coded, test: Coded, *, seed: int = 0) -> dict[str, float]:
    """Separated attribute predictability of each factor (Kumar et al. 2018, section 3).

    How far the dimension that predicts the factor best is ahead of the next one: the difference of their balanced
    accuracies. V - 1 thresholds, which a decision tree sets on `train`, read a factor of V values from a dimension.
    """
    from sklearn.tree import DecisionTreeClassifier

    found = {}
    for name in test.factors:
        codes, values, others, truth = _standardized(train, test, name)
        leaves = len(np.unique(values))
        tree = DecisionTreeClassifier(max_leaf_nodes=leaves, class_weight="balanced", random_state=seed % SEEDS)
        with _quiet():
            right = [tree.fit(codes[:, [i]], values).predict(others[:, [i]]) == truth for i in range(codes.shape[1])]
        recalls = [[float(hit[truth == value].mean()) for value in np.unique(truth)] for hit in right]
        second, first = _best_two([fmean(recall) for recall in recalls], least=1 / leaves)
        found[name] = first - second
    return found


def dci(train: Coded, test: Coded, *, seed: int = 0) -> DCI:
    """Disentanglement, completeness, informativeness (Eastwood & Williams 2018, section 2).

    A multinomial logistic regression with an L1 penalty, the counterpart of the paper's lasso, predicts each factor
    from the standardized codes of `train`. R [L, K]: the sizes of its weights, summed over the values of a factor, as
    shares of the factor. Completeness: 1 - the entropy, to the base L, of the shares of the dimensions in a factor.
    Disentanglement: 1 - the entropy, to the base K, of the shares of the factors in a dimension; a mean over the
    dimensions, weighted by their sums of R. Informativeness: the accuracy on `test`.
    """
    from sklearn.linear_model import LogisticRegression

    # The name of the penalty changed in scikit-learn 1.8; each version warns of the other's name.
    penalty: dict[str, Any] = {"penalty": "l1"} if LogisticRegression().l1_ratio is None else {"l1_ratio": 1}
    shares, accuracy = [], {}
    for name in test.factors:
        codes, values, others, truth = _standardized(train, test, name)
        model = LogisticRegression(solver="saga", max_iter=ITERATIONS, tol=1e-3, random_state=seed % SEEDS, **penalty)
        with _quiet():
            model.fit(codes, values)
        accuracy[name] = float((model.predict(others) == truth).mean())
        shares.append(_shares(np.abs(model.coef_).sum(0)))
    importance = np.stack(shares, axis=1)
    weights = _shares(importance.sum(1))
    one_factor = float(sum(weight * _focus(row) for weight, row in zip(weights, importance, strict=True)))
    return DCI(
        disentanglement=one_factor if len(shares) > 1 else None,
        completeness={name: _focus(share) for name, share in zip(test.factors, shares, strict=True)},
        informativeness=accuracy,
    )


def z_min_var(train: Coded, test: Coded, *, seed: int = 0) -> float | None:
    """The FactorVAE score (Kim & Mnih 2018, section 4): accuracy of naming which factor was held; None for one factor.

    A vote takes `VOTE` sentences with one value of a factor, and names the dimension that varies least among them, of
    those scaled by their deviation on `train`. The votes of `train` choose a factor for each dimension; the score is
    the share of the votes of `test` that it is right for. Both have `VOTES` for each factor. Constant dimensions are
    left out. Codes without information score 1 / the number of `voted` factors.
    """
    scale = train.codes.std(0)
    active = scale > 0
    generator = np.random.default_rng(seed)
    names = voted(train, test)
    if len(names) < 2:
        return None
    if not active.any():
        return 1 / len(names)
    learned, tested = (
        np.stack([_votes(part.codes[:, active] / scale[active], part, name, generator) for name in names])
        for part in (train, test)
    )
    guesses = learned.argmax(0)
    return float(tested[guesses, np.arange(len(guesses))].sum() / tested.sum())


def voted(train: Coded, test: Coded) -> list[str]:
    """The factors of which z-min-var has votes: those with a value that several sentences share, in both parts."""
    return [name for name in test.factors if all(len(_shared(part, name)) for part in (train, test))]


def _votes(codes: Codes, coded: Coded, name: str, generator: np.random.Generator) -> NDArray[np.int64]:
    """How many votes with the factor held go to each dimension: [L]."""
    values = coded.factors[name]
    held = values[generator.choice(_shared(coded, name), VOTES)]
    counts = np.zeros(codes.shape[1], dtype=np.int64)
    for value, votes in zip(*np.unique(held, return_counts=True), strict=True):
        rows = generator.choice(np.flatnonzero(values == value), (votes, VOTE))
        for block in np.array_split(rows, math.ceil(rows.size * len(counts) / BLOCK)):
            counts += np.bincount(codes[block].var(1).argmin(1), minlength=len(counts))
    return counts


def _shared(coded: Coded, name: str) -> NDArray[np.int64]:
    """The numbers of the sentences whose value of a factor another sentence has, too."""
    values = coded.factors[name]
    kinds, counts = np.unique(values, return_counts=True)
    shared = kinds[(counts > 1) & (kinds != ABSENT)]
    return np.flatnonzero(np.isin(values, shared))


def _spread(coded: Coded) -> Coded:
    """At most `MOST` of the sentences, evenly spread."""
    rows = spread_indices(len(coded.codes), MOST)
    return Coded(coded.codes[rows], {name: values[rows] for name, values in coded.factors.items()})


def _standardized(train: Coded, test: Coded, name: str) -> tuple[Codes, Values, Codes, Values]:
    """Codes and values of the sentences of both parts that have the factor; means and deviations are those of train."""
    (codes, values), (others, truth) = train.labelled(name), test.labelled(name)
    center, scale = codes.mean(0), codes.std(0)
    scale[scale == 0] = 1
    return (codes - center) / scale, values, (others - center) / scale, truth


def _binned(z: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each value of a dimension, 0 to `BINS` - 1: [N]."""
    least, width = float(z.min()), float(np.ptp(z))
    scaled = (z - least) / (width or 1) * BINS
    return scaled.clip(max=BINS - 1).astype(np.int64)


def _mutual_information(bins: Values, values: Values) -> float:
    """Of the counts of two discrete variables [N], in nats."""
    joint = np.bincount(bins * (int(values.max()) + 1) + values)
    return _entropy(np.bincount(bins)) + _entropy(np.bincount(values)) - _entropy(joint)


def _entropy(counts: NDArray[Any]) -> float:
    """Of the distribution that is proportional to `counts`, in nats."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _focus(shares: NDArray[np.float64]) -> float:
    """1 - entropy of non-negative shares to the base of their number: 1 for one alone, 0 for equal ones or none."""
    if not shares.sum():
        return 0.0
    return 1 - _entropy(shares) / math.log(max(len(shares), 2))


def _shares(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    total = sizes.sum()
    return sizes / total if total else sizes


def _best_two(scores: list[float], *, least: float) -> tuple[float, float]:
    """The second best and the best; `least` takes the place of an absent one."""
    second, first = sorted([least, least, *scores] if len(scores) < 2 else scores)[-2:]
    return second, first


@contextmanager
def _quiet() -> Iterator[None]:
    """Without scikit-learn's warnings: of convergence, where `ITERATIONS` bounds the time and the accuracy tells the
    rest, and of labels with many values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

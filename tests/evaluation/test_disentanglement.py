"""Scores of codes whose right value is known: factors as dimensions, rotated, and noise."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from seqvae_cli.errors import DataError
from seqvae_cli.evaluation import disentanglement
from seqvae_cli.evaluation.disentanglement import ABSENT, Coded, dci, measure, mig, sap, z_min_var
from tests.conftest import Stages

VALUES = {"two": 2, "three": 3, "six": 6, "pair": 2}
LATENT = 8
ROTATION = np.linalg.qr(np.random.default_rng(5).standard_normal((LATENT, LATENT)))[0]


def coded(seed: int, count: int = 1000, values: Mapping[str, int] = VALUES) -> Coded:
    """The first dimensions are the factors, each with a little noise of its own; the others are noise alone."""
    draw = np.random.default_rng(seed)
    factors = {name: draw.integers(0, size, count) for name, size in values.items()}
    codes = draw.standard_normal((count, LATENT))
    for place, indices in enumerate(factors.values()):
        codes[:, place] = 0.05 * codes[:, place] + (indices - indices.mean()) / indices.std()
    return Coded(codes, factors)


def noise(seed: int, count: int = 1000) -> Coded:
    return Coded(np.random.default_rng(seed).standard_normal((count, LATENT)), coded(seed + 100, count).factors)


def changed(part: Coded, codes: Any) -> Coded:
    return Coded(codes, part.factors)


def scores(train: Coded, test: Coded) -> dict[str, float]:
    found = measure(train, test)
    assert found is not None
    return {name: value for name, value in vars(found).items() if isinstance(value, float)}


@pytest.fixture(scope="module")
def dimensions() -> dict[str, float]:
    return scores(coded(0), coded(1))


def test_factors_that_are_dimensions_have_the_greatest_scores(dimensions: dict[str, float]) -> None:
    for name in ("mig", "disentanglement", "completeness"):
        assert 0.95 < dimensions[name] <= 1, name
    assert dimensions["informativeness"] == dimensions["z_min_var"] == 1
    # The next dimension is noise, which names the right one of V values in 1 / V of the sentences.
    greatest = np.mean([1 - 1 / size for size in VALUES.values()])
    assert dimensions["sap"] == pytest.approx(greatest, abs=0.05)


def test_a_rotation_mixes_factors_and_keeps_what_they_say(dimensions: dict[str, float]) -> None:
    train, test = coded(0), coded(1)
    rotated = scores(changed(train, train.codes @ ROTATION), changed(test, test.codes @ ROTATION))
    for name in ("mig", "sap", "disentanglement", "completeness"):
        assert rotated[name] < 0.5 * dimensions[name], name
    assert rotated["z_min_var"] < 0.95
    assert rotated["informativeness"] == pytest.approx(dimensions["informativeness"], abs=0.02)


def test_noise_has_the_scores_of_chance() -> None:
    found = scores(noise(0), noise(1))
    assert 0 <= found["mig"] < 0.05
    assert 0 <= found["sap"] < 0.1
    assert found["disentanglement"] < 0.25
    assert found["completeness"] < 0.25
    assert found["informativeness"] == pytest.approx(np.mean([1 / size for size in VALUES.values()]), abs=0.07)
    assert found["z_min_var"] == pytest.approx(1 / len(VALUES), abs=0.12)


def test_one_factor_spread_over_two_dimensions_is_disentangled_and_incomplete() -> None:
    train, test = coded(0), coded(1)
    for part in (train, test):
        part.codes[:, 6] = part.codes[:, 0] + 0.05 * np.random.default_rng(len(part.codes)).standard_normal(1000)
    found = dci(train, test)
    assert found.disentanglement is not None
    assert found.disentanglement > 0.95
    assert found.completeness["two"] < 0.8 < 0.95 < found.completeness["three"]
    assert mig(test)["two"] < 0.05 < 0.9 < mig(test)["three"]
    assert sap(train, test)["two"] < 0.05


def test_two_factors_in_one_dimension_are_entangled_and_complete() -> None:
    train, test = (coded(seed, values={"high": 2, "low": 2}) for seed in (0, 1))
    for part in (train, test):
        part.codes[:, 0] = 2.0 * part.factors["high"] + part.factors["low"]
        part.codes[:, 1:] = 0
    found = dci(train, test)
    assert found.disentanglement == pytest.approx(0, abs=0.05)
    assert found.completeness == {"high": pytest.approx(1), "low": pytest.approx(1)}
    assert z_min_var(train, test) == pytest.approx(1 / 2), "one dimension cannot tell which of the two was held"


def test_the_gap_is_that_of_the_mutual_information() -> None:
    """A dimension that is the factor knows all of it; one that names half of its values, one bit of two."""
    values = np.arange(400) % 4
    codes = np.stack([values, values // 2, np.arange(400) // 4], axis=1).astype(float)
    assert mig(Coded(codes[:, 1:], {"v": values})) == {"v": pytest.approx(0.5)}
    assert mig(Coded(codes, {"v": values})) == {"v": pytest.approx(0.5)}
    assert mig(Coded(codes[:, [0, 2]], {"v": values})) == {"v": pytest.approx(1)}
    assert mig(Coded(codes[:, :1], {"v": values})) == {"v": pytest.approx(1)}


def test_thresholds_read_a_factor_whose_middle_value_no_line_parts() -> None:
    """Of the values 0, 1, 2 in one dimension the middle one is between two thresholds."""
    values = np.arange(600) % 3
    part = Coded(np.stack([values, np.zeros(600)], axis=1).astype(float), {"v": values})
    assert sap(part, part) == {"v": pytest.approx(2 / 3)}
    assert sap(Coded(part.codes[:, :1], {"v": values}), Coded(part.codes[:, :1], {"v": values})) == sap(part, part)


def test_a_rare_value_counts_as_much_as_a_common_one() -> None:
    """Always naming the common value is right in half of the values, if in nine sentences of ten."""
    values = (np.arange(100) % 10 == 0).astype(np.int64)
    part = Coded(np.stack([values, np.zeros(100)], axis=1).astype(float), {"v": values})
    assert sap(part, part) == {"v": pytest.approx(1 / 2)}


@pytest.mark.parametrize("mixed", [False, True])
def test_scores_depend_on_neither_the_order_nor_the_scale_of_dimensions(mixed: bool) -> None:
    train, test = coded(0), coded(1)
    if mixed:
        train, test = (changed(part, part.codes @ ROTATION) for part in (train, test))
    before = scores(train, test)
    order = np.random.default_rng(2).permutation(LATENT)
    scale, place = 10.0 ** np.arange(-3, LATENT - 3), np.arange(LATENT)
    after = scores(*(changed(part, (part.codes * scale + place)[:, order]) for part in (train, test)))
    assert after == pytest.approx(before, abs=0.01)


def test_scores_do_not_depend_on_the_order_of_sentences() -> None:
    train, test = (changed(part, part.codes @ ROTATION) for part in (coded(0), coded(1)))
    before = scores(train, test)
    order = np.random.default_rng(3).permutation(1000)
    train, test = (
        Coded(part.codes[order], {name: values[order] for name, values in part.factors.items()})
        for part in (train, test)
    )
    after = scores(train, test)
    assert after["mig"] == pytest.approx(before["mig"], abs=1e-12)
    for name in ("sap", "disentanglement", "completeness", "informativeness"):
        assert after[name] == pytest.approx(before[name], abs=0.01), name
    assert after["z_min_var"] == pytest.approx(before["z_min_var"], abs=0.05), "other draws"


def test_sentences_without_a_factor_are_left_out_of_its_scores() -> None:
    train, test = coded(0), coded(1)
    spoiled = []
    for part in (train, test):
        draw = np.random.default_rng(4)
        factors = {**part.factors, "two": np.where(draw.random(1000) < 0.3, ABSENT, part.factors["two"])}
        codes = part.codes.copy()
        codes[factors["two"] == ABSENT, 0] = draw.standard_normal((factors["two"] == ABSENT).sum())
        spoiled.append(Coded(codes, factors))
    found = measure(*spoiled)
    assert found is not None
    assert found.factors["two"].mig > 0.95
    assert found.factors["two"].informativeness == 1


def test_a_single_factor_has_no_others_to_be_told_from() -> None:
    found = measure(*(Coded(part.codes, {"six": part.factors["six"]}) for part in (coded(0), coded(1))))
    assert found is not None
    assert found.disentanglement is found.z_min_var is None
    assert found.factors.keys() == {"six"}
    assert found.mig == found.factors["six"].mig > 0.9
    assert found.completeness == found.factors["six"].completeness
    assert found.sap == pytest.approx(5 / 6, abs=0.05)


def test_constant_factors_are_left_out_and_constant_dimensions_say_nothing() -> None:
    train, test = (
        Coded(np.zeros((50, 3)), {**coded(seed, 50).factors, "same": np.ones(50, np.int64)}) for seed in (0, 1)
    )
    found = measure(train, test)
    assert found is not None
    assert list(found.factors) == list(VALUES)
    assert found.mig == found.sap == found.disentanglement == found.completeness == 0
    assert found.z_min_var == found.z_min_var_chance == 1 / len(VALUES)
    same = {"same": train.factors["same"]}
    assert measure(Coded(train.codes, same), Coded(test.codes, same)) is None


def test_what_is_not_finite_is_refused() -> None:
    train, test = coded(0, 50), coded(1, 50)
    test.codes[3, 2] = np.nan
    with pytest.raises(DataError, match="not finite"):
        measure(train, test)


def test_many_sentences_are_used_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disentanglement, "MOST", 100)
    train, test, stage = coded(0), coded(1, 90), Stages()
    for part in (train, test):
        part.codes[np.arange(len(part.codes)) % 10 > 0] = 0
    found = measure(train, test, stage=stage)
    assert found is not None
    assert (found.train_sentences, found.sentences) == (100, 90)
    every_tenth = Coded(train.codes[::10], {name: values[::10] for name, values in train.factors.items()})
    assert measure(every_tenth, test) == found
    assert stage.promised == stage.done


def test_scores_repeat_with_the_seed_in_silence_and_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = (changed(part, part.codes @ ROTATION) for part in (coded(0, 300), coded(1, 300)))
    monkeypatch.setattr(disentanglement, "ITERATIONS", 1)  # none converges
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(os, "fork", None)
    state = np.random.get_state()  # noqa: NPY002 - that very state
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, again = measure(train, test, seed=7), measure(train, test, seed=7)
    assert first == again
    assert repr(np.random.get_state()) == repr(state)  # noqa: NPY002
    assert first != measure(train, test, seed=8)


def test_without_scikit_learn_there_is_what_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test, stage = coded(0, 200), coded(1, 200), Stages()
    whole = measure(train, test)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    found = measure(train, test, stage=stage)
    assert found is not None
    assert whole is not None
    assert (found.mig, found.z_min_var) == (whole.mig, whole.z_min_var)
    assert found.sap is found.disentanglement is found.completeness is found.informativeness is None
    assert stage.promised == stage.done


def test_the_chance_of_z_min_var_is_that_of_the_labels_with_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two sentences share a value of the third label, so the answer is one of two."""
    monkeypatch.setattr(disentanglement, "has_regressions", lambda: False)  # of a thousand values they take long
    train, test = (coded(seed, values={"high": 2, "low": 2}) for seed in (0, 1))
    for part in (train, test):
        part.factors["own"] = np.arange(len(part.codes))  # type: ignore[index]
    found = measure(train, test)
    assert found is not None
    assert list(found.factors) == ["high", "low", "own"]
    assert found.z_min_var_chance == 1 / 2

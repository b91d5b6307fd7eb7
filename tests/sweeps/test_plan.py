"""The YAML file of a sweep: what it may hold, and what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqvae_cli.errors import DataError
from seqvae_cli.sweeps import plan
from seqvae_cli.sweeps.plan import Choices, Range

WHOLE = """
preset: beta
data: reviews
settings:
  train.epochs: 20
space:
  model.latent_size: [16, 32]
  train.lr: {low: 0.0005, high: 5e-3, log: true}
  model.hidden_size: {low: 128, high: 512, step: 64}
  model.dropout: {low: 0, high: 0.5}
trials: 7
prune: false
seed: 3
"""


def written(folder: Path, text: str, name: str = "Sizes of z.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_plan_has_settings_that_stay_and_settings_that_are_drawn(tmp_path: Path) -> None:
    found = plan.read(written(tmp_path, WHOLE))
    assert (found.name, found.preset, found.data) == ("sizes-of-z", "beta", "reviews")
    assert found.settings == {"train.epochs": 20}
    assert found.space == {
        "model.latent_size": Choices((16, 32)),
        "train.lr": Range(0.0005, 0.005, log=True),
        "model.hidden_size": Range(128, 512, step=64),
        "model.dropout": Range(0, 0.5),
    }
    assert [axis.whole for axis in found.space.values() if isinstance(axis, Range)] == [False, True, False]
    assert (found.trials, found.prune, found.seed) == (7, False, 3)


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    found = plan.read(written(tmp_path, "space:\n  seed: [0, 1]\n"))
    assert (found.preset, found.data, found.settings) == ("default", "", {})
    assert (found.trials, found.prune, found.seed) == (20, True, 0)


def test_a_plan_stays_the_same_with_more_trials_and_not_with_another_range(tmp_path: Path) -> None:
    one, more, other = (
        plan.read(written(tmp_path, WHOLE.replace(*change)))
        for change in (("", ""), ("trials: 7", "trials: 9"), ("high: 512", "high: 576"))
    )
    assert one.digest == more.digest != other.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("settings:\n  train.epochs: 3\n", "no space"),
        ("spaces:\n  train.lr: [1]\n", "unknown key 'spaces'"),
        ("space:\n  train.rl: [0.1]\n", "train.rl"),
        ("space:\n  train.lr: [0.1, -1]\n", "train.lr"),
        ("space:\n  train.lr: 0.1\n", "neither a list nor a range"),
        ("space:\n  train.lr: []\n", "lists no values"),
        ("space:\n  train.lr: {low: 1, hihg: 2}\n", "unknown key 'hihg'"),
        ("space:\n  train.lr: {low: 0.1}\n", "high is not a number"),
        ("space:\n  train.lr: {low: 2, high: 1}\n", "not below"),
        ("space:\n  model.dropout: {low: 0, high: 0.5, log: true}\n", "log takes low above 0"),
        ("space:\n  model.hidden_size: {low: 8, high: 16, step: 0.5}\n", "step 0.5"),
        ("space:\n  train.lr: {low: 0.1, high: 0.2, log: 1}\n", "log is not true or false"),
        ("space:\n  train.lr: [0.1]\nsettings:\n  train.lr: 0.1\n", "in settings and in space"),
        ("space:\n  train.lr: [0.1]\nsettings: [1]\n", "settings is not a list"),
        ("space:\n  train.lr: [0.1]\nsettings:\n  train.epoch: 1\n", "train.epoch"),
        ("space:\n  train.lr: [0.1]\ntrials: 0\n", "trials is not a whole number"),
        ("space:\n  train.lr: [0.1]\npreset: defualt\n", "defualt"),
        ("space:\n  data: [one, two]\n", "the space holds data"),
        ("space:\n  train.lr: [0.1]\nsettings:\n  data: one\n", "the settings hold data"),
        ("space:\n  model.hidden_size: {low: 8.0, high: 16.0}\n", "model.hidden_size takes whole numbers"),
        ("space: [", "line"),
    ],
)
def test_what_is_wrong_in_a_plan_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=r"\.yaml") as caught:
        plan.read(written(tmp_path, text))
    assert said in caught.value.message

"""What docs/results.md says of the presets is what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import quality
from seqvae_cli.config import presets

ROOT = Path(__file__).parents[1]
ROWS: list[dict[str, Any]] = json.loads(quality.RESULTS.read_text(encoding="utf-8"))

NAMED_THEN = {"large": "best"}
"""Presets that had another name when their rows were made."""


def test_the_tables_are_those_of_the_measured_rows() -> None:
    assert quality.tables(ROWS) in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_a_model_whose_paths_never_change_has_no_largest_jump() -> None:
    still = {"pairs": 200, "steps": 11, "distinct": 1.0, "ends": 1.0, "largest_jump": None, "unchanged": 200}
    assert quality.paths([{"preset": "flat", "seed": 0, "paths": still}])[-1] == "| `flat` 0 | 1.00 | 100 % |  | 200 |"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['data']}-{row['preset']}-{row['seed']}")
def test_a_row_agrees_with_itself(row: dict[str, Any]) -> None:
    of = row["preset"].removesuffix("-control")
    assert of in presets.names()
    assert row["command"].startswith(f"seqvae train --data {row['data']} --preset {of} --seed {row['seed']}")
    assert ("--set model.latent_size=0" in row["command"]) == (of != row["preset"])
    preset = NAMED_THEN.get(row["preset"], row["preset"])
    assert f"run:{row['data']}-{preset}-{row['seed']}@" in row["signature"]
    assert row["neg_elbo"] == pytest.approx(row["distortion"] + row["rate"])
    assert row["mutual_information"] <= row["rate"] + 0.05  # an estimate from samples
    assert row["iw_nll"] <= row["neg_elbo"] + 0.05

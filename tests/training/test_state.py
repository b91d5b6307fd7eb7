"""Where a training stands, as a checkpoint keeps it."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from seqvae_cli.errors import CheckpointError
from seqvae_cli.training.state import LATER, Progress


def test_progress_survives_json() -> None:
    progress = Progress(epoch=3, batch=2, step=9, sentences=16, pretrained=False, mutual_information=1.5)
    assert Progress.from_json(json.loads(json.dumps(asdict(progress))), "here") == progress


def test_checkpoints_of_the_first_versions_have_no_phases_left() -> None:
    old = {name: value for name, value in asdict(Progress(epoch=3)).items() if name not in LATER}
    progress = Progress.from_json(old, "here")
    assert progress == Progress(epoch=3)
    assert progress.pretrained
    assert not progress.aggressive


@pytest.mark.parametrize("name", sorted(set(asdict(Progress())) - LATER))
def test_every_other_field_must_be_there(name: str) -> None:
    value = asdict(Progress())
    del value[name]
    with pytest.raises(CheckpointError, match="does not say where"):
        Progress.from_json(value, "here")


@pytest.mark.parametrize("change", [{"pretrained": 1}, {"aggressive": None}, {"mutual_information": "x"}, {"more": 1}])
def test_odd_values_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match=r"training\.json"):
        Progress.from_json(asdict(Progress()) | change, "here")

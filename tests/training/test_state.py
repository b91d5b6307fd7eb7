"""The state of a training in its checkpoints."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from seqvae_cli.errors import CheckpointError
from seqvae_cli.training.state import TrainingState


def test_the_state_survives_json() -> None:
    state = TrainingState(epoch=3, batch=2, step=9, sentences=16, pretrained=False, mutual_information=1.5)
    assert TrainingState.from_json(json.loads(json.dumps(asdict(state))), "here") == state


@pytest.mark.parametrize("name", [*asdict(TrainingState())])
def test_every_field_must_be_there(name: str) -> None:
    value = asdict(TrainingState())
    del value[name]
    with pytest.raises(CheckpointError, match=rf"here: training\.json .*{name}"):
        TrainingState.from_json(value, "here")


@pytest.mark.parametrize("change", [{"pretrained": 1}, {"aggressive": None}, {"mutual_information": "x"}, {"more": 1}])
def test_invalid_values_and_unknown_fields_are_named(change: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match=rf"training\.json .*{next(iter(change))}"):
        TrainingState.from_json(asdict(TrainingState()) | change, "here")


@pytest.mark.parametrize("value", [None, [], "state", 3])
def test_a_state_is_an_object(value: object) -> None:
    with pytest.raises(CheckpointError, match="not an object"):
        TrainingState.from_json(value, "here")


def test_batches_without_sentences_are_refused() -> None:
    with pytest.raises(CheckpointError, match="without sentences"):
        TrainingState.from_json(asdict(TrainingState(batch=1)), "here")

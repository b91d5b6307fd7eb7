"""`seqvae presets`: what there is to start from."""

from __future__ import annotations

import json
from pathlib import Path

from seqvae_cli.config import layers, presets
from tests.conftest import Seqvae


def test_every_preset_is_listed_with_its_purpose_the_default_first(seqvae: Seqvae) -> None:
    answer = seqvae("presets")
    assert (answer.code, answer.lines[0].split()) == (0, ["preset", "purpose"])
    rows = [tuple(line.split(maxsplit=1)) for line in answer.lines[1:]]
    assert rows == [(name, presets.purpose(name)) for name in presets.names()]
    assert [name for name, _ in rows[:2]] == ["default", "large"]
    assert "seqvae train --preset" in answer.err
    found = [json.loads(line) for line in seqvae("presets", "--json").lines]
    assert [(row["preset"], row["purpose"]) for row in found] == rows


def test_a_printed_preset_is_a_settings_file(seqvae: Seqvae, tmp_path: Path) -> None:
    answer = seqvae("presets", "vmf")
    assert answer.out == presets.text("vmf")
    file = tmp_path / "mine.yaml"
    file.write_text(answer.out)
    assert layers.resolve(file=file) == layers.resolve("vmf")
    document = json.loads(seqvae("presets", "vmf", "--json").out)
    assert document["preset"] == "vmf"
    assert document["settings"]["model"]["posterior"] == "vmf"


def test_an_unknown_preset_is_answered_with_the_nearest(seqvae: Seqvae) -> None:
    answer = seqvae("presets", "cyclicla")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: no preset 'cyclicla'\nhint: did you mean 'cyclical'?\n"

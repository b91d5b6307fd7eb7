"""The presets: their names, purposes and texts."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from seqvae_cli.config import layers, presets
from seqvae_cli.errors import UsageError

WIDTH = 57
"""Characters of a purpose that `seqvae presets` shows in one line of an 80-column terminal."""


def test_an_unknown_preset_names_the_nearest() -> None:
    assert presets.names()[:2] == ["default", "large"]
    assert "seed" in presets.names()
    with pytest.raises(UsageError, match="no preset 'defalt'") as caught:
        layers.resolve("defalt")
    assert caught.value.hint == "did you mean 'default'?"
    for name in ("../presets/default", "", "default.yaml"):
        with pytest.raises(UsageError):
            presets.text(name)


def test_a_preset_begins_with_its_purpose() -> None:
    for name in presets.names():
        first, second, *_ = presets.text(name).splitlines()
        assert first == f"# {presets.purpose(name)}", name
        assert second == "#", name
        assert re.fullmatch(rf"[A-Z].{{9,{WIDTH - 2}}}\.", presets.purpose(name)), name


def test_a_preset_means_what_it_says() -> None:
    for name in presets.names():
        settings = layers.resolve(name)
        for group, values in layers.parse(presets.text(name), name).items():
            for key, value in values.items():
                found: Any = getattr(getattr(settings, group), key)
                assert found == value, (name, group, key)


def test_a_preset_states_no_measured_figure() -> None:
    """Those stand in docs/results.md, which a test holds to what was measured."""
    for name in presets.names():
        comments = re.sub(r"\b(19|20)\d\d\b", "", " ".join(re.findall(r"^# .*", presets.text(name), re.MULTILINE)))
        figure = re.search(r"\d+\.\d\d|\d %|perplexity \d|NLL \d|BLEU", comments.replace("0.25 nats", ""))
        assert figure is None, (name, figure)


def test_names_and_purposes_need_neither_pydantic_nor_yaml() -> None:
    script = """
import sys
from seqvae_cli.config import presets
[presets.purpose(name) for name in presets.names()]
sys.exit(str({"pydantic", "yaml", "torch"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "set()\n"

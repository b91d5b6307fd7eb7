"""A network without numbers: the names and shapes of a whole one, and nothing loaded or drawn for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from seqvae_cli.config import layers, presets
from seqvae_cli.model import SentenceVAE
from tests.conftest import TINY

CASES = [*({"preset": name} for name in presets.names()), {"model.cell": "gru", "model.bidirectional": True}]

PROGRAM = """
import sys
from seqvae_cli.config import layers, presets
from seqvae_cli.model import SentenceVAE

for name in presets.names():
    SentenceVAE(layers.resolve(name).model, 30, "meta")
print(sorted({"torch._dynamo", "sympy"} & set(sys.modules)))
"""


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_has_names_and_shapes_alone(case: dict[str, object]) -> None:
    overrides = TINY | {"model.shortlist": 8} | {key: value for key, value in case.items() if key != "preset"}
    name = str(case.get("preset", "default"))
    if name == "lm":
        del overrides["model.latent_size"]
    settings = layers.resolve(name, overrides=overrides).model
    before = torch.get_rng_state()
    without = SentenceVAE(settings, 30, "meta")
    assert torch.equal(torch.get_rng_state(), before)
    whole = SentenceVAE(settings, 30)
    assert {name: value.shape for name, value in without.state_dict().items()} == {
        name: value.shape for name, value in whole.state_dict().items()
    }
    assert all(value.is_meta for value in without.state_dict().values())
    assert not torch.equal(torch.get_rng_state(), before), "the whole one is random"


def test_it_does_not_load_the_compiler_of_torch() -> None:
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"

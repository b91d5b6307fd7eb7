"""The examples run as they stand."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOK = json.loads((EXAMPLES / "play_with_model.ipynb").read_text(encoding="utf-8"))
SMALL = {"SENTENCES = 10_000\n": "SENTENCES = 1500\n", "EPOCHS = 5\n": "EPOCHS = 4\n"}
"""What the test makes smaller, so that it takes seconds."""


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Figures go nowhere, and none are left open."""
    pytest.importorskip("matplotlib", reason="the notebook draws with matplotlib: pip install '.[plot]'")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    yield
    plt.close("all")


def sources(kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_valid_and_stored_without_outputs() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["metadata"]["kernelspec"]["name"]) == (4, "python3")
    names = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(names)) == len(names)
    for cell in NOTEBOOK["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    kinds = [cell["cell_type"] for cell in NOTEBOOK["cells"]]
    explained = [before == "markdown" for before, kind in itertools.pairwise(kinds) if kind == "code"]
    assert all(explained)


@pytest.mark.usefixtures("no_figures")
def test_the_notebook_runs_and_its_results_hold(capsys: pytest.CaptureFixture[str]) -> None:
    from seqvae_cli import Model
    from seqvae_cli.data.toy import language

    space: dict[str, Any] = {}
    figures = []
    *steps, clean_up = sources("code")
    text = "".join(steps)
    assert all(text.count(line) == 1 for line in SMALL)
    for step in steps:
        for line, smaller in SMALL.items():
            step = step.replace(line, smaller)
        exec(compile(step, "play_with_model.ipynb", "exec"), space)
        if "figure" in space:
            figures.append(space.pop("figure"))
    home = Path(space["home"].name)
    assert os.environ["SEQVAE_HOME"] == str(home)
    assert {path.name for path in home.iterdir()} >= {"corpora", "runs"}

    model: Model = space["model"]
    assert len(model.run.metrics()) == 4
    assert model.run.metrics()[-1]["neg_elbo"] < model.run.metrics()[0]["neg_elbo"]
    assert all(len(sentences) == 5 for sentences in (space["samples"], space["calm"]))
    assert all(sentence.startswith("the ") for sentence in space["calm"])
    assert model.sample(5, seed=0) == space["samples"]
    assert len(space["reconstructions"]) == len(space["originals"]) == 6
    assert 0 <= space["back"] <= 1
    ends = model.reconstruct([space["first"], space["last"]])
    assert [space["path"][0], space["path"][-1]] == ends
    assert len(space["path"]) == 7
    assert space["direction"].shape == (model.latent_size,)
    assert space["questions_after"] >= space["questions_before"]
    true = [language.infer_factors(sentence.split()) for sentence in space["known"]]
    assert [factors["form"] == "question" for factors in true if factors] == space["asked"].tolist()
    assert np.mean([good.neg_elbo for good in space["right"]]) < np.mean([bad.neg_elbo for bad in space["wrong"]])
    assert len(figures) == 2
    for figure in figures:
        figure.draw_without_rendering()
    capsys.readouterr()

    exec(clean_up, space)
    assert not home.exists()

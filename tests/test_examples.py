"""The examples run as they stand."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.conftest import tiny_text
from tests.faults.matrix import FULL

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOK = json.loads((EXAMPLES / "play_with_model.ipynb").read_text(encoding="utf-8"))
SIZES = '"train.lr": 0.005, "model.embed_size": 48, "model.hidden_size": 64'
SMALL = {
    "SENTENCES = 10_000\n": "SENTENCES = 600\n",
    "EPOCHS = 8\n": "EPOCHS = 4\n",
    '"runtime.threads": 1}': f'"runtime.threads": 1, {SIZES}}}',
}
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


def test_the_notebook_is_valid_and_stored_with_its_outputs() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["metadata"]["kernelspec"]["name"]) == (4, "python3")
    names = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(names)) == len(names)
    assert all(cell["metadata"] == {} for cell in NOTEBOOK["cells"])
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    kinds = {output["output_type"] for output in outputs}
    assert kinds == {"stream", "execute_result", "display_data"}  # and no error
    assert {output["name"] for output in outputs if output["output_type"] == "stream"} == {"stdout"}
    for cell in code:
        text = "".join(cell["source"])
        shows = "print(" in text.replace("def report", "") or "figure" in text
        assert bool(cell["outputs"]) == (shows and not re.search("OWN_TEXT|PLAYGROUND", text)), text
    stored = (EXAMPLES / "play_with_model.ipynb").stat().st_size
    assert stored < 300_000
    assert not re.search(r"/(tmp|home|root|work|Users)/", json.dumps([o for o in outputs if "text" in o]))
    kinds = [cell["cell_type"] for cell in NOTEBOOK["cells"]]
    explained = [before == "markdown" for before, kind in itertools.pairwise(kinds) if kind == "code"]
    assert all(explained)


def test_the_notebook_trains_with_the_default_settings_and_says_so() -> None:
    code = "".join(sources("code"))
    assert set(re.findall(r"\"((?:model|objective|train|runtime)\.\w+)\"", code)) == {"train.epochs", "runtime.threads"}
    assert "preset" not in code
    assert "preset `default`" in "".join(sources("markdown"))


def test_the_losses_that_the_notebook_shows_approach_the_entropy() -> None:
    from seqvae_cli.data.toy import language

    shown = "".join(
        "".join(output["text"]) for cell in NOTEBOOK["cells"] for output in cell.get("outputs", []) if "text" in output
    )
    found = [(float(elbo), float(kl)) for elbo, kl in re.findall(r"-ELBO +([\d.]+) = .* KL +([\d.]+),", shown)]
    epochs = int(re.search(r"EPOCHS = (\d+)", "".join(sources("code")))[1])  # type: ignore[index]
    assert len(found) == epochs
    assert language.entropy() < found[-1][0] == min(elbo for elbo, _ in found) < 45
    assert 3 < found[-1][1] < 9  # 7 nats are free until they fall, towards the end


@pytest.mark.usefixtures("no_figures", "small_toy")
def test_the_notebook_runs_and_its_results_hold(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from seqvae_cli import Model
    from seqvae_cli.data.toy import language

    own_text = tmp_path / "own.txt"
    own_text.write_text("\n".join(tiny_text()))
    smaller_lines = SMALL | {'OWN_TEXT = ""': f'OWN_TEXT = "{own_text}"'}
    space: dict[str, Any] = {}
    figures = []
    *steps, clean_up = sources("code")
    text = "".join(steps)
    assert all(text.count(line) == 1 for line in smaller_lines)
    for step in steps:
        for line, smaller in smaller_lines.items():
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
    assert all(sentence.split()[0] == "the" for sentence in space["calm"])
    assert model.sample(5, seed=0) == space["samples"]
    assert len(space["reconstructions"]) == len(space["originals"]) == 6
    assert 0 <= space["back"] <= 1
    ends = model.reconstruct([space["first"], space["last"]])
    assert [space["path"][0], space["path"][-1]] == ends
    assert len(space["path"]) == 7
    traversal = space["traversal"]
    assert traversal.original.text == ends[0]
    assert [len(dimension.sentences) for dimension in traversal.dimensions] == [5, 5]
    assert space["direction"].shape == (model.latent_size,)
    assert space["questions_after"] >= space["questions_before"]
    true = [language.infer_factors(sentence.split()) for sentence in space["known"]]
    assert [factors["form"] == "question" for factors in true if factors] == space["asked"].tolist()
    assert np.mean([good.neg_elbo for good in space["right"]]) < np.mean([bad.neg_elbo for bad in space["wrong"]])
    train = model.corpus().split("train")
    for found in space["nearest"]:
        assert [one.sentence for one in found] == [model.tokenizer.decode(train[one.place]) for one in found]
        assert len(found) == 3
    assert list(space["drawn"].sentences) == space["known"]
    assert space["drawn"].points.shape == (200, 2)
    assert space["own"].run.info["corpus"]["name"] == "own"
    assert len(figures) == 2
    for figure in figures:
        figure.draw_without_rendering()
    capsys.readouterr()

    exec(clean_up, space)
    assert not home.exists()


ROWS: dict[str, list[Any]] = {"id": [7, 8, 9, 10], "text": ["the cat sees the sea", None, "a dog likes it", " "]}
"""Rows for the example with Ray: a missing value and a sentence without words among them."""


def expected_means() -> Any:
    """The codes of `ROWS`, [4, L]; a row is NaN where the sentence is empty."""
    from seqvae_cli import load

    means = np.full((4, 4), np.nan, np.float32)
    means[[0, 2]] = load("tiny-run").encode([ROWS["text"][0], ROWS["text"][2]])
    return means


@pytest.mark.usefixtures("trained_home")
def test_the_actor_of_ray_encodes_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install '.[parquet]'")
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    spec = importlib.util.spec_from_file_location("encode_with_ray", EXAMPLES / "encode_with_ray.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    actor = module.Encoder("tiny-run", "text")
    table = actor(pyarrow.table(ROWS))
    assert table.column_names == ["id", "text", "mean"]
    assert np.array_equal(np.stack(table["mean"].to_pylist()), expected_means(), equal_nan=True)
    empty = pyarrow.table(ROWS).slice(0, 0)
    assert actor(empty).schema == table.schema


@pytest.mark.skipif(not FULL, reason="Ray takes half a minute to start: make faults")
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'ray[data]'")
def test_ray_encodes_parquet_files(trained_home: Path, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    (tmp_path / "in").mkdir()
    for number in range(2):
        rows = {name: values[2 * number : 2 * number + 2] for name, values in ROWS.items()}
        parquet.write_table(pyarrow.table(rows), tmp_path / "in" / f"{number}.parquet")
    example = [sys.executable, str(EXAMPLES / "encode_with_ray.py"), str(tmp_path / "in"), str(tmp_path / "out")]
    paths = os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])
    environment = {"SEQVAE_HOME": str(trained_home), "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": paths}
    done = subprocess.run(example, env=os.environ | environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    table = parquet.read_table(tmp_path / "out").sort_by("id")
    assert table.select(["id", "text"]).to_pydict() == ROWS
    assert np.array_equal(np.stack(table["mean"].to_pylist()), expected_means(), equal_nan=True)

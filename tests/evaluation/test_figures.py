"""The one table of figures: what `eval`, `runs compare`, `runs best` and the documents say of a figure is its entry."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import quality
from seqvae_cli.cli.commands.runs import compare
from seqvae_cli.evaluation.figures import FIGURES, RANKED, Figure, Measurements
from tests.conftest import Seqvae

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
OF_THE_SOURCE = {"entropy", "excess"}


def test_no_two_figures_have_the_same_name_in_one_place() -> None:
    for names in (
        [figure.name for figure in FIGURES.values()],
        [figure.short for figure in FIGURES.values()],
        [figure.label for figure in FIGURES.values() if figure.label],
    ):
        assert len(set(names)) == len(names)
        assert all(names)
    assert all(key == figure.key for key, figure in FIGURES.items())


def test_what_an_entry_refers_to_is_in_the_table() -> None:
    for figure in FIGURES.values():
        assert {figure.share_of, figure.below} - {""} <= FIGURES.keys()
        assert set(re.findall(r"{(\w+)}", figure.label)) <= FIGURES.keys()
        assert set(re.findall(r"{(\w+)}", figure.unit)) <= {"latent_size"}
        assert figure.validated or "validation" not in figure.compared


def test_the_value_shown_is_scaled_and_a_share_is_divided() -> None:
    values = {"exact_match": 0.25, "entropy": 20.0, "excess": 5.0, "active_units": 3}
    assert FIGURES["exact_match"].shown(values) == 25.0
    assert FIGURES["excess"].shown(values) == 25.0
    units = FIGURES["active_units"].shown(values)
    assert (units, type(units)) == (3, int)
    assert FIGURES["bleu"].shown(values) is None


def test_lower_is_better_for_losses_and_higher_for_what_the_code_says() -> None:
    lower = {key for key, figure in RANKED.items() if figure.better == "lower"}
    assert lower >= {"neg_elbo", "distortion", "elbo_ppl", "iw_nll", "iw_ppl"}
    assert RANKED.keys() - lower >= {"mutual_information", "active_units", "bleu", "exact_match"}


def test_the_table_can_be_read_without_loading_anything_slow() -> None:
    slow = "torch numpy pydantic rich yaml safetensors sacrebleu"
    script = (
        f"import sys, seqvae_cli.evaluation.figures; sys.exit(str([m for m in {slow.split()} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.strip() == "[]"


@pytest.mark.usefixtures("trained_home")
def test_every_figure_is_in_the_answers_of_eval_compare_and_best(seqvae: Seqvae) -> None:
    arguments = ("eval", "--samples", "2", "--threads", "1")
    answer = json.loads(seqvae(*arguments, "--json").out)
    assert [key for key in answer if key in FIGURES] == [key for key in FIGURES if key not in OF_THE_SOURCE]
    assert answer.keys() - FIGURES.keys() == {"split", "sentences", "tokens", "truncated", "signature"}
    rows = {" ".join(line.split()) for line in seqvae(*arguments).lines}
    for key in [key for key in answer if key in FIGURES and FIGURES[key].label and not FIGURES[key].of_text]:
        value = FIGURES[key].shown(answer)
        cell = str(value) if isinstance(value, int) else f"{value:.2f}"
        row = f"{FIGURES[key].label} {cell} {FIGURES[key].unit}".format(iw_samples=2, latent_size=4)
        assert row in rows
    compared = seqvae("runs", "compare").lines
    for source, name in (("validation", "val"), ("evaluation", "test")):
        heads = [f"{name} {figure.short}" for figure in FIGURES.values() if source in figure.compared]
        assert [line for line in compared if line.startswith(f"{name} ")] == [
            line for head in heads for line in compared if line.startswith(f"{head}  ")
        ]
        assert all(any(line.startswith(head) for line in compared) for head in heads)
    for key in RANKED:
        assert json.loads(seqvae("runs", "best", "--by", key, "--json").out)["by"] == key
    for key in FIGURES.keys() - RANKED.keys():
        assert seqvae("runs", "best", "--by", key).code == 2


@pytest.mark.usefixtures("trained_home")
def test_a_new_figure_is_one_entry_and_one_function(seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch) -> None:
    def length(measured: Measurements) -> float:
        return sum(map(len, measured.outputs)) / len(measured.outputs)

    entry = Figure("length", length, name="length", short="length", label="words decoded", unit="words a sentence")
    monkeypatch.setitem(FIGURES, "length", entry)
    arguments = ("eval", "--samples", "1", "--threads", "1")
    answer = json.loads(seqvae(*arguments, "--json").out)
    assert answer["length"] > 0
    assert f"words decoded {answer['length']:.2f} words a sentence" in {
        " ".join(line.split()) for line in seqvae(*arguments).lines
    }
    assert json.loads(seqvae("runs", "compare", "--json").out)["runs"][0]["evaluations"]["test"]["length"] > 0


def test_the_help_of_best_names_every_figure_that_runs_are_ranked_by() -> None:
    lowest, highest = compare.BEST_HELP.split("lowest", 1)
    for key, figure in RANKED.items():
        assert re.search(rf"\b{key}\b", lowest if figure.better == "lower" else highest), key


def test_the_document_has_a_row_for_every_figure_in_their_order() -> None:
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    expected = [
        f"| `{figure.key}` | {figure.name} | {figure.unit.format(latent_size='L')} | {figure.better} | "
        f"{'validation, ' if figure.validated else ''}evaluation | "
        for figure in FIGURES.values()
    ]
    assert len(rows) == len(expected)
    for row, start in zip(rows, expected, strict=True):
        assert row.startswith(start)
        assert len(row) > len(start) + 10


def test_the_benchmark_tabulates_figures_under_their_names() -> None:
    rows = json.loads(quality.RESULTS.read_text(encoding="utf-8"))
    head = quality.results([row for row in rows if row["data"] == "toy"][:1])[0].strip("| ").split(" | ")
    names = [FIGURES[key].name for key in quality.COLUMNS]
    assert head[2 : 2 + len(names)] == names
    assert FIGURES["excess"].name in head

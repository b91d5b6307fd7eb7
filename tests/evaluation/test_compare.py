"""Runs side by side: figures of the best weights alone, on one corpus, ranked as the figure demands."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from seqvae_cli.config import layers
from seqvae_cli.errors import DataError, NotFoundError, UsageError
from seqvae_cli.evaluation import compare
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import json_files
from tests.runs.folders import CORPUS


def create(name: str, corpus: dict[str, Any] = CORPUS, best: float | None = None, **settings: Any) -> Run:
    """A run with `settings` (`__` for the dot) whose second epoch, of step 20, was the best."""
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    text = layers.dump(layers.resolve(overrides=dotted))
    run = registry.create("c", config=text, tokenizer=b"{}", corpus=corpus, name=name)
    if best is not None:
        lines = [{"epoch": i, "step": 10 * i, "neg_elbo": best + abs(i - 2), "rate": 3.0} for i in (1, 2, 3)]
        (run.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        run.update(best_neg_elbo=best, best_epoch=2, epoch=3)
    return run


def evaluated(run: Run, split: str = "test", step: int = 20, samples: int = 500, **figures: object) -> None:
    number = len(list((run.path / "evaluations").glob("*")))
    value = {"format": 1, "split": split, "step": step, "recorded": number, "iw_samples": samples, "signature": "s"}
    json_files.write(run.path / "evaluations" / f"{number:016x}.json", value | figures, sealed=True)


def best(by: str = "neg_elbo", **arguments: Any) -> str:
    return compare.best(by, [], **arguments).run.name


def test_only_the_settings_that_differ_are_named_in_their_order() -> None:
    runs = [create("a"), create("b", train__lr=0.5, model__latent_size=8), create("c", train__lr=0.5)]
    outcomes = [compare.outcome(run, []) for run in runs]
    assert compare.differing(outcomes) == ["model.latent_size", "train.lr"]
    assert [outcome.settings["train.lr"] for outcome in outcomes[1:]] == [0.5, 0.5]
    assert compare.differing(outcomes[:1]) == compare.differing([]) == []
    runs[2].update(epochs=77)  # resumed with more
    assert "train.epochs" in compare.differing([compare.outcome(run, []) for run in runs])


def test_an_outcome_is_that_of_the_best_epoch_and_the_best_weights() -> None:
    run = create("a", best=100.0)
    evaluated(run, step=10, iw_ppl=1.0)
    assert compare.outcome(run, []).evaluations == {}  # of weights that are no longer the best
    evaluated(run, samples=500, iw_ppl=90.0)
    evaluated(run, samples=5, iw_ppl=95.0)
    evaluated(run, "valid", iw_ppl=80.0)
    outcome = compare.outcome(run, [])
    assert outcome.best["step"] == 20
    assert {split: value["iw_ppl"] for split, value in outcome.evaluations.items()} == {"test": 90.0, "valid": 80.0}


def test_what_cannot_be_read_is_told_and_costs_only_itself() -> None:
    run = create("a", best=100.0)
    evaluated(run, iw_ppl=90.0)
    (run.path / "evaluations" / ("f" * 16 + ".json")).write_text("{")
    (run.path / "evaluations" / ("e" * 16 + ".json")).write_text('{"format": 1, "split": 5}')
    (run.path / "evaluations" / "notes.json").write_text("mine")
    damaged: list[str] = []
    assert compare.outcome(run, damaged).evaluations["test"]["iw_ppl"] == 90.0
    assert len(damaged) == 2
    (run.path / "metrics.jsonl").write_text("{")
    assert compare.outcome(run, damaged).best == {}
    assert "metrics.jsonl" in damaged[2]
    (run.path / "config.yaml").write_text("seed: 5\n")
    with pytest.raises(DataError, match=r"config\.yaml is damaged"):
        compare.outcome(run, [])


def test_the_best_is_the_lowest_or_the_highest_as_the_figure_demands() -> None:
    for name, neg_elbo, ppl, bleu in (("a", 30.0, 9.0, 5.0), ("b", 20.0, 7.0, 1.0), ("c", 25.0, 8.0, 9.0)):
        evaluated(create(name, best=neg_elbo), iw_ppl=ppl, bleu=bleu, neg_elbo=50 - neg_elbo)
    assert best() == best("iw_ppl") == registry.find("best").name == "b"
    assert best("bleu") == "c"
    assert best("neg_elbo", split="test") == "a"


@pytest.mark.parametrize("key", ["iw_ppl", "bleu"])
@pytest.mark.parametrize("value", [None, "low", True, math.inf, math.nan])
def test_what_is_not_a_finite_number_is_no_figure(key: str, value: object) -> None:
    assert compare.finite_figure({key: value}, key) is None
    assert compare.finite_figure({}, key) is None
    assert compare.finite_figure({key: 2}, key) == 2


def test_runs_without_the_figure_are_named_and_never_win() -> None:
    evaluated(create("a", best=30.0), iw_ppl=9.0)
    create("b", best=20.0)
    evaluated(create("overflowed", best=20.0), iw_ppl=None)
    evaluated(create("text", best=20.0), iw_ppl="low")
    evaluated(create("trained-further", best=20.0), step=10, iw_ppl=1.0)
    winner = compare.best("iw_ppl", [])
    assert (winner.run.name, winner.value, winner.ranked) == ("a", 9.0, 1)
    assert winner.without == ["b", "overflowed", "text", "trained-further"]


def test_bounds_with_different_samples_are_told() -> None:
    evaluated(create("a", best=30.0), samples=5, iw_nll=9.0, bleu=1.0)
    evaluated(create("b", best=30.0), samples=500, iw_nll=8.0, bleu=2.0)
    assert compare.best("iw_nll", []).samples == [5, 500]
    evaluated(create("lm", best=31.0), samples=1, iw_nll=10.0, bleu=0.0, rate=0.0)  # a language model's is no bound
    assert compare.best("iw_nll", []).samples == [5, 500]
    assert compare.best("bleu", []).samples == []


def test_runs_on_another_corpus_are_never_compared() -> None:
    other = {"name": "d", "folder": "d-0123456789ab", "hash": "1" * 64}
    older = CORPUS | {"folder": "c-older", "hash": "2" * 64}
    create("older", older, best=1.0)
    create("a", best=30.0)
    create("foreign", other, best=2.0)
    create("b", best=20.0)
    assert best() == "b"
    assert best(data="d") == best(data="d-0123456789ab") == "foreign"
    assert best(data="c") == "b"  # of the two corpora called c that of the latest run
    assert best(data="c-older") == "older"
    with pytest.raises(NotFoundError, match=f"no run on {CORPUS['folder']} has iw_ppl on test") as caught:
        best("iw_ppl", data="c")
    assert "--data c-older is an older corpus of that name" in caught.value.hint
    assert [run.name for run in compare.same_corpus()] == ["a", "b"]
    with pytest.raises(NotFoundError) as caught:
        best(data="d-0123456789ac")
    assert "d-0123456789ab" in caught.value.hint


def test_what_cannot_be_ranked_says_what_to_do() -> None:
    with pytest.raises(NotFoundError):
        best()
    create("a")
    with pytest.raises(NotFoundError, match="validated"):
        best()
    with pytest.raises(NotFoundError, match="iw_ppl on valid") as caught:
        best("iw_ppl", split="valid")
    assert caught.value.hint == "seqvae eval a --split valid"
    with pytest.raises(UsageError) as wrong:
        best("iwppl")
    assert "'iw_ppl'" in wrong.value.hint

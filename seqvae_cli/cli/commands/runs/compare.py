"""`runs compare` and `runs best`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.commands.runs.formatting import setting, tags
from seqvae_cli.cli.options import Json, complete_corpus, complete_split, one_of, run_argument
from seqvae_cli.errors import DataError, MachineError, UsageError
from seqvae_cli.evaluation.figures import FIGURES, RANKED

if TYPE_CHECKING:
    from seqvae_cli.evaluation.compare import Outcome


def _ranked(better: str) -> str:
    """Keys of the figures that a stored evaluation is ranked by, lower or higher values first."""
    return ", ".join(key for key, figure in RANKED.items() if figure.better == better and key != "neg_elbo")


VALIDATION = [figure for figure in FIGURES.values() if "validation" in figure.compared]
EVALUATION = [figure for figure in FIGURES.values() if "evaluation" in figure.compared]

BEST_HELP = f"""Print the name of the best run on a corpus.

FIGURE is neg_elbo, which every trained run has, or what `seqvae eval` has found: {_ranked("lower")} (the lowest is the
best), {_ranked("higher")} (the highest is).

Examples:

    seqvae runs best
    seqvae eval "$(seqvae runs best --by iw_ppl --data ptb)"
"""

SIDE_BY_SIDE = 5
"""Up to this many runs, each is a column where there is room; more are rows."""


def compare(
    runs: Annotated[list[str] | None, run_argument("[default: all on the corpus of the latest]")] = None,
    json: Json = False,
) -> None:
    """Compare runs: the settings that differ, and the figures at the best epoch.

    Figures come from validation during training, and from `seqvae eval` where it has evaluated the best weights.

    Examples:

        seqvae runs compare
        seqvae runs compare ptb-default-1 ptb-seed-1 --json | jq '.runs[0]'
    """
    from seqvae_cli.evaluation import compare
    from seqvae_cli.runs import registry

    chosen = list({run.name: run for run in map(registry.find, runs)}.values()) if runs else compare.same_corpus()
    if len({run.info["corpus"]["hash"] for run in chosen}) > 1:
        display.warn("these runs were trained on different corpora: their figures are not comparable")
    damaged: list[str] = []
    outcomes = []
    for run in chosen:
        try:
            outcomes.append(compare.outcome(run, damaged))
        except (DataError, MachineError) as error:
            if runs:  # it was asked for by name
                raise
            damaged.append(error.message)
    _warn(damaged)
    keys = compare.differing(outcomes)
    splits = [split for split in ("train", "valid", "test") if any(split in other.evaluations for other in outcomes)]
    for split in splits:
        evaluated = [other.evaluations[split] for other in outcomes if split in other.evaluations]
        _warn_samples(split, set().union(*map(compare.bound_samples, evaluated)))
    if json:
        display.out_json({"settings": keys, "runs": [_json(outcome, keys) for outcome in outcomes]})
        return
    columns = ["run", *keys, "best epoch", *(f"val {figure.short}" for figure in VALIDATION)]
    columns += [f"{split} {figure.short}" for split in splits for figure in EVALUATION] + ["minutes"]
    rows = [_row(outcome, keys, splits) for outcome in outcomes]
    display.table("", columns, rows, sideways=len(outcomes) <= SIDE_BY_SIDE)


def best(
    by: Annotated[
        str, typer.Option(metavar="FIGURE", help="What to rank by.", show_default=True, autocompletion=one_of(*RANKED))
    ] = "neg_elbo",
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Corpus or its folder [default: that of the latest run].",
            autocompletion=complete_corpus,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of the evaluation [default: test; for neg_elbo the validation while training].",
            autocompletion=complete_split,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """`runs best`; its help is `BEST_HELP`, which names the figures."""
    from seqvae_cli.evaluation import compare

    if split not in (None, "train", "valid", "test"):
        raise UsageError(f"no split {split!r}", "known: train, valid, test")
    damaged: list[str] = []
    try:
        winner = compare.best(by, damaged, data=data, split=split)
    finally:
        _warn(damaged)
    _warn_samples(split or "test", winner.samples)
    where = split or ("validation" if by == "neg_elbo" else "test")
    display.say(f"{by} {winner.value:z.6g} on {where}, the best of {winner.ranked}")
    if winner.without:
        names = ", ".join(winner.without[:5]) + (f" and {len(winner.without) - 5} more" if winner.without[5:] else "")
        display.say(f"not ranked, without this figure: {names}")
    if json:
        answer: dict[str, Any] = {"run": winner.run.name, "by": by, "value": winner.value, "split": where}
        corpus = winner.run.info["corpus"]["folder"]
        display.out_json(answer | {"corpus": corpus, "ranked": winner.ranked, "without": winner.without})
    else:
        display.out(winner.run.name)


def _warn_samples(split: str, counts: Iterable[int]) -> None:
    names = list(map(str, sorted(counts)))
    if len(names) > 1:
        display.warn(
            f"the bounds on {split} have different K ({', '.join(names)})",
            f"seqvae eval RUN --split {split} --samples {names[-1]}",
        )


def _warn(messages: list[str]) -> None:
    for message in dict.fromkeys(messages):
        display.warn(message, "seqvae runs doctor")


def _json(outcome: Outcome, keys: list[str]) -> dict[str, Any]:
    from seqvae_cli.evaluation import compare

    run = outcome.run
    return {
        "run": run.name,
        "status": run.status,
        "corpus": run.info["corpus"]["folder"],
        "tags": tags(run.path),
        "settings": {key: outcome.settings[key] for key in keys},
        "best_epoch": outcome.best.get("epoch"),
        **{figure.key: compare.finite_figure(outcome.best, figure.key) for figure in VALIDATION},
        "seconds": compare.finite_figure(run.info, "seconds"),
        "evaluations": outcome.evaluations,
    }


def _row(outcome: Outcome, keys: list[str], splits: list[str]) -> list[object]:
    from seqvae_cli.evaluation.compare import finite_figure

    seconds = finite_figure(outcome.run.info, "seconds")
    return [
        outcome.run.name,
        *(setting(outcome.settings[key]) for key in keys),
        outcome.best.get("epoch"),
        *(finite_figure(outcome.best, figure.key) for figure in VALIDATION),
        *(finite_figure(outcome.evaluations.get(split, {}), figure.key) for split in splits for figure in EVALUATION),
        None if seconds is None else f"{seconds / 60:.1f}",
    ]

"""`runs compare` and `runs best`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.commands.runs.shown import setting, tags
from seqvae_cli.cli.options import RUN_HELP, Json, complete_run
from seqvae_cli.errors import DataError, MachineError, UsageError

if TYPE_CHECKING:
    from seqvae_cli.runs.compare import Outcome

VALIDATION = {
    "neg_elbo": "val -ELBO",
    "rate": "val KL",
    "mutual_information": "val MI",
    "active_units": "val AU",
}
EVALUATED = {
    "neg_elbo": "-ELBO",
    "iw_nll": "IW NLL",
    "iw_ppl": "IW PPL",
    "bleu": "BLEU",
}

SIDE_BY_SIDE = 5
"""Up to this many runs, each is a column; more are rows, to fit a terminal."""


def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            help=f"{RUN_HELP} [default: all on the corpus of the latest]",
            autocompletion=complete_run,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Compare runs: the settings that differ, and the figures at the best epoch.

    Figures come from validation during training, and from `seqvae eval` where it has evaluated the best weights.

    Examples:

        seqvae runs compare
        seqvae runs compare ptb-default-1 ptb-seed-1 --json | jq '.runs[] | {run, neg_elbo}'
    """
    from seqvae_cli.runs import compare, registry

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
    columns: list[object] = ["run", *keys, "best epoch", *VALIDATION.values()]
    columns += [f"{split} {name}" for split in splits for name in EVALUATED.values()] + ["minutes"]
    rows = [columns, *(_row(outcome, keys, splits) for outcome in outcomes)]
    if len(outcomes) <= SIDE_BY_SIDE:
        rows = [list(cells) for cells in zip(*rows, strict=True)]
    display.table("", [str(cell) for cell in rows[0]], rows[1:])


def best(
    by: Annotated[str, typer.Option(metavar="FIGURE", help="What to rank by.", show_default=True)] = "neg_elbo",
    data: Annotated[
        str | None, typer.Option(metavar="NAME", help="Corpus or its folder [default: that of the latest run].")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split of the evaluation [default: test; for neg_elbo the validation while training]."),
    ] = None,
    json: Json = False,
) -> None:
    """Print the name of the best run on a corpus.

    FIGURE is neg_elbo, which every trained run has, or one from `seqvae eval`: distortion, elbo_ppl, iw_nll,
    iw_ppl (lower is better), mutual_information, active_units, bleu, exact_match (higher is better).

    Examples:

        seqvae runs best
        seqvae eval "$(seqvae runs best --by iw_ppl --data ptb)"
    """
    from seqvae_cli.runs import compare

    if split not in (None, "train", "valid", "test"):
        raise UsageError(f"no split {split!r}", "known: train, valid, test")
    damaged: list[str] = []
    try:
        winner = compare.best(by, damaged, data=data, split=split)
    finally:
        _warn(damaged)
    _warn_samples(split or "test", winner.samples)
    where = split or ("validation" if by == "neg_elbo" else "test")
    display.say(f"{by} {winner.value:.6g} on {where}, the best of {winner.ranked}")
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
            f"eval --split {split} --samples {names[-1]}",
        )


def _warn(messages: list[str]) -> None:
    for message in dict.fromkeys(messages):
        display.warn(message, "seqvae runs doctor")


def _json(outcome: Outcome, keys: list[str]) -> dict[str, Any]:
    from seqvae_cli.runs import compare

    run = outcome.run
    return {
        "run": run.name,
        "status": run.status,
        "corpus": run.info["corpus"]["folder"],
        "tags": tags(run.path),
        "settings": {key: outcome.settings[key] for key in keys},
        "best_epoch": outcome.best.get("epoch"),
        **{key: compare.figure(outcome.best, key) for key in VALIDATION},
        "seconds": compare.figure(run.info, "seconds"),
        "evaluations": outcome.evaluations,
    }


def _row(outcome: Outcome, keys: list[str], splits: list[str]) -> list[object]:
    from seqvae_cli.runs.compare import figure

    seconds = figure(outcome.run.info, "seconds")
    return [
        outcome.run.name,
        *(setting(outcome.settings[key]) for key in keys),
        outcome.best.get("epoch"),
        *(figure(outcome.best, key) for key in VALIDATION),
        *(figure(outcome.evaluations.get(split, {}), key) for split in splits for key in EVALUATED),
        None if seconds is None else f"{seconds / 60:.1f}",
    ]

"""Runs side by side: the settings that differ, the figures, and the best run by one figure.

Only runs on the same corpus compare. Figures are those of the best weights: from their validation, and from stored
evaluations of these weights; evaluations of other weights are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqvae_cli.config import layers, options
from seqvae_cli.errors import DataError, MachineError, NotFoundError, UsageError, nearest
from seqvae_cli.evaluation.figures import RANKED
from seqvae_cli.runs import evaluations, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files


@dataclass(frozen=True)
class Outcome:
    """The settings and figures of one run."""

    run: Run
    settings: dict[str, Any]
    """By dotted key."""
    best: dict[str, Any]
    """The line of the best epoch in `metrics.jsonl`; empty before the first validation."""
    evaluations: dict[str, dict[str, Any]]
    """By split: of several evaluations the one with the largest K, the latest of those."""


@dataclass(frozen=True)
class Winner:
    run: Run
    value: float
    ranked: int
    """Number of runs that have the figure, this one included."""
    without: list[str]
    """Runs on the corpus without the figure."""
    samples: list[int]
    """Every K among the importance-weighted bounds that were ranked."""


def finite_figure(values: dict[str, Any], key: str) -> float | None:
    """A figure as a finite number; None where it is missing, overflowed or damaged."""
    value = values.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if math.isfinite(value) else None


def bound_samples(evaluation: dict[str, Any]) -> set[int]:
    """K of its importance-weighted bound; empty for a language model, whose NLL is exact."""
    return set() if evaluation.get("rate") == 0 else {evaluation["iw_samples"]}


def outcome(run: Run, damaged: list[str]) -> Outcome:
    """The settings and figures of `run`. Damaged metrics and evaluations are skipped, and named in `damaged`.

    Raises `DataError` where the settings cannot be read.
    """
    best = _best_line(run, damaged)
    return Outcome(run, _settings(run), best, _evaluated(run, best, damaged))


def differing(outcomes: list[Outcome]) -> list[str]:
    """Dotted keys of the settings that differ between outcomes, in the order of the schema."""
    first = outcomes[0].settings if outcomes else {}
    return [key for key in first if any(other.settings[key] != first[key] for other in outcomes)]


def same_corpus(data: str | None = None) -> list[Run]:
    """The runs on the corpus of the latest run, oldest first.

    data: name of a corpus, or its folder; then the latest of its runs counts. Raises `NotFoundError`.
    """
    found = registry.runs()[0]
    if not found:
        raise NotFoundError("there is no run yet", "seqvae train")
    if data is not None:
        known = {run.info["corpus"][key] for run in found for key in ("name", "folder")}
        found = [run for run in found if data in (run.info["corpus"]["name"], run.info["corpus"]["folder"])]
        if not found:
            raise NotFoundError(f"no run was trained on a corpus {data[:80]!r}", nearest(data, known))
    return [run for run in found if run.info["corpus"]["hash"] == found[-1].info["corpus"]["hash"]]


def best(by: str, damaged: list[str], *, data: str | None = None, split: str | None = None) -> Winner:
    """The best run on one corpus (see `same_corpus`) by a figure of `RANKED`; on a tie, the oldest.

    Without a split, `neg_elbo` is the validation's; other figures are those of the stored evaluation of the split
    (default: test). Raises `UsageError` for an unknown figure, `NotFoundError` where no run has it.
    """
    if by not in RANKED:
        raise UsageError(f"runs cannot be ranked by {by!r}", nearest(by, RANKED))
    runs = same_corpus(data)
    found: list[tuple[float, Run]] = []
    samples: set[int] = set()
    for run in runs:
        if by == "neg_elbo" and split is None:
            value = finite_figure(run.info, "best_neg_elbo")
        else:
            evaluation = _evaluated(run, _best_line(run, damaged), damaged).get(split or "test", {})
            value = finite_figure(evaluation, by)
            if value is not None and by.startswith("iw_"):
                samples |= bound_samples(evaluation)
        if value is not None:
            found.append((value, run))
    if not found:
        corpus = runs[-1].info["corpus"]
        name, older = corpus["name"], _older(corpus)
        if older:  # the name alone would hide them
            name = corpus["folder"]
        if by == "neg_elbo" and split is None:
            raise NotFoundError(f"no run on {name} has been validated yet", f"seqvae train --data {name}")
        hint = f"seqvae eval {runs[-1].name} --split {split or 'test'}"
        hint += f"; --data {older} is an older corpus of that name" if older else ""
        raise NotFoundError(f"no run on {name} has {by} on {split or 'test'}: none was evaluated there", hint)
    pick = min if RANKED[by].better == "lower" else max
    value, run = pick(found, key=lambda pair: pair[0])
    ranked = {other.name for _, other in found}
    return Winner(run, value, len(found), [other.name for other in runs if other.name not in ranked], sorted(samples))


def _older(corpus: Mapping[str, Any]) -> str:
    """The folder of another corpus of the same name that a run was trained on, the last one; empty: there is none."""
    others = [other.info["corpus"] for other in registry.runs()[0]]
    same = [one["folder"] for one in others if one["name"] == corpus["name"] and one["hash"] != corpus["hash"]]
    return str(same[-1]) if same else ""


def _settings(run: Run) -> dict[str, Any]:
    digests = run.info.get("files")
    if not isinstance(digests, dict) or "config.yaml" not in digests:
        raise DataError(f"{run.path / 'run.json'} names no digest of config.yaml")
    files.verify(run.path, {"config.yaml": digests["config.yaml"]})
    loaded = layers.load(run.path / "config.yaml")
    values = options.values(loaded)
    if run.info.get("epochs"):  # a resumed run may have been given more
        values["train.epochs"] = run.info["epochs"]
    return values


def _best_line(run: Run, damaged: list[str]) -> dict[str, Any]:
    try:
        lines = run.metrics()
    except (DataError, MachineError) as error:
        damaged.append(error.message)
        return {}
    epoch = run.info.get("best_epoch")
    return next((line for line in lines if epoch is not None and line.get("epoch") == epoch), {})


def _evaluated(run: Run, best: dict[str, Any], damaged: list[str]) -> dict[str, dict[str, Any]]:
    chosen: dict[str, dict[str, Any]] = {}
    for value in sorted(evaluations.read_all(run, damaged), key=lambda value: (value["iw_samples"], value["recorded"])):
        if value["step"] == best.get("step"):
            chosen[value["split"]] = value
    return chosen

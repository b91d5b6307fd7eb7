"""Runs side by side: what sets them apart, what came of it, and which is the best by a figure.

Only runs on the same corpus are comparable. Figures are those of the best weights: of their validation, and what `eval`
has stored of these very weights; an evaluation of earlier ones does not count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from seqvae_cli.config import layers, options
from seqvae_cli.errors import UPGRADE, DataError, MachineError, NotFoundError, UsageError, nearest
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files

FORMAT = 1
"""Of the files in `evaluations/`."""
_EVALUATION = re.compile(r"[0-9a-f]{16}\.json")
"""Their names."""

FIGURES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("neg_elbo", "distortion", "elbo_ppl", "iw_nll", "iw_ppl"), min),
    **dict.fromkeys(("mutual_information", "active_units", "bleu", "exact_match"), max),
}
"""What runs can be ranked by, each with what picks the best value. Of the rate neither end is the best."""


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    run: Run
    settings: dict[str, Any]
    """By dotted key."""
    best: dict[str, Any]
    """The line of `metrics.jsonl` of the best epoch; empty where none was validated."""
    evaluations: dict[str, dict[str, Any]]
    """By split, those with most samples."""


@dataclass(frozen=True)
class Winner:
    run: Run
    value: float
    ranked: int
    """Runs that have the figure, this one among them."""
    without: list[str]
    """Runs of the corpus that do not have it."""
    samples: list[int]
    """The different K of the importance-weighted bounds that were ranked."""


def evaluation_files(path: Path) -> list[Path]:
    """The files of the evaluations of the run in `path`."""
    return [file for file in files.entries(path / "evaluations") if _EVALUATION.fullmatch(file.name)]


def evaluations(run: Run, damaged: list[str]) -> list[dict[str, Any]]:
    """What `eval` has stored in the run folder; what is wrong with a file is added to `damaged`."""
    found = []
    for path in evaluation_files(run.path):
        try:
            found.append(read_evaluation(path))
        except (DataError, MachineError) as error:
            damaged.append(error.message)
    return found


def read_evaluation(path: Path) -> dict[str, Any]:
    """One file of `evaluations/`. Raises `DataError`."""
    value = files.read_json(path)
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        raise DataError(f"{path} holds no evaluation", "delete it, then evaluate again")
    if value["format"] > FORMAT:
        raise DataError(f"{path} was written by a newer seqvae (format {value['format']})", UPGRADE)
    value = files.unseal(value, path)
    texts = all(isinstance(value.get(key), str) for key in ("split", "signature"))
    if not texts or not all(isinstance(value.get(key), int) for key in ("step", "recorded", "iw_samples")):
        raise DataError(f"{path} holds no evaluation", "delete it, then evaluate again")
    return value


def figure(values: dict[str, Any], key: str) -> float | None:
    """A figure as a finite number; None for one that is missing, overflowed or damaged."""
    value = values.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if math.isfinite(value) else None


def bound_samples(evaluation: dict[str, Any]) -> set[int]:
    """K of its importance-weighted bound; none of a language model, whose NLL is exact."""
    return set() if evaluation.get("rate") == 0 else {evaluation["iw_samples"]}


def outcome(run: Run, damaged: list[str]) -> Outcome:
    """Raises `DataError` where the settings cannot be read; lesser damage is added to `damaged`."""
    best = _best_line(run, damaged)
    return Outcome(run, _settings(run), best, _evaluated(run, best, damaged))


def differing(outcomes: list[Outcome]) -> list[str]:
    """Dotted keys of the settings that are not the same in all, in their usual order."""
    first = outcomes[0].settings if outcomes else {}
    return [key for key in first if any(other.settings[key] != first[key] for other in outcomes)]


def same_corpus(data: str | None = None) -> list[Run]:
    """The runs on one corpus, oldest first: that of the latest run, of all or of those whose corpus `data` names.

    `data` is the name of a corpus or its folder. Raises `NotFoundError`.
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
    """The best run on one corpus (see `same_corpus`) by a figure of `FIGURES`; of several, the oldest.

    `neg_elbo` is that of the validation while training, unless a split is named; all else is what `eval` has stored
    for the split (test by default). Raises `UsageError` for an unknown figure, `NotFoundError` where no run has it.
    """
    if by not in FIGURES:
        raise UsageError(f"{by!r} is no figure to rank runs by", nearest(by, FIGURES))
    runs = same_corpus(data)
    found: list[tuple[float, Run]] = []
    samples: set[int] = set()
    for run in runs:
        if by == "neg_elbo" and split is None:
            value = figure(run.info, "best_neg_elbo")
        else:
            evaluation = _evaluated(run, _best_line(run, damaged), damaged).get(split or "test", {})
            value = figure(evaluation, by)
            if value is not None and by.startswith("iw_"):
                samples |= bound_samples(evaluation)
        if value is not None:
            found.append((value, run))
    if not found:
        name = runs[-1].info["corpus"]["name"]
        if by == "neg_elbo" and split is None:
            raise NotFoundError(f"no run on {name} has been validated yet", f"seqvae train --data {name}")
        hint = f"seqvae eval {runs[-1].name} --split {split or 'test'}"
        raise NotFoundError(f"no run on {name} has {by} on {split or 'test'}: none was evaluated there", hint)
    value, run = FIGURES[by](found, key=lambda pair: pair[0])
    ranked = {other.name for _, other in found}
    return Winner(run, value, len(found), [other.name for other in runs if other.name not in ranked], sorted(samples))


def _settings(run: Run) -> dict[str, Any]:
    digests = run.info.get("files")
    if not isinstance(digests, dict) or "config.yaml" not in digests:
        raise DataError(f"{run.path / 'run.json'} names no digest of config.yaml")
    files.verify(run.path, {"config.yaml": digests["config.yaml"]})
    loaded = layers.load(run.path / "config.yaml")
    values = {key: attrgetter(key)(loaded) for key, _ in options.fields()}
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
    for value in sorted(evaluations(run, damaged), key=lambda value: (value["iw_samples"], value["recorded"])):
        if value["step"] == best.get("step"):
            chosen[value["split"]] = value
    return chosen

"""What the run folders tell: the runs there are, the curves of one, its figures."""

from __future__ import annotations

import math
from typing import Any

from seqvae_cli.evaluation.figures import FIGURES
from seqvae_cli.runs import evaluations, registry
from seqvae_cli.runs.run import Run

CURVES = ("neg_elbo", "distortion", "rate", "mutual_information", "active_units", "kl_weight", "learning_rate")
"""What of the metrics of an epoch the page draws, and the -ELBO of training."""
MOST_RUNS = 500
"""Runs in the picker, the latest ones."""
MOST_EPOCHS = 5000
"""Epochs of the curves, the latest ones."""


def runs() -> list[dict[str, Any]]:
    """The readable runs, the latest first."""
    found = registry.runs()[0][-MOST_RUNS:]
    return [
        {
            "name": run.name,
            "status": run.status,
            "corpus": str(run.info["corpus"]["name"]),
            "best_neg_elbo": _finite(run.info.get("best_neg_elbo")),
            "trained": run.has_checkpoint(),
        }
        for run in reversed(found)
    ]


def record(run: Run) -> dict[str, Any]:
    """Status, curves (a list a quantity, an item an epoch) and the stored evaluations of a run."""
    epochs = run.metrics()[-MOST_EPOCHS:]
    curves = {key: [_finite(epoch.get(key)) for epoch in epochs] for key in ("epoch", "train_neg_elbo", *CURVES)}
    rates = epochs[-1].get("rate_by_dimension") if epochs else None
    return {
        "name": run.name,
        "status": run.status,
        "corpus": str(run.info["corpus"]["name"]),
        "epochs": run.info.get("epochs"),
        "best_epoch": run.info.get("best_epoch"),
        "best_neg_elbo": _finite(run.info.get("best_neg_elbo")),
        "seconds": _finite(run.info.get("seconds")),
        "curves": curves,
        "rate_by_dimension": [_finite(rate) for rate in rates] if isinstance(rates, list) else [],
        "evaluations": [_evaluation(stored) for stored in evaluations.read_all(run, [])],
    }


def _evaluation(stored: dict[str, Any]) -> dict[str, Any]:
    figures = [
        {"key": key, "name": figure.name, "unit": figure.unit.replace("of {latent_size}", ""), "value": value}
        for key, figure in FIGURES.items()
        if figure.label and not figure.of_text and (value := _finite(figure.shown(stored))) is not None
    ]
    head = {key: stored.get(key) for key in ("split", "step", "signature", "iw_samples", "sentences")}
    return {**head, "figures": figures}


def _finite(value: object) -> float | int | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and math.isfinite(value) else None  # type: ignore[arg-type,return-value]

"""`seqvae runs`: the run folders on this machine."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from seqvae_cli import display
from seqvae_cli.commands._model import Json, RunArgument

if TYPE_CHECKING:
    from seqvae_cli.registry import Run

app = typer.Typer(help="List, show and find runs.\n\nExample:\n\n    seqvae runs list", no_args_is_help=True)


@app.command("list")
def list_(json: Json = False) -> None:
    """List all runs, oldest first.

    Examples:

        seqvae runs list
        seqvae runs list --json | jq -r .run
    """
    from seqvae_cli import registry

    runs, damaged = registry.runs()
    for name, reason in damaged:
        display.warn(f"run {display.safe(name)} cannot be read: {reason}")
    if json:
        for run in runs:
            display.out_jsonl(_summary(run))
        return
    if not runs:
        display.say("there is no run yet: seqvae train")
        return
    columns = ["run", "status", "corpus", "epoch", "val -ELBO", "created"]
    rows = [
        [
            run.name,
            run.status,
            run.info["corpus"]["name"],
            run.info.get("epoch"),
            run.info.get("best_neg_elbo"),
            _time(run.info["created"]),
        ]
        for run in runs
    ]
    display.table("", columns, rows)


@app.command()
def show(run: RunArgument = None, json: Json = False) -> None:
    """Show a run: its status, settings and epochs.

    Examples:

        seqvae runs show
        seqvae runs show ptb-default-1 --json | jq .settings.train.lr
    """
    from seqvae_cli import checkpoint, config, registry

    found = registry.find("latest" if run is None else run)
    settings, _ = checkpoint.load_parts(found)
    metrics = found.metrics()
    if json:
        display.out_json(_summary(found) | {"settings": settings.model_dump(), "metrics": metrics})
        return
    summary = _summary(found) | {"created": _time(found.info["created"])}
    flat = [(key, value) for key, value in summary.items() if value is not None]
    flat += [(key, _shown(settings.model_dump(), key)) for key, _ in config.fields()]
    display.table("", ["", "value"], flat)
    if metrics:
        columns = ["epoch", "KL wt", "recon", "KL", "-ELBO", "PPL", "MI", "AU", "best"]
        keys = ["epoch", "kl_weight", "distortion", "rate", "neg_elbo", "elbo_ppl", "mutual_information"]
        keys += ["active_units"]
        best = found.info.get("best_epoch")
        rows = [[*(line.get(key) for key in keys), "*" if line.get("epoch") == best else ""] for line in metrics]
        display.out("")
        display.table("validation", columns, rows)


@app.command()
def path(run: RunArgument = None, json: Json = False) -> None:
    """Print the folder of a run.

    Example:

        cat "$(seqvae runs path latest)/metrics.jsonl"
    """
    from seqvae_cli import registry

    found = registry.find("latest" if run is None else run)
    if json:
        display.out_json({"run": found.name, "path": str(found.path)})
    else:
        display.out(str(found.path))


def _summary(run: Run) -> dict[str, Any]:
    info = run.info
    return {
        "run": run.name,
        "status": run.status,
        "corpus": info["corpus"]["folder"],
        "created": info["created"],
        "epoch": info.get("epoch"),
        "epochs": info.get("epochs"),
        "best_epoch": info.get("best_epoch"),
        "best_neg_elbo": info.get("best_neg_elbo"),
        "seconds": info.get("seconds"),
        "device": info.get("device"),
        "precision": info.get("precision"),
        "threads": info.get("threads"),
        "failure": info.get("failure"),
        "path": str(run.path),
    }


def _time(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9).astimezone().strftime("%Y-%m-%d %H:%M")


def _shown(settings: dict[str, Any], key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = value[part]
    return f"{value:g}" if isinstance(value, float) else value  # a learning rate has more than two digits

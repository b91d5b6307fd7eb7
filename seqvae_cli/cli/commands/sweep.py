"""`seqvae sweep`: trainings with settings drawn anew for each."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli.cli import display, progress
from seqvae_cli.cli.options import Json
from seqvae_cli.cli.signals import stop_on_signals

if TYPE_CHECKING:
    from seqvae_cli.sweeps.trials import Trial

app = typer.Typer()


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The plan: a YAML file.", show_default=False)],
    json: Json = False,
) -> None:
    """Train runs whose settings are drawn from ranges, and find the best.

    FILE holds `settings` for all trials, the `space` that each draws from, and the number of `trials`; docs/runs.md
    describes it. Optuna chooses the settings (pip install "seqvae[sweep]") and ends trials that fall behind. A trial is
    an ordinary run, tagged with the sweep's name. The same command goes on with a sweep that was stopped, trains the
    trials that a higher number adds, and shares the work with the same command in other terminals.

    Examples:

        seqvae sweep sizes.yaml
        seqvae sweep sizes.yaml --json | jq .best.settings
    """
    with progress.working("loading PyTorch"):
        from seqvae_cli.cli.live import TrainingView
        from seqvae_cli.sweeps import plan
        from seqvae_cli.sweeps.trials import Sweep, TrialEndEvent, TrialEvent

        planned = plan.read(file)
        found = Sweep(planned)
    with stop_on_signals() as stop, ExitStack() as shown:
        view: TrainingView | None = None
        for event in found.train(lambda: bool(stop)):
            if isinstance(event, TrialEvent):
                goes_on = ", resumed" if event.resumed else ""
                display.say(f"trial {event.trial.number + 1} of {event.trials}{goes_on}: {_drawn(event.trial)}")
                view = shown.enter_context(TrainingView())
            elif isinstance(event, TrialEndEvent):
                shown.close()
                _say_end(event.trial, event.best)
            elif view is not None:
                view.show(event)
    best = found.best()
    if json:
        trials = [_json(trial) for trial in found.trials()]
        display.out_json({"sweep": planned.name, "best": _json(best) if best else None, "trials": trials})
    elif display.settings.quiet:
        if best:
            display.out(str(best.run))
    else:
        _table(found.trials(), list(planned.space))
    if stop:
        display.comment(f"stopped; to go on: seqvae sweep {shlex.quote(str(file))}")
        raise typer.Exit(128 + stop[0])
    if best:
        display.say(f"next: seqvae runs show {best.run} · seqvae eval {best.run}")


def _say_end(trial: Trial, best: Trial | None) -> None:
    if trial.reason:
        display.warn(f"trial {trial.number + 1} failed: {trial.reason}")
        return
    value = "" if trial.neg_elbo is None else f", validation -ELBO {trial.neg_elbo:.2f}"
    leads = "" if best is None else f"; best {best.neg_elbo:.2f} ({best.run})"
    display.say(f"{trial.run}: {trial.state}{value}{leads}")


def _drawn(trial: Trial) -> str:
    return ", ".join(f"{key} {_short(value)}" for key, value in trial.settings.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(trials: list[Trial], keys: list[str]) -> None:
    """The trials, the best first."""
    ranked = sorted(trials, key=lambda one: (one.state != "finished", one.neg_elbo is None, one.neg_elbo or 0))
    rows = [
        [
            one.run,
            one.state,
            one.neg_elbo,
            *(_short(one.settings[key]) if key in one.settings else None for key in keys),
        ]
        for one in ranked
    ]
    display.table("", ["run", "state", "val -ELBO", *keys], rows)


def _json(trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "run": trial.run,
        "state": trial.state,
        "neg_elbo": trial.neg_elbo,
        "settings": trial.settings,
    } | ({"reason": trial.reason} if trial.reason else {})

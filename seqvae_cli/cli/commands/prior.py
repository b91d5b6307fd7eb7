"""`seqvae prior`: a run -> the same with a prior that fits its codes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from seqvae_cli.cli import display, progress
from seqvae_cli.cli.models import find_run
from seqvae_cli.cli.options import Json, RunArgument, RunOption, Seed, Threads
from seqvae_cli.system.progress import Advance

app = typer.Typer()


@app.command()
def prior(
    run: RunArgument = None,
    components: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, metavar="N", help="Gaussians of the mixture [default: 1, 10 or 100, see above]."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the new run [default: RUN-fitted-N].")
    ] = None,
    run_option: RunOption = None,
    seed: Seed = 0,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Fit the prior of a trained run to its codes; a new run holds the result.

    Encoder and decoder stay as they are. The prior becomes a mixture of Gaussians that fits the codes of the training
    split, so that `sample` draws codes more like those of sentences; where it fits better, the KL and the -ELBO are
    lower. It helps most where the rate (KL) is high. Without --components it is the fewest of 1, 10 and 100 that fit
    the codes of the validation split as well as the best, with at least 10 training sentences each.

    Examples:

        seqvae prior latest
        seqvae prior reviews-autoencoder-like-1 --name fitted
        seqvae prior --components 500 --json | jq .after.rate
    """
    with progress.working("loading PyTorch"):
        from seqvae_cli.system import runtime
        from seqvae_cli.training import fitted_prior

    runtime.set_threads(threads)
    found = find_run(run, run_option)
    if found.status == "running":
        display.warn(f"{found.name} is in training: the fit is of its best weights so far")
    with ExitStack() as stack:

        def stage(what: str, total: int) -> Advance:
            stack.close()
            unit = "iterations" if what.startswith("mixture") else "tokens"
            return stack.enter_context(display.progress(what, total, unit))

        done = fitted_prior.fit_prior(found, components=components, name=name, seed=seed, stage=stage)
    made, before, after = done.run, done.before, done.after
    if json:
        figures = {
            key: {"neg_elbo": one.neg_elbo, "rate": one.rate, "mutual_information": one.mutual_information}
            for key, one in (("before", before), ("after", after))
        }
        gain = {"gained": done.gained, "error": done.error}
        display.out_json({"run": made.name, "path": str(made.path), "components": done.components} | figures | gain)
        return
    rows = [
        ("-ELBO", before.neg_elbo, after.neg_elbo),
        ("rate, KL(q(z|x) ‖ p(z))", before.rate, after.rate),
        ("lower by, at the same z", None, done.gained),
        ("± standard error", None, done.error),
    ]
    title = f"{found.name} on valid, nats a sentence"
    display.table(title, ["", "its prior", f"fitted ({done.components})"], rows)
    if done.error is None or done.gained <= 2 * done.error:
        error = "" if done.error is None else f" ± {done.error:.3f}"
        display.warn(
            f"the fitted prior does not lower the KL by more than chance: {done.gained:.3f}{error} nats",
            f"use {found.name}, or give another --components",
        )
    display.say(f"next: seqvae sample {made.name}")

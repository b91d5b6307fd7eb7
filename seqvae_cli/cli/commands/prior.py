"""`seqvae prior`: a run -> the same with a prior that fits its codes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from seqvae_cli.cli import display, progress
from seqvae_cli.cli.options import Json, RunArgument, Seed, Threads
from seqvae_cli.system.progress import Advance

app = typer.Typer()


@app.command()
def prior(
    run: RunArgument = None,
    components: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, metavar="N", help="Gaussians of the mixture [default: the best of 1, 10 and 100]."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the new run [default: CORPUS-PRESET-N].")
    ] = None,
    seed: Seed = 0,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Fit the prior of a trained run to its codes; a new run holds the result.

    Encoder and decoder stay as they are. Instead of N(0, I) the prior is a mixture of Gaussians that fits the codes of
    the training split, so that `sample` draws codes more like those of sentences, and the -ELBO is lower. It helps most
    where the rate (KL) is high. Without --components the validation split chooses.

    Examples:

        seqvae prior latest
        seqvae prior reviews-autoencoder-like-1 --name fitted
        seqvae prior --components 500 --json | jq .after.rate
    """
    with progress.working("loading PyTorch"):
        from seqvae_cli.runs import registry
        from seqvae_cli.system import runtime
        from seqvae_cli.training import fitted_prior

    runtime.set_threads(threads)
    found = registry.find("latest" if run is None else run, trained=True)
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
        display.out_json({"run": made.name, "path": str(made.path), "components": done.components} | figures)
        return
    rows = [
        ("-ELBO", before.neg_elbo, after.neg_elbo),
        ("rate, KL(q(z|x) ‖ p(z))", before.rate, after.rate),
    ]
    title = f"{found.name} on valid, nats a sentence"
    display.table(title, ["", "its prior", f"fitted ({done.components})"], rows)
    if after.rate >= before.rate:
        risen = f"the fitted prior does not lower the KL: {before.rate:.3f} nats before, {after.rate:.3f} after"
        display.warn(risen, f"use {found.name}, or give another --components")
    display.say(f"next: seqvae sample {made.name}")

"""`seqvae eval`: what a model is worth on a split."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from seqvae_cli import display
from seqvae_cli.commands._model import Device, Json, RunArgument, RunOption, Seed, Threads, open_bundle
from seqvae_cli.errors import MachineError, UsageError

app = typer.Typer()


@app.command("eval")
def evaluate(
    run: RunArgument = None,
    run_option: RunOption = None,
    split: Annotated[str, typer.Option(help="train, valid or test.", show_default=True)] = "test",
    samples: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="K of the importance-weighted bound.", show_default=True)
    ] = 500,
    elbo_samples: Annotated[
        int, typer.Option(min=1, max=10_000, help="Samples of z a sentence for the -ELBO.", show_default=True)
    ] = 1,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Evaluate a run: -ELBO, importance-weighted bound, mutual information, active units, reconstruction.

    The result is kept in the run folder, for `runs compare` and `runs best`.

    Examples:

        seqvae eval
        seqvae eval ptb-default-1 --split valid --samples 100
        seqvae eval --json | jq .iw_ppl
    """
    from seqvae_cli import corpus as corpora
    from seqvae_cli.evaluate import evaluate as library
    from seqvae_cli.evaluate import store

    if split not in ("train", "valid", "test"):
        raise UsageError(f"no split {split!r}", "known: train, valid, test")
    bundle = open_bundle(run, run_option, device, threads)
    corpus = corpora.find(bundle.run.info["corpus"]["folder"])
    with ExitStack() as stack:

        def stage(name: str, total: int) -> display.Advance:
            stack.close()
            return stack.enter_context(display.progress(name, total, "samples" if "bound" in name else "sentences"))

        result = library(bundle, corpus, split, samples=samples, elbo_samples=elbo_samples, seed=seed, stage=stage)
    try:
        store(bundle.run, bundle.step, result)
    except MachineError as error:  # a run of somebody else, say: the figures are as good
        display.warn(f"the result is not kept: {error.message}")
    if json:
        display.out_json(result.to_json())
        return
    rows: list[tuple[str, object, str]] = [
        ("-ELBO", result.neg_elbo, "nats a sentence"),
        ("  reconstruction (distortion)", result.distortion, "nats a sentence"),
        ("  KL (rate)", result.rate, "nats a sentence"),
        (f"importance-weighted NLL, K = {samples}", result.iw_nll, "nats a sentence"),
        ("perplexity, importance-weighted", result.iw_ppl, "a token"),
        ("perplexity, from -ELBO", result.elbo_ppl, "a token"),
        ("mutual information", result.mutual_information, "nats"),
        ("active units", result.active_units, f"of {bundle.settings.model.latent_size}"),
        ("reconstruction BLEU-4", result.bleu, "of 100"),
        ("reconstructed exactly", 100 * result.exact_match, "%"),
    ]
    if result.entropy is not None:
        gap = 100 * (result.iw_nll / result.entropy - 1)
        rows.append(("exact entropy of the source", result.entropy, "nats a sentence"))
        rows.append(("importance-weighted NLL above it", gap, "%"))
    title = f"{bundle.run.name} on {split}: {result.sentences:,} sentences, {result.tokens:,} tokens"
    display.table(title, ["", "value", "unit"], rows)
    if result.truncated:
        display.warn(f"{result.truncated} sentences were cut when the corpus was prepared")
    display.say(f"signature: {result.signature}")

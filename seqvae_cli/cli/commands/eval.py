"""`seqvae eval`: every figure of a model on a split."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from seqvae_cli.cli import display, eval_tables, progress
from seqvae_cli.cli.headings import FIGURES
from seqvae_cli.cli.models import open_model
from seqvae_cli.cli.options import Device, Json, RunArgument, RunOption, Seed, Threads, complete_split
from seqvae_cli.errors import MachineError, UsageError, counted
from seqvae_cli.system.processes import joined, of_environment
from seqvae_cli.system.progress import Advance

if TYPE_CHECKING:
    from seqvae_cli.api import Model

UNITS = {
    **{"samples": "sentences", "steering": "sentences", "paths": "paths", "n-gram models": "models"},
    "disentanglement": "scores",
}
"""What a stage counts, where it is not tokens."""

app = typer.Typer()


@app.command("eval")
def evaluate(
    run: RunArgument = None,
    run_option: RunOption = None,
    split: Annotated[
        str, typer.Option(help="train, valid or test.", show_default=True, autocompletion=complete_split)
    ] = "test",
    samples: Annotated[
        int,
        typer.Option(
            min=1,
            max=1_000_000,
            help="K of the importance-weighted bound.",
            show_default=True,
            rich_help_panel=FIGURES,
        ),
    ] = 500,
    elbo_samples: Annotated[
        int,
        typer.Option(
            min=1,
            max=10_000,
            help="Samples of z a sentence for the -ELBO.",
            show_default=True,
            rich_help_panel=FIGURES,
        ),
    ] = 1,
    diagnose: Annotated[
        bool,
        typer.Option(
            "--diagnose", help="Also what the latent code is used for, and a verdict.", rich_help_panel=FIGURES
        ),
    ] = False,
    samples_quality: Annotated[
        bool,
        typer.Option(
            "--samples-quality",
            help="Also how good 10,000 samples are beside real sentences, and 200 paths.",
            rich_help_panel=FIGURES,
        ),
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Evaluate a run: -ELBO, importance-weighted bound, mutual information, active units, reconstruction.

    The result is stored in the run folder, for `runs compare` and `runs best`.

    Examples:

        seqvae eval
        seqvae eval ptb-default-1 --split valid --samples 100
        seqvae eval --json | jq .iw_ppl
        seqvae eval --diagnose
        seqvae eval --samples-quality
    """
    display.settings.quiet |= bool(of_environment().rank)
    with progress.working("loading PyTorch"):
        from seqvae_cli.evaluation.samples import check_split

    if split not in ("train", "valid", "test"):
        raise UsageError(f"no split {split!r}", "known: train, valid, test")
    if samples_quality:
        check_split(split)
    with joined() as processes:
        model = open_model(run, run_option, device, threads, processes)
        if diagnose or (samples_quality and model.latent_size):
            _check_pairs(model, split)
        with ExitStack() as stack:

            def stage(name: str, total: int) -> Advance:
                stack.close()
                return stack.enter_context(display.progress(name, total, UNITS.get(name, "tokens")))

            result = model.evaluate(
                split, samples=samples, elbo_samples=elbo_samples, seed=seed, stage=stage, processes=processes
            )
            if not processes.first:
                return
            try:
                model.store(result)
            except MachineError as error:  # such as a run of another user: the figures are valid all the same
                display.warn(f"the result is not stored: {error.message}")
            if not json:  # at once: what follows may fail, or be stopped
                stack.close()
                eval_tables.evaluation(model, result)
            found = model.diagnose(split, seed=seed, stage=stage) if diagnose else None
            sampled = walked = evenly = None
            if samples_quality:
                sampled = model.sample_quality(split, seed=seed, stage=stage)
            if samples_quality and model.latent_size:
                walked, evenly = model.path_quality(split, seed=seed, stage=stage)
        if json:
            parts = {"diagnosis": found, "samples_quality": sampled, "paths": walked, "even_paths": evenly}
            more = {name: part.to_json() for name, part in parts.items() if part is not None}
            display.out_json(result.to_json() | more)
            return
        if found is not None:
            eval_tables.diagnosis(found, result.neg_elbo - result.iw_nll)
        if sampled is not None:
            eval_tables.quality(sampled, split)
        if walked is not None and evenly is not None:
            eval_tables.paths(walked, evenly, split)
        if result.truncated:
            were = "was" if result.truncated == 1 else "were"
            display.warn(f"{counted(result.truncated, 'sentence')} {were} cut when the corpus was prepared")
        display.say(f"signature: {result.signature}")


def _check_pairs(model: Model, split: str) -> None:
    """Raises `UsageError`, before anything is measured, where a split has no two sentences to compare."""
    corpus = model.corpus()
    corpus.nonempty_split(split)
    if (count := corpus.sentences(split)) < 2:
        raise UsageError(f"{split} has {counted(count, 'sentence')}: codes and paths of two or more are compared")

"""`seqvae sample`: sentences from the prior."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from seqvae_cli.cli import display, progress
from seqvae_cli.cli.models import Cuts, open_model
from seqvae_cli.cli.options import (
    BatchSize,
    Beam,
    Device,
    Greedy,
    Json,
    MaxLen,
    RunArgument,
    RunOption,
    Seed,
    Start,
    Temperature,
    Threads,
    TopK,
    TopP,
    Unk,
)
from seqvae_cli.cli.sentences import utf8
from seqvae_cli.cli.strategy import strategy_from_options

app = typer.Typer()


@app.command()
def sample(
    run: RunArgument = None,
    run_option: RunOption = None,
    n: Annotated[int, typer.Option("-n", "--number", min=1, max=2**63 - 1, help="Sentences.", show_default=True)] = 10,
    start: Start = "",
    greedy: Greedy = False,
    beam: Beam = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    unk: Unk = None,
    max_len: MaxLen = 100,
    batch_size: BatchSize = 256,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Sample sentences: draw codes from the prior and decode them word by word.

    A seed gives the same sentences at any batch size. --beam compares sentences by log p per token. --json adds
    log p(x|z) of each sentence under the model itself, in nats, whatever the temperature; <eos> is counted, but in a
    sentence that was cut at --max-len: eos_counted.

    Examples:

        seqvae sample
        seqvae sample -n 5 --start like --temperature 0.8
        seqvae sample -n 5 --beam 5
        seqvae sample -n 1000 --json | jq -r .text | sort | uniq -c
    """
    strategy = strategy_from_options(greedy, beam, temperature, top_k, top_p, unk)
    model = open_model(run, run_option, device, threads)
    options: dict[str, Any] = {"start": utf8(start), "seed": seed, "max_len": max_len, "batch_size": batch_size}
    cuts = Cuts(max_len)
    with progress.late_progress("sampling", n, "sentences") as advance:
        for index, one in enumerate(model.samples(n, strategy, log_probs=json, **options)):
            advance(1)
            cuts.add(one.cut)
            if json:
                answer = {"index": index, "text": one.text, "tokens": one.tokens, "cut": one.cut}
                display.out_jsonl(answer | {"log_prob": one.log_prob, "eos_counted": not one.cut})
            else:
                display.out(one.text)
    if not json:
        cuts.warn()

"""`seqvae sample`: sentences from the prior."""

from __future__ import annotations

from typing import Annotated

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.models import open_model
from seqvae_cli.cli.options import (
    BatchSize,
    Beam,
    Device,
    Greedy,
    Json,
    MaxLen,
    NoUnk,
    RunArgument,
    RunOption,
    Seed,
    Start,
    Temperature,
    Threads,
    TopK,
    TopP,
)
from seqvae_cli.cli.strategy import strategy_from_options

app = typer.Typer()


@app.command()
def sample(
    run: RunArgument = None,
    run_option: RunOption = None,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="Sentences.", show_default=True)] = 10,
    start: Start = "",
    greedy: Greedy = False,
    beam: Beam = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    no_unk: NoUnk = False,
    max_len: MaxLen = 100,
    batch_size: BatchSize = 256,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Sample sentences: draw codes from the prior and decode them word by word.

    A seed gives the same sentences at any batch size. --beam compares sentences by log p per token. --json adds
    log p(x|z) of each sentence under the model itself, in nats, <eos> counted, whatever the temperature.

    Examples:

        seqvae sample
        seqvae sample -n 5 --start like --temperature 0.8
        seqvae sample -n 5 --beam 5
        seqvae sample -n 1000 --json | jq -r .text | sort | uniq -c
    """
    strategy = strategy_from_options(greedy, beam, temperature, top_k, top_p, no_unk)
    model = open_model(run, run_option, device, threads)
    found = model.samples(n, strategy, start=start, seed=seed, max_len=max_len, batch_size=batch_size, log_probs=json)
    for index, one in enumerate(found):
        if json:
            display.out_jsonl({"index": index, "text": one.text, "tokens": one.tokens, "log_prob": one.log_prob})
        else:
            display.out(one.text)

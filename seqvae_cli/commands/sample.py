"""`seqvae sample`: sentences from the prior."""

from __future__ import annotations

from typing import Annotated

import typer

from seqvae_cli import display
from seqvae_cli.commands._model import (
    Device,
    Json,
    RunArgument,
    RunOption,
    Seed,
    Threads,
    open_bundle,
    start_ids,
)
from seqvae_cli.errors import UsageError

app = typer.Typer()


@app.command()
def sample(
    run: RunArgument = None,
    run_option: RunOption = None,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="Sentences; at least 1.", show_default=True)] = 10,
    start: Annotated[str, typer.Option(help="Words that every sentence begins with.")] = "",
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the likeliest word.")] = False,
    temperature: Annotated[
        float | None, typer.Option(min=0.001, max=1000, help="Below 1: likelier words, above 1: bolder [default: 1].")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=0, max=10**9, help="Only the k likeliest words; 0: all [default: 0].")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(min=0.001, max=1, help="Only the likeliest words that reach p [default: 1].")
    ] = None,
    max_len: Annotated[
        int, typer.Option(min=1, max=10_000, help="Words after which a sentence is cut.", show_default=True)
    ] = 100,
    batch_size: Annotated[int, typer.Option(min=1, max=1_000_000, help="Sentences at once.", show_default=True)] = 256,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Sample sentences: a code from the prior, decoded word by word.

    A seed gives the same sentences at any batch size.

    Examples:

        seqvae sample
        seqvae sample -n 5 --start like --temperature 0.8
        seqvae sample -n 1000 --json | jq -r .text | sort | uniq -c
    """
    choices = {"--temperature": temperature, "--top-k": top_k, "--top-p": top_p}
    if greedy and any(value is not None for value in choices.values()):
        given = ", ".join(option for option, value in choices.items() if value is not None)
        raise UsageError(f"--greedy does not go with {given}", "leave one out")
    from seqvae_cli import generate

    bundle = open_bundle(run, run_option, device, threads)
    strategy = generate.Strategy(
        greedy=greedy,
        temperature=1.0 if temperature is None else temperature,
        top_k=top_k or 0,
        top_p=1.0 if top_p is None else top_p,
    )
    sentences = generate.sample(
        bundle.model,
        n,
        strategy,
        seed=seed,
        start=start_ids(bundle.tokenizer, start),
        max_len=max_len,
        batch_size=batch_size,
        precision=bundle.precision,
    )
    for index, ids in enumerate(sentences):
        text = bundle.tokenizer.decode(ids)
        if json:
            display.out_jsonl({"index": index, "text": text, "tokens": bundle.tokenizer.tokens(ids)})
        else:
            display.out(text)

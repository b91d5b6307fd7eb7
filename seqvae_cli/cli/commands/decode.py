"""`seqvae decode`: codes -> sentences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.options import (
    BatchSize,
    Beam,
    Device,
    Json,
    MaxLen,
    NoUnk,
    RunOption,
    Seed,
    Temperature,
    Threads,
    TopK,
    TopP,
    open_bundle,
)
from seqvae_cli.cli.strategy import strategy as chosen

app = typer.Typer()


@app.command()
def decode(
    source: Annotated[str, typer.Argument(metavar="FILE|-", help="Codes: JSON Lines or .npy; - is stdin.")] = "-",
    beam: Beam = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    no_unk: NoUnk = False,
    max_len: MaxLen = 100,
    batch_size: BatchSize = 256,
    seed: Seed = 0,
    run_option: RunOption = None,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Decode codes, a row each, in order: what `seqvae encode` writes, or what you made of it.

    A row is a list of numbers, or an object with one under "z" or "mean". The likeliest word is taken each time, unless
    --beam, --temperature, --top-k or --top-p is given. A row without a code (null, NaN) keeps its place, empty.

    Examples:

        seqvae encode "stock prices rose" | seqvae decode
        seqvae encode sentences.txt -o codes.npy && seqvae decode codes.npy
        seqvae encode - < sentences.txt | seqvae decode --beam 5 --json | jq -r .text
    """
    greedy = beam is temperature is top_k is top_p is None
    strategy = chosen(greedy, beam, temperature, top_k, top_p, no_unk)
    import numpy as np
    import torch

    from seqvae_cli.latent import generate
    from seqvae_cli.latent.codes import read_codes
    from seqvae_cli.system.runtime import stream

    bundle = open_bundle(None, run_option, device, threads)
    bundle.need_latent()
    rows = read_codes(sys.stdin.buffer if source == "-" else Path(source), bundle.settings.model.latent_size)
    index = 0
    while batch := list(islice(rows, batch_size)):
        codes = [code for code in batch if code is not None]
        sentences: Iterator[list[int]] = iter(())
        if codes:
            # The noise of a row is its own, as in `sample`.
            places = [index + i for i, code in enumerate(batch) if code is not None]
            uniforms = np.stack([stream(seed, i).random(max_len, dtype=np.float32) for i in places])
            sentences = iter(
                generate.decode(
                    bundle.model,
                    torch.from_numpy(np.stack(codes)),
                    strategy,
                    uniforms=torch.from_numpy(uniforms),
                    max_len=max_len,
                    precision=bundle.precision,
                )
            )
        for code in batch:
            text = None if code is None else bundle.tokenizer.decode(next(sentences))
            if json:
                reason = {"reason": "no code"} if text is None else {}
                display.out_jsonl({"index": index, "text": text} | reason)
            else:
                display.out(text or "")
            index += 1

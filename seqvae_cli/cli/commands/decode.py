"""`seqvae decode`: codes -> sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.models import open_model
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
)
from seqvae_cli.cli.pauses import may_pause, standard_input, with_pauses
from seqvae_cli.cli.strategy import strategy_from_options

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
    """Decode codes into sentences, one for each row, in order.

    The input is what `seqvae encode` writes. A row is a list of numbers, or an object that has one under "z" or "mean".
    Decoding is greedy unless --beam, --temperature, --top-k or --top-p is given. A row without a code (null, NaN)
    gives an empty line.

    Examples:

        seqvae encode "stock prices rose" | seqvae decode
        seqvae encode sentences.txt -o codes.npy && seqvae decode codes.npy
        seqvae encode - < sentences.txt | seqvae decode --beam 5 --json | jq -r .text
    """
    greedy = beam is temperature is top_k is top_p is None
    strategy = strategy_from_options(greedy, beam, temperature, top_k, top_p, no_unk)
    from seqvae_cli.latent.codes import read_codes

    model = open_model(None, run_option, device, threads)
    model.require_latent()
    file = standard_input() if source == "-" else Path(source)
    codes = read_codes(file, model.latent_size)
    rows = with_pauses(codes) if may_pause(file) else codes
    texts = model.decode_stream(rows, strategy, seed=seed, max_len=max_len, batch_size=batch_size)
    for index, text in enumerate(texts):
        if json:
            reason = {"reason": "no code"} if text is None else {}
            display.out_jsonl({"index": index, "text": text} | reason)
        else:
            display.out(text or "")

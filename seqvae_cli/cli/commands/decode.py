"""`seqvae decode`: codes -> sentences."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from seqvae_cli.cli import display, progress
from seqvae_cli.cli.models import Cuts, open_model
from seqvae_cli.cli.options import (
    BatchSize,
    Beam,
    Device,
    Json,
    MaxLen,
    RunOption,
    Seed,
    Temperature,
    Threads,
    TopK,
    TopP,
    Unk,
)
from seqvae_cli.cli.pauses import may_pause, standard_input, with_pauses
from seqvae_cli.cli.strategy import strategy_from_options
from seqvae_cli.errors import UsageError

app = typer.Typer()


@app.command()
def decode(
    source: Annotated[
        list[str] | None, typer.Argument(metavar="FILE|-", help="Codes: JSON Lines or .npy; - is stdin.")
    ] = None,
    beam: Beam = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    unk: Unk = None,
    max_len: MaxLen = 100,
    batch_size: BatchSize = 256,
    seed: Seed = 0,
    run_option: RunOption = None,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Decode codes into sentences, one for each row, in order.

    The input is what `seqvae encode` writes as JSON Lines or .npy; several files are read one after another. A row is a
    list of numbers, or an object that has one under "z" or "mean"; one without a code (null, NaN) gives an empty line.
    Decoding is greedy unless --beam, --temperature, --top-k or --top-p is given. JSON tells whether a sentence was cut
    at --max-len.

    Examples:

        seqvae encode "stock prices rose" | seqvae decode
        seqvae encode sentences.txt -o codes.npy && seqvae decode codes.npy
        seqvae encode sentences.txt | seqvae decode --beam 5 --json | jq -r .text
    """
    greedy = beam is temperature is top_k is top_p is None
    strategy = strategy_from_options(greedy, beam, temperature, top_k, top_p, unk)
    from seqvae_cli.latent.codes import check_file, read_codes

    names = source or ["-"]
    if "-" in names and len(names) > 1:
        raise UsageError("standard input (-) cannot be combined with files", "give - alone")
    sources = [standard_input() if name == "-" else Path(name) for name in names]
    for one in sources:
        if isinstance(one, Path):
            check_file(one)
    model = open_model(None, run_option, device, threads)
    model.require_latent()
    codes = itertools.chain.from_iterable(read_codes(one, model.latent_size) for one in sources)
    rows = with_pauses(codes) if any(map(may_pause, sources)) else codes
    cuts = Cuts(max_len)
    with progress.late_progress("decoding", None, "sentences") as advance:
        found = model.decode_stream(rows, strategy, seed=seed, max_len=max_len, batch_size=batch_size)
        for index, made in enumerate(found):
            advance(1)
            if made is not None:
                cuts.add(made.cut)
            if not json:
                display.out("" if made is None else made.text)
            elif made is None:
                display.out_jsonl({"index": index, "text": None, "cut": False, "reason": "no code"})
            else:
                display.out_jsonl({"index": index, "text": made.text, "cut": made.cut})
    if not json:
        cuts.warn()

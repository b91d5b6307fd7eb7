"""`seqvae reconstruct`: sentences -> codes -> sentences."""

from __future__ import annotations

import typer

from seqvae_cli.cli import display, progress
from seqvae_cli.cli.models import Cuts, counting, open_model
from seqvae_cli.cli.options import Beam, Device, Encoding, Json, MaxLen, RunOption, Text, Threads, Unk
from seqvae_cli.cli.sentences import open_lines
from seqvae_cli.cli.strategy import strategy_from_options

app = typer.Typer()


@app.command()
def reconstruct(
    text: Text,
    beam: Beam = None,
    unk: Unk = None,
    max_len: MaxLen = 100,
    encoding: Encoding = "utf-8",
    run_option: RunOption = None,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Reconstruct sentences, one a line, in order: encode each one and decode its posterior mean.

    Decoding is greedy, or a beam search with --beam. An empty line stays empty; in JSON its reconstruction is null.
    JSON tells whether a sentence was cut at --max-len.

    Examples:

        seqvae reconstruct "stock prices rose" "the president resigned"
        seqvae reconstruct sentences.txt --beam 5
        seqvae reconstruct sentences.txt --json | jq -r .reconstruction
    """
    lines = open_lines(text, encoding)
    strategy = strategy_from_options(beam is None, beam, unk=unk)
    model = open_model(None, run_option, device, threads)

    cuts = Cuts(max_len)
    with counting() as tally, progress.of_lines("reconstructing", lines) as advance:
        for line, made in model.reconstruct_stream(lines, strategy, max_len=max_len, tally=tally):
            advance(line)
            if made is not None:
                cuts.add(made.cut)
            if not json:
                display.out("" if made is None else made.text)
            elif made is None:
                display.out_jsonl({"text": line, "reconstruction": None, "cut": False, "reason": "empty sentence"})
            else:
                display.out_jsonl({"text": line, "reconstruction": made.text, "cut": made.cut})
    if not json:
        cuts.warn()

"""`seqvae reconstruct`: sentences -> codes -> sentences."""

from __future__ import annotations

import typer

from seqvae_cli.cli import decoded, progress
from seqvae_cli.cli.models import Cuts, counting, follow, shared_model
from seqvae_cli.cli.options import (
    Beam,
    Device,
    Encoding,
    Format,
    Ids,
    Json,
    Labels,
    MaxLen,
    RunOption,
    Shard,
    Text,
    TextColumn,
    Threads,
    Unk,
)
from seqvae_cli.cli.sentences import open_lines, reading_of
from seqvae_cli.cli.strategy import strategy_from_options

app = typer.Typer()


@app.command()
def reconstruct(
    text: Text,
    beam: Beam = None,
    unk: Unk = None,
    max_len: MaxLen = 100,
    form: Format = None,
    text_column: TextColumn = None,
    label: Labels = None,
    id_column: Ids = None,
    encoding: Encoding = "utf-8",
    shard: Shard = None,
    run_option: RunOption = None,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Reconstruct sentences, one a line, in order: encode each one and decode its posterior mean.

    Decoding is greedy, or a beam search with --beam. An empty line stays empty; in JSON its reconstruction is null.
    JSON tells whether a sentence was cut at --max-len. The id and the labels of a table follow, separated by tabs.

    Examples:

        seqvae reconstruct "stock prices rose" "the president resigned"
        seqvae reconstruct sentences.txt --beam 5
        seqvae reconstruct sentences.txt --json | jq -r .reconstruction
    """
    lines = open_lines(text, reading_of("reconstruct", form, text_column, label, id_column, encoding), shard)
    strategy = strategy_from_options(beam is None, beam, unk=unk)
    cuts = Cuts(max_len)
    with shared_model(run_option, device, threads) as model:
        if not model.processes.first:
            follow(model.reconstruct_stream(lines, strategy, max_len=max_len))
            return
        with counting() as tally, progress.of_lines("reconstructing", lines) as advance:
            made = model.reconstruct_stream(lines, strategy, max_len=max_len, tally=tally)
            decoded.write(lines, made, cuts, advance, key="reconstruction", json=json)
    if not json:
        cuts.warn()

"""`seqvae score`: how likely each sentence is."""

from __future__ import annotations

from typing import Annotated

import typer

from seqvae_cli.cli import display, progress
from seqvae_cli.cli.models import counting, follow, shared_model
from seqvae_cli.cli.options import (
    Device,
    Encoding,
    Format,
    Ids,
    Json,
    Labels,
    RunOption,
    Seed,
    Shard,
    Text,
    TextColumn,
    Threads,
)
from seqvae_cli.cli.sentences import open_lines, reading_of

app = typer.Typer()


@app.command()
def score(
    text: Text,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="K of the importance-weighted bound, draws of z a sentence; fewer are faster [default: 2000].",
        ),
    ] = None,
    form: Format = None,
    text_column: TextColumn = None,
    label: Labels = None,
    id_column: Ids = None,
    encoding: Encoding = "utf-8",
    shard: Shard = None,
    run_option: RunOption = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Score sentences, one a line, in order: an upper bound on -log p(x), in nats. Outliers score high.

    The columns, separated by tabs: the bound, the bound per token (<eos> counted), the rate (KL), the number of unknown
    words, the sentence; then the id and the labels of a table. The bound is the importance-weighted one: it tightens,
    and its noise falls, as --samples grows. A sentence has the same score in any order and company. An empty line keeps
    its row, without numbers; in JSON they are null. Off a terminal, a sentence with a tab or a quote is quoted as
    Python's csv and pandas read it.

    Examples:

        seqvae score "stock prices rose" "rose prices stock"
        seqvae score sentences.txt --samples 50 | sort -n | tail
        seqvae score - --json < sentences.txt | jq -r 'select(.unknown == 0).nll'
    """
    lines = open_lines(text, reading_of("score", form, text_column, label, id_column, encoding), shard)
    with shared_model(run_option, device, threads) as model:
        from seqvae_cli.evaluation.bounds import SCORE_SAMPLES

        samples = 1 if not model.latent_size else SCORE_SAMPLES if samples is None else samples
        if not model.processes.first:
            follow(model.score_stream(lines, samples=samples, seed=seed))
            return
        told = json or not model.latent_size
        with counting() as tally, progress.of_lines("scoring", lines) as advance:
            for line, found in model.score_stream(lines, samples=samples, seed=seed, tally=tally):
                record = lines.answered()
                advance(line)
                if found is None:
                    if json:
                        display.out_jsonl({**lines.keys(record), "text": line, "nll": None, "reason": "empty sentence"})
                    else:
                        display.out_row(["", "", "", "", line, *lines.values(record)])
                    continue
                unknown = len(model.unknown(line))
                if not told:  # with the first answer: bad input gets its error alone
                    display.say(f"importance-weighted bounds, K = {samples}")
                    told = True
                if json:
                    answer = {
                        **lines.keys(record),
                        "text": line,
                        "nll": found.iw_nll,
                        "nats_per_token": found.iw_nll / found.tokens,
                        **_of_text(found.iw_nll, model.tokenizer.normalized(line)),
                        "iw_nll": found.iw_nll,
                        "neg_elbo": found.neg_elbo,
                        "distortion": found.distortion,
                        "rate": found.rate,
                        "tokens": found.tokens,
                        "unknown": unknown,
                        "samples": samples,
                    }
                    display.out_jsonl(answer)
                else:
                    numbers = [f"{value:z.3f}" for value in (found.iw_nll, found.iw_nll / found.tokens, found.rate)]
                    display.out_row([*numbers, str(unknown), line, *lines.values(record)])


def _of_text(nll: float, text: str) -> dict[str, float]:
    """The bound a word, a character and a byte, as `eval` counts them: with the end of the sentence as one more."""
    import math

    from seqvae_cli.data.text_counts import TextCounts

    counts = TextCounts()
    counts.add(text)
    units = {"nats_per_word": (counts.words, 1.0), "bits_per_character": (counts.characters, math.log(2))}
    units["bits_per_byte"] = (counts.bytes, math.log(2))
    return {key: nll / unit / (count + 1) for key, (count, unit) in units.items()}

"""`seqvae interpolate`: a path through the latent space, decoded at every step."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.options import Device, Json, RunOption, Seed, Threads, known_ids, open_bundle, start_ids
from seqvae_cli.cli.sentences import check_sentences
from seqvae_cli.cli.strategy import MaxLen, NoUnk
from seqvae_cli.cli.strategy import strategy as chosen
from seqvae_cli.errors import UsageError

app = typer.Typer()


@app.command()
def interpolate(
    sentences: Annotated[list[str] | None, typer.Argument(metavar="[FIRST SECOND]", help="Two sentences.")] = None,
    random: Annotated[bool, typer.Option("--random", help="Between two draws from the prior instead.")] = False,
    start: Annotated[str, typer.Option(help="Words that every sentence begins with.")] = "",
    steps: Annotated[
        int | None,
        typer.Option(min=2, max=100_000, help="Codes on the path, both ends counted [default: 11; --random: 20]."),
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="linear or spherical [default: linear; spherical where codes lie on a sphere].")
    ] = None,
    even: Annotated[
        bool, typer.Option("--even", help="Steps at which the sentence changes evenly, instead of the code.")
    ] = False,
    no_unk: NoUnk = False,
    max_len: MaxLen = 100,
    run_option: RunOption = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Interpolate between two sentences, or between two random codes; every code is decoded greedily.

    Between sentences the path leads from one posterior mean to the other. The answer shows both originals (from, to)
    and the sentence at each step, 0 and 1 being what the model makes of the originals. With --even four times as many
    codes are tried, and those are shown between which about equally many words change.

    Examples:

        seqvae interpolate "stock prices rose" "the president resigned"
        seqvae interpolate --random --start president --steps 20
        seqvae interpolate "stock prices rose" "the president resigned" --even
        seqvae interpolate "a b" "c d" --json | jq -r '.steps[].text'
    """
    from seqvae_cli.latent import generate, paths

    if path is not None and path not in paths.PATHS:
        raise UsageError(f"no path {path!r}", f"known: {', '.join(paths.PATHS)}")
    originals = sentences or []
    if random and originals:
        raise UsageError("--random takes no sentences", "leave them out, or leave --random out")
    if not random and len(originals) != 2:
        raise UsageError(f"{len(originals)} sentences", 'give two, or --random: seqvae interpolate "FIRST" "SECOND"')
    check_sentences(originals, "give two sentences, or --random")

    from seqvae_cli.system.runtime import stream

    bundle = open_bundle(None, run_option, device, threads)
    bundle.need_latent()
    model, tokenizer = bundle.model, bundle.tokenizer
    precision = bundle.precision
    path = path or paths.default_path(model)
    if random:
        first, last = generate.prior_codes(model, [stream(seed, 0), stream(seed, 1)]).unbind(0)
    else:
        ids = known_ids(tokenizer, originals)
        first, last = (mean for mean, _ in generate.encode(model, ids, precision=precision))
    count = steps or (20 if random else 11)
    options: dict[str, Any] = {"start": start_ids(tokenizer, start), "max_len": max_len, "precision": precision}
    strategy = chosen(True, no_unk=no_unk)
    walked = paths.walk(model, first, last, count, strategy, kind=path, even=even, **options)
    texts = [tokenizer.decode(words) for words in walked.sentences]
    positions = [round(position, 6) for position in walked.positions]
    if json:
        answer: dict[str, object] = {"path": path, "even": even, "run": bundle.run.name}
        if originals:
            answer |= {"from": originals[0], "to": originals[1]}
        answer["steps"] = [{"t": t, "text": text} for t, text in zip(positions, texts, strict=True)]
        display.out_json(answer)
        return
    lines = [(f"{t:.2f}", text) for t, text in zip(positions, texts, strict=True)]
    if originals:
        lines = [("from", originals[0]), *lines, ("to", originals[1])]
    for label, text in lines:
        display.out(f"{label}\t{text}")

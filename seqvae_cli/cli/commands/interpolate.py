"""`seqvae interpolate`: a path through the latent space, decoded at every step."""

from __future__ import annotations

from typing import Annotated

import typer

from seqvae_cli.cli import display, progress
from seqvae_cli.cli.models import Cuts, open_model, warn_of
from seqvae_cli.cli.options import (
    Device,
    Json,
    MaxLen,
    RunOption,
    Seed,
    Start,
    Threads,
    Unk,
    one_of,
)
from seqvae_cli.cli.sentences import sentence_arguments, utf8
from seqvae_cli.cli.strategy import strategy_from_options
from seqvae_cli.errors import UsageError, counted

app = typer.Typer()


@app.command()
def interpolate(
    sentences: Annotated[list[str] | None, typer.Argument(metavar="FIRST SECOND", help="Two sentences.")] = None,
    random: Annotated[bool, typer.Option("--random", help="Between two draws from the prior instead.")] = False,
    start: Start = "",
    steps: Annotated[
        int | None,
        typer.Option(min=2, max=100_000, help="Codes on the path, both ends counted [default: 11; with --random 20]."),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            help="linear or spherical [default: linear; spherical where codes lie on a sphere].",
            autocompletion=one_of("linear", "spherical"),
        ),
    ] = None,
    even: Annotated[
        bool, typer.Option("--even", help="Steps at which the sentence changes evenly, instead of the code.")
    ] = False,
    unk: Unk = None,
    max_len: MaxLen = 100,
    run_option: RunOption = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Interpolate between two sentences, or between two random codes; every code is decoded greedily.

    The path between two sentences leads from one posterior mean to the other. The answer shows both originals (from,
    to) and the sentence at each step; 0 and 1 are the reconstructions of the originals. --even decodes four times as
    many codes and shows those between which about the same number of words changes.

    Examples:

        seqvae interpolate "stock prices rose" "the president resigned"
        seqvae interpolate --random --start president --steps 20
        seqvae interpolate "stock prices rose" "the president resigned" --even
        seqvae interpolate "a b" "c d" --json | jq -r '.steps[].text'
    """
    with progress.working("loading PyTorch"):
        from seqvae_cli.latent import paths
        from seqvae_cli.latent.streams import Tally

    if path is not None and path not in paths.PATHS:
        raise UsageError(f"no path {path!r}", f"known: {', '.join(paths.PATHS)}")
    originals = sentence_arguments(sentences or [], "give two sentences, or --random")
    if random and originals:
        raise UsageError("--random takes no sentences", "leave them out, or leave --random out")
    if not random and len(originals) != 2:
        raise UsageError(
            f"{counted(len(originals), 'sentence')} given", 'give two, or --random: seqvae interpolate "FIRST" "SECOND"'
        )

    model = open_model(None, run_option, device, threads)
    tally = Tally()
    for sentence in originals:
        tally.add(model.tokenizer, sentence, model.tokenizer.encode(sentence))
    warn_of(tally)
    ends = {"random": True} if random else {"first": originals[0], "last": originals[1]}
    found = model.interpolation(
        **ends,
        steps=steps,
        strategy=strategy_from_options(True, unk=unk),
        start=utf8(start),
        path=path,
        even=even,
        seed=seed,
        max_len=max_len,
    )
    positions = [round(position, 6) for position in found.positions]
    if json:
        answer: dict[str, object] = {"path": found.path, "even": even, "run": model.run.name}
        if originals:
            answer |= {"from": originals[0], "to": originals[1]}
        steps_found = zip(positions, found.sentences, found.cut, strict=True)
        answer["steps"] = [{"t": t, "text": text, "cut": cut} for t, text, cut in steps_found]
        display.out_json(answer)
        return
    lines = [(f"{t:.2f}", text) for t, text in zip(positions, found.sentences, strict=True)]
    if originals:
        lines = [("from", originals[0]), *lines, ("to", originals[1])]
    for line in lines:
        display.out_row(line)
    cuts = Cuts(max_len)
    for cut in found.cut:
        cuts.add(cut)
    cuts.warn()

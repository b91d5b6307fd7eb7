"""`seqvae traverse`: what each latent dimension does to a sentence."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from seqvae_cli.cli import display, marks
from seqvae_cli.cli.models import Cuts, open_model, warn_of
from seqvae_cli.cli.options import Beam, Device, Json, MaxLen, RunOption, Seed, Threads, Unk
from seqvae_cli.cli.sentences import sentence_arguments
from seqvae_cli.cli.strategy import strategy_from_options
from seqvae_cli.errors import UsageError, counted
from seqvae_cli.system.progress import Advance

if TYPE_CHECKING:
    from seqvae_cli.latent.traversal import Traversal

app = typer.Typer()

HINT = 'give one, or --random: seqvae traverse "SENTENCE"'


@app.command()
def traverse(
    sentence: Annotated[list[str] | None, typer.Argument(metavar="SENTENCE", help="One sentence.")] = None,
    random: Annotated[bool, typer.Option("--random", help="A draw from the prior instead.")] = False,
    dim: Annotated[
        list[int] | None,
        typer.Option(metavar="K", min=0, max=100_000, help="A dimension, numbered from 0; repeatable."),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="The dimensions of highest rate [default: 5].")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, max=1000, help="Values of each dimension.", show_default=True)] = 9,
    beam: Beam = None,
    unk: Unk = None,
    max_len: MaxLen = 100,
    run_option: RunOption = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Show what each latent dimension does: move one at a time, decode, and see which words change.

    The code is the posterior mean of the sentence. Each dimension takes values from its quantile 0.01 to its quantile
    0.99 under the aggregate posterior, one draw of z for each of up to 2,000 sentences of the validation split, or of
    train where that has under 300; the others stay. Dimensions of highest rate, in nats a sentence over the same
    sentences, come first. Decoding is greedy, or a beam search with --beam. A terminal shows the words that differ from
    the original decoding in bold.

    Off a terminal: dimension, quantile, value and sentence, separated by tabs, after the sentence (from) and the
    decoding of its code (original).

    Examples:

        seqvae traverse "the council applauds the budget ."
        seqvae traverse "the council applauds the budget ." --dim 3 --steps 5
        seqvae traverse --random --seed 4 --top 2
        seqvae traverse "he ran" --json | jq -r '.dimensions[0].steps[].text'
    """
    originals = sentence_arguments(sentence or [], HINT)
    if random and originals:
        raise UsageError("--random takes no sentence", "leave it out, or leave --random out")
    if not random and len(originals) != 1:
        raise UsageError(f"{counted(len(originals), 'sentence')} given", HINT)
    if dim and top is not None:
        raise UsageError("--dim does not go with --top", "leave one out")
    strategy = strategy_from_options(beam is None, beam, unk=unk)
    model = open_model(None, run_option, device, threads)
    from seqvae_cli.latent import traversal
    from seqvae_cli.latent.streams import Tally

    tally = Tally()
    for one in originals:
        tally.add(model.tokenizer, one, model.tokenizer.encode(one))
    warn_of(tally)
    with ExitStack() as stack:

        def stage(name: str, total: int) -> Advance:
            return stack.enter_context(display.progress(name, total, "tokens"))

        found = model.traverse(
            originals[0] if originals else None,
            random=random,
            dimensions=list(dict.fromkeys(dim)) if dim else None,
            top=traversal.TOP if top is None else top,
            steps=steps,
            strategy=strategy,
            seed=seed,
            max_len=max_len,
            stage=stage,
        )
    if json:
        head: dict[str, object] = {"run": model.run.name, "random": random}
        display.out_json(head | ({"from": originals[0]} if originals else {}) | found.to_json())
        return
    if display.pretty(sys.stdout):
        _show(found, originals)
    else:
        for name, text in [*(("from", text) for text in originals), ("original", found.original.text)]:
            display.out_row([name, "", "", text])
        for moved in found.dimensions:
            for level, value, made in zip(found.profile.levels, moved.values, moved.sentences, strict=True):
                display.out_row([str(moved.index), f"{level:.3f}", f"{value:.3f}", made.text])
    cuts = Cuts(max_len)
    for made in (found.original, *(made for one in found.dimensions for made in one.sentences)):
        cuts.add(made.cut)
    cuts.warn()


def _show(found: Traversal, originals: list[str]) -> None:
    """On a terminal: a heading for each dimension, and below it a line for each value, changed words marked."""
    width, original = display.console(sys.stdout).width, found.original.text

    def show(head: str, text: str, before: str = original) -> None:
        sys.stdout.writelines(f"{line}\n" for line in marks.lines(head, before, text, width))

    for sentence in originals:
        show("from      ", sentence, sentence)
    show("original  ", original)
    for one in found.dimensions:
        rate = "" if one.rate is None else f", {one.rate:z.2f} nats"
        sys.stdout.write(f"\ndimension {one.index}{rate}, here {one.value:z.2f}\n")
        for value, made in zip(one.values, one.sentences, strict=True):
            show(f"{value:z8.2f}  ", made.text)

"""The options that say how words are chosen, shared by the commands that decode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    from seqvae_cli.latent.generate import Strategy

Greedy = Annotated[bool, typer.Option("--greedy", help="Always the likeliest word.")]
Beam = Annotated[
    int | None,
    typer.Option(min=1, max=1000, help="Search the likeliest sentence, so many hypotheses at once."),
]
Temperature = Annotated[
    float | None, typer.Option(min=0.001, max=1000, help="Below 1: likelier words, above 1: bolder [default: 1].")
]
TopK = Annotated[int | None, typer.Option(min=0, max=10**9, help="Only the k likeliest words; 0: all [default: 0].")]
TopP = Annotated[
    float | None, typer.Option(min=0.001, max=1, help="Only the likeliest words that reach p [default: 1].")
]
NoUnk = Annotated[bool, typer.Option("--no-unk", help="Never choose <unk>: known words alone.")]
MaxLen = Annotated[int, typer.Option(min=1, max=10_000, help="Words after which a sentence is cut.", show_default=True)]


def strategy(
    greedy: bool,
    beam: int | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    no_unk: bool = False,
) -> Strategy:
    """Raises `UsageError` where two of them contradict each other."""
    choices = {"--temperature": temperature, "--top-k": top_k, "--top-p": top_p}
    given = ", ".join(option for option, value in choices.items() if value is not None)
    for option, chosen in (("--greedy", greedy), ("--beam", beam)):
        if chosen and given:
            raise UsageError(f"{option} does not go with {given}", "leave one out")
    if greedy and beam:
        raise UsageError("--greedy does not go with --beam", "leave one out")
    from seqvae_cli.latent import generate

    return generate.Strategy(
        greedy=greedy,
        beam=beam or 0,
        temperature=1.0 if temperature is None else temperature,
        top_k=top_k or 0,
        top_p=1.0 if top_p is None else top_p,
        unk=not no_unk,
    )

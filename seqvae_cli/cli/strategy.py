"""The decoding options of a command line as a strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqvae_cli.cli import progress
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    from seqvae_cli.latent.strategy import Strategy


def strategy_from_options(
    greedy: bool,
    beam: int | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    unk: bool | None = None,
) -> Strategy:
    """The strategy of these options; None: not given. Raises `UsageError` where two contradict each other."""
    choices = {"--temperature": temperature, "--top-k": top_k, "--top-p": top_p}
    given = ", ".join(option for option, value in choices.items() if value is not None)
    for option, chosen in (("--greedy", greedy), ("--beam", beam)):
        if chosen and given:
            raise UsageError(f"{option} does not go with {given}", "leave one out")
    if greedy and beam:
        raise UsageError("--greedy does not go with --beam", "leave one out")
    with progress.working("loading PyTorch"):
        from seqvae_cli.latent import strategy

    return strategy.Strategy(
        greedy=greedy,
        beam=beam or 0,
        temperature=1.0 if temperature is None else temperature,
        top_k=top_k or 0,
        top_p=1.0 if top_p is None else top_p,
        unk=unk,
    )

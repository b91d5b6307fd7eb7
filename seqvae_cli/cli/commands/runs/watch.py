"""`runs watch`: a training followed from another terminal."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.options import Json, run_argument


def watch(
    run: Annotated[str | None, run_argument("[default: the one in training, else latest]")] = None,
    json: Json = False,
) -> None:
    """Follow a training from another terminal, until it ends. Only reads: the training notices nothing.

    Shows the table of `train`; off a terminal a line an epoch; with --json the lines of metrics.jsonl as they come. A
    finished run is shown at once. Ctrl-C ends the watching alone, with exit code 130; exit code 0: the training has
    ended, however it did.

    Examples:

        seqvae runs watch
        seqvae runs watch toy-default-1 --json | jq .neg_elbo
    """
    from seqvae_cli.cli.watching import WatchView, verdict
    from seqvae_cli.runs import registry, watching

    found = registry.find(run) if run is not None else watching.default()
    try:
        with WatchView(json=json) as view:
            for look in watching.follow(found.path):
                view.look(look)
                sys.stdout.flush()
        line = verdict(look)
        if json:
            display.say(line)
        else:
            display.out_prose(line)
    except KeyboardInterrupt as signal:
        if type(signal) is not KeyboardInterrupt:  # SIGTERM
            raise
        display.say(f"no longer watching {found.name}, whose training this does not touch")
        raise typer.Exit(130) from None

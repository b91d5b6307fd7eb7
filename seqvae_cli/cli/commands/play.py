"""`seqvae play`: the playground, a page in the browser over a trained run."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from seqvae_cli.cli import display, serving
from seqvae_cli.cli.headings import RUNTIME
from seqvae_cli.cli.models import open_model
from seqvae_cli.cli.options import Device, Json, Port, RunArgument, RunOption, Threads

app = typer.Typer()


@app.command()
def play(
    run: RunArgument = None,
    run_option: RunOption = None,
    port: Port = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Only print the address; open no browser.", rich_help_panel=RUNTIME)
    ] = False,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Open the playground: the latent space of a run as a page in the browser.

    The page shows a map of the sentences, paths between two of them, what each dimension does, arithmetic, samples,
    scores, and the curves of the run. It needs the extra play: pip install "seqvae[play]".

    The server answers this machine alone (127.0.0.1), and only a browser that was opened with the address it prints,
    whose token is new each time. Ctrl-C ends it, with exit code 130.

    Examples:

        seqvae play
        seqvae play best --port 9000
        seqvae play --no-open --json | jq -r .url
    """
    from seqvae_cli.web import server

    server.check_installed()
    listener = server.bind(port)
    try:
        model = open_model(run, run_option, device, threads)
        model.require_latent()
        import secrets

        from seqvae_cli.play.application import application
        from seqvae_cli.play.guard import Guard
        from seqvae_cli.play.playground import Playground

        guard = Guard(listener.getsockname()[1], secrets.token_urlsafe(24))
        if port is None and guard.port != server.PORT:
            display.say(f"port {server.PORT} is in use; the server takes {guard.port}")
        if json:
            display.out_jsonl({"url": guard.address, "run": model.run.name})
        else:
            display.out(guard.address)
        display.say(f"playground of run {model.run.name}; Ctrl-C ends it")
        ready = (lambda: None) if no_open else (lambda: _open(guard.address))
        serving.serve(application(Playground(model), guard), listener, ready)
    finally:
        listener.close()


def _open(address: str) -> None:
    """Opens the address in a browser with a window; one in the terminal would take the terminal."""
    import threading
    import webbrowser

    windows = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if windows:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

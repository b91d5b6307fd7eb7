"""`seqvae serve`: a trained run as an HTTP API."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqvae_cli.cli import display, progress, serving
from seqvae_cli.cli.headings import RUNTIME
from seqvae_cli.cli.models import open_model
from seqvae_cli.cli.options import Device, Json, Port, RunArgument, RunOption, Threads
from seqvae_cli.errors import DataError, NotFoundError, UsageError

if TYPE_CHECKING:
    from seqvae_cli.api import Model
    from seqvae_cli.latent.code_sets import CodeSet
    from seqvae_cli.serve.access import Access

app = typer.Typer()

VARIABLE = "SEQVAE_SERVE_TOKEN"


@app.command()
def serve(
    run: RunArgument = None,
    run_option: RunOption = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help=f"The token is in this file [default: that of ${VARIABLE}].")
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Ask for no token; on the loopback alone.")] = False,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on: 127.0.0.1, ::1, 0.0.0.0", rich_help_panel=RUNTIME),
    ] = "127.0.0.1",
    port: Port = None,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Serve a run as JSON over HTTP: encode, decode, sample, interpolate, score, neighbours.

    POST /encode, /decode, /sample, /interpolate, /score and /neighbours take a JSON object and answer one; GET
    /openapi.json says with which values. GET /health tells whether it is ready, GET /metrics what it did, for
    Prometheus. It needs the extra serve: pip install "seqvae[serve]".

    A request must have the header Authorization: Bearer TOKEN. The token is printed, new each time, unless it is given
    in a file or in SEQVAE_SERVE_TOKEN. The server speaks plain HTTP: for other machines, put a proxy with TLS before
    it. Ctrl-C ends it, with exit code 130.

    Examples:

        seqvae serve
        seqvae serve best --port 9000 --token-file token.txt
        seqvae serve --no-token
        seqvae serve --json | jq -r .url
    """
    from seqvae_cli.web import server

    server.check_installed("serve")
    loopback = _is_loopback(host)
    access = _access(token_file, no_token, loopback)
    listener = server.bind(port, "127.0.0.1" if host == "localhost" else host)
    try:
        model = open_model(run, run_option, device, threads)
        model.require_latent()
        from seqvae_cli.serve.application import application
        from seqvae_cli.serve.endpoints import Service

        answers = application(Service(model, _codes(model)), access)
        address, number = listener.getsockname()[:2]
        url = f"http://{f'[{address}]' if ':' in address else address}:{number}"
        made = None if no_token or _given(token_file) else access.token
        if port is None and number != server.PORT:
            display.say(f"port {server.PORT} is in use; the server takes {number}")
        if json:
            display.out_jsonl({"url": url, "token": made, "run": model.run.name})
        else:
            display.out(url)
            if made:
                display.out(f"Authorization: Bearer {made}")
        if not loopback:
            display.warn("the token and all text travel unencrypted", "put a proxy with TLS before it")
        display.say(f"API of run {model.run.name}; Ctrl-C ends it")
        serving.serve(answers, listener)
    finally:
        listener.close()


def _is_loopback(host: str) -> bool:
    """Raises `UsageError` for anything but an IP address and localhost: a name would be looked up in the network."""
    import ipaddress

    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise UsageError(f"--host is {host!r:.60}", "an IP address, such as 127.0.0.1 or 0.0.0.0") from error


def _given(token_file: Path | None) -> bool:
    return token_file is not None or VARIABLE in os.environ


def _access(token_file: Path | None, no_token: bool, loopback: bool) -> Access:
    """Raises `UsageError`, and `MachineError` for a file that cannot be read."""
    if no_token and token_file:
        raise UsageError("--no-token does not go with --token-file", "leave one out")
    if no_token and not loopback:
        raise UsageError("--no-token is for this machine alone", "leave it out, or --host")
    from seqvae_cli.serve.access import Access, check_token, read_token

    if no_token:
        return Access(None)
    if token_file is not None:
        return Access(read_token(token_file))
    if VARIABLE in os.environ:
        return Access(check_token(os.environ[VARIABLE], f"${VARIABLE}"))
    return Access.new()


def _codes(model: Model) -> CodeSet | None:
    """The codes of the training split; None, with a warning, where its corpus cannot be read."""
    try:
        total = model.corpus().sentences("train")
        with progress.late_progress("encoding train", total, "sentences", to_file=sys.stdout.isatty()) as advance:
            return model.candidates("train", watch=advance)
    except (NotFoundError, DataError) as error:
        display.warn(f"no /neighbours: {error.message}", error.hint)
        return None

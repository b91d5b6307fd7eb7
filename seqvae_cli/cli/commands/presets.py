"""`seqvae presets`: the settings that a training can start from."""

from __future__ import annotations

from typing import Annotated

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.options import Json, complete_preset
from seqvae_cli.config import presets

app = typer.Typer()


@app.command("presets")
def show(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Print the YAML of this preset.", autocompletion=complete_preset),
    ] = None,
    json: Json = False,
) -> None:
    """List the presets and what each is for, or print one.

    A preset changes the default settings. Its YAML is a start for your own: save it, edit it, give it to
    train --config.

    Examples:

        seqvae presets
        seqvae presets cyclical
        seqvae presets large > mine.yaml
        seqvae presets large --json | jq .settings.model
    """
    if name is not None:
        text = presets.text(name)
        if json:
            from seqvae_cli.config import layers

            settings = layers.parse(text, f"preset {name}")
            display.out_json({"preset": name, "purpose": presets.purpose(name), "settings": settings})
            return
        for line in text.splitlines():
            display.out(line)
        return
    rows = [(preset, presets.purpose(preset)) for preset in presets.names()]
    if json:
        for preset, purpose in rows:
            display.out_jsonl({"preset": preset, "purpose": purpose})
        return
    display.table("", ["preset", "purpose"], rows)
    display.say("next: seqvae train --preset NAME")

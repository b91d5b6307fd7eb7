"""`seqvae export`: a run in the format of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqvae_cli.cli import display, progress
from seqvae_cli.cli.models import open_model
from seqvae_cli.cli.options import Json, RunArgument, RunOption, Threads, one_of

app = typer.Typer()


@app.command()
def export(
    run: RunArgument = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="onnx: encoder and decoder as ONNX files; torch-export: as .pt2 programs of torch.export; "
            "safetensors: the weights alone.",
            show_default=True,
            autocompletion=one_of("onnx", "safetensors", "torch-export"),
        ),
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="The new folder [default: RUN-FORMAT here]."),
    ] = None,
    run_option: RunOption = None,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Write the model of a run for other programs. To carry a run to another seqvae, use `seqvae runs export`.

    The folder holds the best weights in the chosen format, tokenizer.json, and config.json, which names the inputs and
    outputs with their shapes. onnx needs the extra onnx (pip install "seqvae[onnx]"). examples/onnx_decode.py encodes
    and decodes with onnxruntime and numpy alone.

    Examples:

        seqvae export latest -o model
        seqvae export ptb-default-1 --format safetensors -o weights
    """
    model = open_model(run, run_option, "cpu", threads)
    folder = output or Path(f"{model.name}-{form}")
    with progress.working(f"exporting {model.name}"):
        written = model.export(folder, form)
    sizes = {path.name: path.stat().st_size for path in written}
    if json:
        display.out_json({"run": model.name, "format": form, "path": str(folder.absolute()), "files": sizes})
        return
    display.out(str(folder))
    for name, size in sizes.items():
        display.say(f"{name}, {display.quantity(size, 'bytes')}")

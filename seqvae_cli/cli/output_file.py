"""The files that `seqvae encode`, `map` and `runs plot` write to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from seqvae_cli.cli import display
from seqvae_cli.errors import UsageError


def choose(given: Path | None, stem: str, json: bool) -> Path:
    """The output file: `given`, else `STEM.png` in the current folder."""
    if given is None:
        given = Path(f"{stem}.png")
        check(given, json)
    return given


def check(output: Path, json: bool) -> None:
    """Raises `UsageError` for a picture that cannot be written, before anything is read or drawn."""
    from seqvae_cli.plotting.pictures import PICTURE_FORMATS

    if output == Path("-"):
        if json:
            raise UsageError("--json does not go with -o -, where stdout is the picture", "leave one out")
        if sys.stdout.isatty():
            raise UsageError("a picture cannot go to a terminal", "send it to a file or a pipe, or use --text")
        return
    check_name(output, PICTURE_FORMATS)


def check_name(output: Path, formats: Collection[str]) -> None:
    """Raises `UsageError` for an ending that is not of `formats`, and a file in no folder."""
    if output.suffix[1:].lower() not in formats:
        endings = ", ".join(f".{kind}" for kind in formats)
        raise UsageError(f"{str(output)!r}: the ending of the output is unknown", f"known: {endings}")
    check_place(output)


def check_place(output: Path) -> None:
    """Raises `UsageError` where the folder does not exist, and for an existing pipe or device."""
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(f"{str(output)!r} cannot be a file", "name a file in an existing folder")
    if output.exists() and not output.is_file():
        raise UsageError(f"{str(output)!r} is a pipe or a device", "name a file, or send the output there with >")


def write(output: Path, picture: Callable[[str], bytes], answer: dict[str, Any], json: bool) -> None:
    """Writes the picture in the format of the output's ending, and reports the path."""
    from seqvae_cli.system import files

    if output == Path("-"):
        sys.stdout.flush()
        sys.stdout.buffer.write(picture("png"))
        return
    files.write(output, picture(output.suffix[1:].lower()))
    if json:
        display.out_json({"path": str(output.absolute()), **answer})
    else:
        display.say(f"written: {output}")

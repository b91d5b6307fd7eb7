"""`runs export` and `runs import`."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.options import Json, NewName, RequiredRun
from seqvae_cli.errors import DataError, NotFoundError, UsageError


def export(
    run: RequiredRun,
    file: Annotated[Path, typer.Argument(metavar="FILE|-", help="The archive, .tar.gz; -: stdout.")],
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Of the checkpoints, pack the best weights alone.")
    ] = False,
    with_corpus: Annotated[
        bool, typer.Option("--with-corpus", help="Pack its corpus, too: the run can be evaluated elsewhere.")
    ] = False,
    json: Json = False,
) -> None:
    """Pack a run into one file: settings, tokenizer, metrics, tags, evaluations and checkpoints, all verified.

    Its README.md is a card of the model: data, settings, figures, how to load it.

    It is for another seqvae; for other programs (ONNX, safetensors), use `seqvae export`. With --weights-only the
    archive has a fraction of the size, and the run can be used but not resumed. With --with-corpus it has the text that
    the run was trained on: mind its licence.

    Examples:

        seqvae runs export ptb-default-1 ptb-default-1.tar.gz
        seqvae runs export ptb-default-1 small.tar.gz --weights-only
        seqvae runs export toy-default-1 toy.tar.gz --with-corpus
        seqvae runs export latest - | ssh elsewhere seqvae runs import -
    """
    to_stdout = file == Path("-")
    if to_stdout and json:
        raise UsageError("--json and the archive cannot both go to stdout", "name a FILE")
    if to_stdout and sys.stdout.isatty():
        raise UsageError("an archive is binary and cannot go to a terminal", "name a FILE, or redirect stdout")
    if not to_stdout:
        if file.is_symlink() or file.exists():
            raise UsageError(f"{str(file)!r} exists already", "name another FILE, or remove it first")
        if not file.parent.is_dir():
            raise UsageError(f"{str(file)!r} cannot be written", "name a file in an existing folder")
    from seqvae_cli.evaluation.card import card
    from seqvae_cli.runs import archive, loading, registry
    from seqvae_cli.system import files

    found = registry.find(run)
    corpus = loading.load_corpus(found) if with_corpus else None
    pack = archive.Pack(found, weights_only=weights_only, readme=card(found), corpus=corpus)
    with display.progress(f"packing {pack.run.name}", pack.size, "bytes") as advance:
        if to_stdout:
            for block in pack.blocks(advance):
                sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
            return
        digest = files.write(file, pack.blocks(advance), new=True)
    size = file.stat().st_size
    if json:
        display.out_json({"run": pack.run.name, "file": str(file), "bytes": size, "sha256": digest})
        return
    display.out(str(file))
    display.say(f"run {pack.run.name}, {len(pack.files)} files in {display.quantity(size, 'bytes')}")
    display.say(f"to unpack it on another machine: seqvae runs import {shlex.quote(str(file))}")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE|-", help="An archive of `runs export`; -: stdin.")],
    name: NewName = None,
    json: Json = False,
) -> None:
    """Import a run from an archive; it appears once every file is verified. A corpus in the archive is imported, too.

    Examples:

        seqvae runs import ptb-default-1.tar.gz
        seqvae runs import ptb-default-1.tar.gz --name from-the-cluster
    """
    if file == Path("-") and sys.stdin.isatty():
        raise UsageError("an archive cannot be read from a terminal", "name a FILE, or pipe one in")
    from seqvae_cli.runs import archive, loading
    from seqvae_cli.system import files

    with display.progress("unpacking", None, "bytes") as advance:
        if file == Path("-"):
            run = archive.unpack(sys.stdin.buffer, name, advance)
        else:
            if not file.exists():
                raise DataError(f"{file}: no such archive")
            with files.machine_errors(file), open(file, "rb") as stream:
                run = archive.unpack(stream, name, advance)
    if json:
        display.out_json({"run": run.name, "path": str(run.path)})
        return
    display.out(run.name)
    with suppress(NotFoundError, DataError):
        display.say(f"its corpus is here: {loading.load_corpus(run).path.name}")
    display.say(f"next: seqvae sample {run.name}")

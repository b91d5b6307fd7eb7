"""`runs rm`, `runs restore` and `runs list --trash`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.commands.runs.formatting import table, tags, when
from seqvae_cli.cli.options import Json, complete_run_name


def rm(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Names of runs, written in full.", autocompletion=complete_run_name),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be moved.")] = False,
    json: Json = False,
) -> None:
    """Move runs to the trash; nothing is deleted.

    For a symbolic link, only the link is moved; its target stays.

    Examples:

        seqvae runs rm ptb-default-1 --dry-run
        seqvae runs rm ptb-default-1 ptb-default-2
    """
    from seqvae_cli.runs import trash

    paths = [trash.removable(name) for name in dict.fromkeys(runs)]
    moved: list[dict[str, Any]] = []
    try:
        for path in paths:
            size, link = trash.size(path), path.is_symlink()
            target = path if dry_run else trash.discard(path)
            moved.append({"run": path.name, "bytes": size, "link": link, "path": str(target)})
    finally:  # also where a later run could not be moved
        if json and moved:
            display.out_json({"dry_run": dry_run, "runs": moved})
        elif moved:
            rows = [[row["run"], "link" if row["link"] else display.quantity(row["bytes"], "bytes")] for row in moved]
            display.table("would be moved to the trash" if dry_run else "moved to the trash", ["run", "size"], rows)
    if dry_run:
        display.say("nothing was moved: this was --dry-run")
    else:
        display.say(f"moved to {trash.folder()}; to bring one back: seqvae runs restore {paths[-1].name}")


def _complete_trashed(incomplete: str) -> list[str]:
    from seqvae_cli.runs import trash

    return sorted({entry.name for entry in trash.trashed() if entry.name.startswith(incomplete)})


def restore(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Name of a run in the trash.", autocompletion=_complete_trashed),
    ],
    json: Json = False,
) -> None:
    """Restore the most recently removed run of that name.

    Example:

        seqvae runs restore ptb-default-1
    """
    from seqvae_cli.runs import trash

    path = trash.restore(name)
    if json:
        display.out_json({"run": path.name, "path": str(path)})
    else:
        display.out(path.name)


def show_trash(tag: str | None, json: bool) -> None:
    """Shows the runs in the trash, oldest removal first; with `tag`, only those that have it."""
    from seqvae_cli.runs import trash

    entries = [(entry, tags(entry.path)) for entry in trash.trashed()]
    entries = [(entry, run_tags) for entry, run_tags in entries if tag is None or tag in run_tags]
    if json:
        for entry, run_tags in entries:
            row = {"run": entry.name, "removed": entry.removed, "bytes": trash.size(entry.path), "tags": run_tags}
            display.out_jsonl(row | {"path": str(entry.path)})
        return
    if not entries:
        display.say("nothing in the trash" if tag is None else f"nothing in the trash is tagged {tag}")
        return
    rows = [
        [entry.name, display.quantity(trash.size(entry.path), "bytes"), when(entry.removed), ", ".join(run_tags)]
        for entry, run_tags in entries
    ]
    table(["run", "size", "removed", "tags"], rows, optional=["tags", "removed"])
    display.say(f"kept until deleted in {trash.folder()}")

"""`runs doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.options import Json, run_argument
from seqvae_cli.errors import counted


def doctor(
    runs: Annotated[list[str] | None, run_argument("[default: all]")] = None,
    json: Json = False,
) -> None:
    """Verify every file of the runs; report damaged, missing and leftover ones, and what to do. Changes nothing.

    Exit code 0: no damage, notes at most; 4: a run is damaged, half-copied or unreadable.

    Examples:

        seqvae runs doctor
        seqvae runs doctor ptb-default-1 --json | jq '.findings[].advice'
    """
    from seqvae_cli.runs import doctor, registry
    from seqvae_cli.system import places

    if runs:
        chosen = [registry.find(name).path if name in registry.ALIASES else registry.locate(name) for name in runs]
        paths = list(dict.fromkeys(chosen))
    else:
        paths = [places.runs() / name for name in registry.names()]
    findings = []
    with display.progress("reading", len(paths), "runs") as advance:
        for path in paths:
            findings += doctor.examine(path)
            advance(1)
    if not runs:
        findings += doctor.leftovers()
    harmed = list(dict.fromkeys(finding.run for finding in findings if finding.harmful))
    if json:
        rows = [asdict(finding) for finding in findings]
        display.out_json({"runs": len(paths), "damaged": harmed, "findings": rows})
    elif findings:
        cells = [[finding.run, finding.kind, finding.problem, finding.advice] for finding in findings]
        display.table("", ["run", "state", "what", "what to do"], cells)
    display.say(f"{counted(len(paths), 'run')} read: " + (f"{len(harmed)} damaged" if harmed else "no damage"))
    if harmed:
        raise typer.Exit(4)

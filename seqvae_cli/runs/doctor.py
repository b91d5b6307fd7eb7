"""What is wrong with the runs: every file read and verified, nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqvae_cli.errors import UPGRADE, DataError, MachineError
from seqvae_cli.runs import checkpoint, evaluations, loading, registry
from seqvae_cli.runs.registry import Run
from seqvae_cli.system import files, places

Kind = Literal["damaged", "half-copied", "unreadable", "newer", "stale", "untrained", "leftover"]
"""Something is wrong, is missing, the machine refuses to read it, a newer version wrote it; else only a note."""


@dataclass(frozen=True)
class Finding:
    run: str
    """Name of the run folder, or of the leftover beside them."""
    kind: Kind
    problem: str
    advice: str
    """What to do, in one line."""

    @property
    def harmful(self) -> bool:
        return self.kind in ("damaged", "half-copied", "unreadable")


def examine(path: Path) -> list[Finding]:
    """Everything that is wrong with the run folder `path`. One that is being trained is no reason to complain."""
    found: list[Finding] = []
    try:
        found += _examine(path)
    except MachineError as error:
        found.append(_finding(path.name, error, ""))
    return found


def _examine(path: Path) -> Iterator[Finding]:
    name, away = path.name, f"copy it here again, or move it away: seqvae runs rm {path.name}"
    busy = registry.held(path / "lock")
    try:
        run = Run(path)
    except (DataError, MachineError) as error:
        yield _finding(name, error, away)
        return
    try:
        loading.load_parts(run)
    except (DataError, MachineError) as error:
        yield _finding(name, error, away)
    epochs = int(run.info.get("epoch") or 0)
    again = f"written anew by: seqvae train --resume {name}"
    try:
        run.metrics()
    except (DataError, MachineError) as error:
        yield _finding(name, error, again)
    if epochs > 1 and not (path / "metrics.jsonl").exists():  # the first line comes after `last` of the first epoch
        yield Finding(name, "half-copied", f"{path / 'metrics.jsonl'} is missing", again)
    try:
        run.tags()
    except (DataError, MachineError) as error:
        yield _finding(name, error, "delete it, then tag the run again")
    for file in evaluations.paths(path):
        try:
            evaluations.read(file)
        except (DataError, MachineError) as error:
            yield _finding(name, error, f"delete it, then: seqvae eval {name}")
    yield from _checkpoints(run, epochs, away)
    if run.info["status"] in ("created", "running") and not busy:
        problem = f"its status is {run.info['status']}, but no process has it"
        yield Finding(name, "stale", problem, f"seqvae train --resume {name}")
    if not busy:
        for leftover in sorted(path.rglob(f"{files.TEMPORARY}*")):
            yield Finding(name, "leftover", f"{leftover} was never finished", "delete it when no seqvae is at work")


def _checkpoints(run: Run, epochs: int, away: str) -> Iterator[Finding]:
    for folder, since in ((run.path / "best", 1), (run.path / "last", 2)):  # epochs after which it must be there
        bad: list[tuple[Path, DataError | MachineError]] = []
        found = checkpoint.generations(folder)
        for path in found:
            try:
                checkpoint.verify(path)
            except (DataError, MachineError) as error:
                bad.append((path, error))
        # Its training may have replaced one meanwhile.
        bad = [(path, reason) for path, reason in bad if (path / checkpoint.MANIFEST).exists()]
        good = len(bad) < len(found)
        resume = f"an older one is whole: seqvae train --resume {run.name}"
        for _, reason in bad:
            yield _finding(run.name, reason, resume if good and folder.name == "last" else away)
        if not found and not run.locked():
            if epochs >= since:
                yield Finding(run.name, "half-copied", f"{folder} holds no checkpoint", away)
            elif not epochs and folder.name == "last":
                advice = f"seqvae train --resume {run.name}, or: seqvae runs rm {run.name}"
                yield Finding(run.name, "untrained", "it has no checkpoint yet", advice)
        if not run.locked():
            for path in sorted(folder.glob("[0-9]*")):
                if path.is_dir() and path not in found and not (path / checkpoint.MANIFEST).exists():
                    yield Finding(run.name, "leftover", f"{path} was never finished", "swept when it is trained on")
            for path in sorted(folder.glob(f"{checkpoint.DAMAGED}*")):
                yield Finding(run.name, "leftover", f"{path} was damaged, and set aside by a resume", "delete it")


def _finding(name: str, error: DataError | MachineError, advice: str) -> Finding:
    if isinstance(error, MachineError):
        return Finding(name, "unreadable", error.message, error.hint or "give yourself permission to read it")
    if error.hint == UPGRADE:
        return Finding(name, "newer", error.message, error.hint)
    missing = error.message.endswith(" is missing")
    return Finding(name, "half-copied" if missing else "damaged", error.message, advice)


def leftovers() -> list[Finding]:
    """What beside the runs belongs to none: drafts that nobody works on any more, links that lead nowhere."""
    root = places.runs()
    found = []
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        draft = path.name.removesuffix(".lock")
        if path.name.startswith(files.TEMPORARY):
            beside = path.name != draft and (root / draft).exists()
            if not beside and not registry.held(root / f"{draft}.lock"):
                found.append(Finding(path.name, "leftover", f"{path} was never finished", "swept by the next new run"))
        elif path.is_symlink() and not path.exists():
            advice = f"make its target reachable, or: seqvae runs rm {path.name}"
            found.append(Finding(path.name, "leftover", f"{path} leads nowhere", advice))
    return found

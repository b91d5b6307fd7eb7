"""Diagnoses run folders: reads and verifies every file, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqvae_cli.errors import UPGRADE, DataError, MachineError
from seqvae_cli.runs import checkpoint, evaluations, loading
from seqvae_cli.runs.run import Run, is_held
from seqvae_cli.system import files, places

Kind = Literal["damaged", "half-copied", "unreadable", "newer", "stale", "untrained", "leftover"]
"""`damaged`, `half-copied` (a file is missing) and `unreadable` (a read error) are harmful, the others are notes."""


@dataclass(frozen=True)
class Finding:
    run: str
    """Name of the run folder, or of a leftover beside the run folders."""
    kind: Kind
    problem: str
    advice: str
    """A remedy in one line."""

    @property
    def harmful(self) -> bool:
        return self.kind in ("damaged", "half-copied", "unreadable")


def examine(path: Path) -> list[Finding]:
    """All findings in the run folder `path`. Unfinished files of a running training are none."""
    found: list[Finding] = []
    try:
        found += _examine(path)
    except MachineError as error:
        found.append(_finding(path.name, error, ""))
    return found


def _examine(path: Path) -> Iterator[Finding]:
    name, replace = path.name, f"copy it here again, or move it to the trash: seqvae runs rm {path.name}"
    busy = is_held(path / "lock")
    try:
        run = Run(path)
    except (DataError, MachineError) as error:
        yield _finding(name, error, replace)
        return
    try:
        loading.load_settings_and_tokenizer(run)
    except (DataError, MachineError) as error:
        yield _finding(name, error, replace)
    epochs = int(run.info.get("epoch") or 0)
    rewrite = f"rewritten by: seqvae train --resume {name}"
    try:
        run.metrics()
    except (DataError, MachineError) as error:
        yield _finding(name, error, rewrite)
    if epochs > 1 and not (path / "metrics.jsonl").exists():  # the first line follows the first checkpoint in `last`
        yield Finding(name, "half-copied", f"{path / 'metrics.jsonl'} is missing", rewrite)
    try:
        run.tags()
    except (DataError, MachineError) as error:
        yield _finding(name, error, "delete it, then tag the run again")
    for file in evaluations.paths(path):
        try:
            evaluations.read(file)
        except (DataError, MachineError) as error:
            yield _finding(name, error, f"delete it, then: seqvae eval {name}")
    yield from _checkpoints(run, epochs, replace)
    if run.info["status"] in ("created", "running") and not busy:
        problem = f"its status is {run.info['status']}, but no process trains it"
        yield Finding(name, "stale", problem, f"seqvae train --resume {name}")
    if not busy:
        for leftover in sorted(path.rglob(f"{files.TEMPORARY}*")):
            yield Finding(name, "leftover", f"{leftover} is an unfinished file", "delete it when no seqvae is running")


def _checkpoints(run: Run, epochs: int, replace: str) -> Iterator[Finding]:
    for folder, required_from in ((run.path / "best", 1), (run.path / "last", 2)):  # epochs trained
        bad: list[tuple[Path, DataError | MachineError]] = []
        found = checkpoint.generations(folder)
        for path in found:
            try:
                checkpoint.verify(path)
            except (DataError, MachineError) as error:
                bad.append((path, error))
        # A running training may have deleted one meanwhile.
        bad = [(path, reason) for path, reason in bad if (path / checkpoint.MANIFEST).exists()]
        good = len(bad) < len(found)
        resume = f"an older one is intact: seqvae train --resume {run.name}"
        for _, reason in bad:
            yield _finding(run.name, reason, resume if good and folder.name == "last" else replace)
        left_out = folder.name == "last" and run.info.get("weights_only")
        if not found and not run.locked() and not left_out:
            if epochs >= required_from:
                yield Finding(run.name, "half-copied", f"{folder} holds no checkpoint", replace)
            elif not epochs and folder.name == "last":
                advice = f"seqvae train --resume {run.name}, or: seqvae runs rm {run.name}"
                yield Finding(run.name, "untrained", "it has no checkpoint yet", advice)
        if not run.locked():
            for path in sorted(folder.glob("[0-9]*")):
                if path.is_dir() and path not in found and not (path / checkpoint.MANIFEST).exists():
                    yield Finding(run.name, "leftover", f"{path} is unfinished", "deleted when the run is resumed")
            for path in sorted(folder.glob(f"{checkpoint.DAMAGED}*")):
                yield Finding(run.name, "leftover", f"{path} is damaged and was set aside by a resume", "delete it")


def _finding(name: str, error: DataError | MachineError, advice: str) -> Finding:
    if isinstance(error, MachineError):
        return Finding(name, "unreadable", error.message, error.hint or "give yourself permission to read it")
    if error.hint == UPGRADE:
        return Finding(name, "newer", error.message, error.hint)
    missing = error.message.endswith(" is missing")
    return Finding(name, "half-copied" if missing else "damaged", error.message, advice)


def leftovers() -> list[Finding]:
    """Leftovers beside the run folders: abandoned drafts and broken links."""
    root = places.runs()
    found = []
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        draft = path.name.removesuffix(".lock")
        if path.name.startswith(files.TEMPORARY):
            is_lock_of_draft = path.name != draft and (root / draft).exists()
            if not is_lock_of_draft and not is_held(root / f"{draft}.lock"):
                found.append(
                    Finding(path.name, "leftover", f"{path} is an unfinished run", "deleted by the next new run")
                )
        elif path.is_symlink() and not path.exists():
            advice = f"restore its target, or: seqvae runs rm {path.name}"
            found.append(Finding(path.name, "leftover", f"{path} is a broken link", advice))
    return found

"""Brings a run from a repository of the hub: the files that its config.json lists, no others, each verified."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seqvae_cli.errors import DataError
from seqvae_cli.hub import client
from seqvae_cli.hub.snapshot import Snapshot
from seqvae_cli.runs import arrival, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files, places
from seqvae_cli.system.progress import Advance

_BLOCK = 1 << 18


def pull(
    repository: str, *, revision: str | None = None, name: str | None = None, watch: Advance = lambda _: None
) -> tuple[Run, str]:
    """The run of OWNER/NAME, under `name` or the name it had, and the commit that it comes from.

    revision: a branch, a tag or a commit; by default `main`. watch: told the bytes of verified files.

    Raises `DataError` where the repository is not a run or damaged, `UsageError` for a taken or invalid name, what
    `client.connected` raises, and `MachineError` where the disk is too full.
    """
    client.check(repository)
    if name is not None:
        registry.check_name(name)
    with client.connected(repository) as api, files.claimed(places.runs(), "pull") as folder:
        snapshot = Snapshot(api, repository, revision)
        listed = snapshot.listing(folder)
        for member, entry in listed.files.items():
            size = snapshot.sizes.get(listed.path(member))
            if size is None:
                raise DataError(f"{repository} is not complete: {listed.path(member)} is missing")
            if size != entry.size:
                raise DataError(f"{listed.path(member)} has {size} bytes in {repository}, {entry.size} in its list")
        with arrival.arriving(name or listed.run, listed.files) as run:
            for member in listed.files:
                path = snapshot.load(listed.path(member), folder)
                run.write(member, _blocks(path), watch)
            return run.publish(), snapshot.commit


def _blocks(path: Path) -> Iterator[bytes]:
    """The content of a file, which is deleted then."""
    with files.machine_errors(path):
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                yield block
        path.unlink()

"""Sends a run to a repository of the hub: its best weights, and all that it takes to use and evaluate them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError, NotFoundError, UsageError
from seqvae_cli.hub import client, layout
from seqvae_cli.hub.snapshot import Snapshot
from seqvae_cli.runs import arrival, checkpoint
from seqvae_cli.runs.archive import Pack
from seqvae_cli.runs.run import Run

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Pushed:
    """A run in the hub."""

    url: str
    commit: str
    files: int
    size: int
    """Bytes of the run's files."""


def push(
    run: Run, repository: str, *, private: bool = False, licence: str = "", corpus: Corpus | None = None
) -> Pushed:
    """Commits a run to OWNER/NAME, which is made where it does not exist; files of an earlier run there are replaced.

    private: of a new repository. licence: its identifier on the hub; by default the one that the repository has.
    corpus: sent along. Raises what `Pack` and `client.connected` raise; `NotFoundError` where the run has no best
    weights yet; `UsageError` where the repository is of another program, or public though `private` is asked.
    """
    client.check(repository)
    if licence:
        layout.check_licence(licence)
    if not checkpoint.generations(run.path / "best"):
        raise NotFoundError(f"run {run.name} has no best weights yet", f"its status is {run.status}: seqvae runs list")
    pack = Pack(run, weights_only=True, corpus=corpus)
    listed = layout.listing(pack)
    with client.connected(repository, write=True) as api:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        url = api.create_repo(repository, private=private or None, exist_ok=True)
        there = Snapshot(api, repository)
        if private and not there.private:
            raise UsageError(f"{repository} exists and is public", f"make it private at {url}/settings")
        if not {layout.CONFIG, WEIGHTS}.isdisjoint(there.sizes):
            _check_ours(there)
        content: dict[str, Any] = {
            layout.CARD: layout.readme(pack, repository, licence or there.licence),
            layout.CONFIG: layout.config(pack),
            **{listed.path(name): pack.source(name) for name in pack.files},
        }
        stale = sorted(name for name in there.sizes if arrival.limit(name) and name not in content)
        commit = api.create_commit(
            repository,
            [
                *(CommitOperationAdd(name, source) for name, source in content.items()),
                *(CommitOperationDelete(name) for name in stale),
            ],
            commit_message=f"Run {run.name}, pushed by seqvae",
        )
    return Pushed(str(url), commit.oid, len(content), pack.size)


def _check_ours(there: Snapshot) -> None:
    """Raises `UsageError` where a model of another program would be overwritten."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            there.listing(folder)
        except DataError as error:
            hint = "name a new repository, or remove the files of the old one"
            raise UsageError(f"{there.repository} holds a model of another program", hint) from error

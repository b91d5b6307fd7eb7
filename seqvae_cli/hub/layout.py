"""A run as a repository of the hub: the best weights and what describes them, in the place where the hub expects it.

README.md            the model card, with the hub's metadata as its front matter
config.json          the network for other programs, as `seqvae export` writes it; the files of the run with their
                     SHA-256, under their names in the run folder
model.safetensors    the best weights
manifest.json        that of their checkpoint
run.json, …          the other files of the run folder, under their names there
corpus/              the prepared corpus, where asked
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from seqvae_cli.errors import UPGRADE, DataError, UsageError
from seqvae_cli.evaluation import card
from seqvae_cli.export import exporters
from seqvae_cli.runs import arrival, checkpoint, loading
from seqvae_cli.runs.archive import Pack
from seqvae_cli.runs.arrival import Entry
from seqvae_cli.system import json_files

HUB_FORMAT = 1
CONFIG = "config.json"
CARD = "README.md"
MAX_CONFIG = 1_000_000
"""Bytes of config.json, at most."""
_CHECKPOINT = re.compile(r"best/[0-9]{1,12}")


@dataclass(frozen=True)
class Listing:
    """The files of a run in a repository."""

    run: str
    """The name of the run where it was pushed."""
    checkpoint: str
    """The folder of its weights in the run folder."""
    files: dict[str, Entry]
    """By their names in the run folder."""

    def path(self, member: str) -> str:
        """The path in the repository of a file: those of the checkpoint are at its top."""
        return member.removeprefix(f"{self.checkpoint}/")


def listing(pack: Pack) -> Listing:
    """The files of a run that is packed with its best weights alone."""
    (weights,) = [name for name in pack.files if name.endswith("/model.safetensors")]
    return Listing(pack.run.name, weights.rpartition("/")[0], pack.files)


def config(pack: Pack) -> bytes:
    """config.json of a packed run."""
    settings, tokenizer = loading.load_settings_and_tokenizer(pack.run)
    listed = listing(pack)
    about = {
        "hub_format": HUB_FORMAT,
        "run": listed.run,
        "step": checkpoint.step_of(pack.run.path / listed.checkpoint),
        "checkpoint": listed.checkpoint,
        "files": {name: asdict(entry) for name, entry in listed.files.items()},
    }
    return json_files.to_bytes(
        exporters.describe(settings.model, tokenizer, "safetensors", unk=not settings.train.unknown, about=about)
    )


def read(data: bytes, repository: str) -> Listing:
    """The listing in config.json of a repository. Raises `DataError` where it is not that of a run."""
    where = f"{CONFIG} of {repository}"
    try:
        found: Any = json_files.parse(data.decode())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON") from error
    if not isinstance(found, dict) or not isinstance(found.get("hub_format"), int):
        raise DataError(f"{repository} is not a run: its {CONFIG} is of another program")
    if found["hub_format"] > HUB_FORMAT:
        raise DataError(f"{repository} was pushed by a newer seqvae (format {found['hub_format']})", UPGRADE)
    name, entries = arrival.read_manifest(found, where)
    folder = found.get("checkpoint")
    if not isinstance(folder, str) or not _CHECKPOINT.fullmatch(folder):
        raise DataError(f"{where} names {folder!r:.40}, which is not a checkpoint")
    return Listing(name, folder, entries)


def readme(pack: Pack, repository: str, licence: str) -> bytes:
    """The model card, with the hub's metadata: the library, the licence if any, and tags."""
    settings, _ = loading.load_settings_and_tokenizer(pack.run)
    kind = "variational-autoencoder" if settings.model.latent_size else "language-model"
    metadata: Mapping[str, Any] = {
        "library_name": "seqvae",
        **({"license": licence} if licence else {}),
        "tags": ["seqvae", "sentences", kind],
    }
    text = card.card(pack.run, fetch=f"seqvae runs pull {repository}", licence=licence)
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---\n\n{text}".encode()


def check_licence(licence: str) -> None:
    """Raises `UsageError` for what is not an identifier of a licence."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,39}", licence):
        raise UsageError(f"{licence!r:.80} is not a licence of the hub", "such as mit, apache-2.0, cc-by-4.0, other")

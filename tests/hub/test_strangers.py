"""Repositories of strangers: what is not a whole run never appears, and nothing is written beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seqvae_cli.errors import DataError
from seqvae_cli.hub import layout, snapshot
from seqvae_cli.hub.pull import pull
from seqvae_cli.runs import registry
from seqvae_cli.system import files
from tests.fake_hub import Repository
from tests.hub.conftest import MINE

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install '.[hub]'")


def changed(there: dict[str, bytes], **values: object) -> None:
    there["config.json"] = json.dumps(json.loads(there["config.json"]) | values).encode()


def entries(there: dict[str, bytes]) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(there["config.json"])["files"]
    return found


def flipped(there: dict[str, bytes]) -> None:
    there["model.safetensors"] = there["model.safetensors"][:-1] + b"?"


def gone(there: dict[str, bytes]) -> None:
    del there["tokenizer.json"]


def longer(there: dict[str, bytes]) -> None:
    there["run.json"] += b" "


def outside(there: dict[str, bytes]) -> None:
    there["../../evil"] = b"x"
    changed(there, files=entries(there) | {"../../evil": {"size": 1, "sha256": "0" * 64}})


def absolute(there: dict[str, bytes]) -> None:
    changed(there, files=entries(there) | {"/etc/evil": {"size": 1, "sha256": "0" * 64}})


def pickled(there: dict[str, bytes]) -> None:
    there["model.bin"] = b"x"
    changed(there, files=entries(there) | {"best/000001/model.bin": {"size": 1, "sha256": "0" * 64}})


def huge(there: dict[str, bytes]) -> None:
    changed(there, files=entries(there) | {"config.yaml": {"size": 1 << 40, "sha256": "0" * 64}})


def no_config(there: dict[str, bytes]) -> None:
    del there["config.json"]


def large_config(there: dict[str, bytes]) -> None:
    there["config.json"] = b" " * (layout.MAX_CONFIG + 1)


def nested_config(there: dict[str, bytes]) -> None:
    there["config.json"] = b"[" * 100_000


def newer(there: dict[str, bytes]) -> None:
    changed(there, hub_format=99)


def strange_checkpoint(there: dict[str, bytes]) -> None:
    changed(there, checkpoint="../best/000001")


def strange_name(there: dict[str, bytes]) -> None:
    changed(there, run="x\x1b[31m")


HOSTILE = [flipped, gone, longer, outside, absolute, pickled, huge, no_config, large_config, nested_config, newer]
HOSTILE += [strange_checkpoint, strange_name]


@pytest.mark.parametrize("change", HOSTILE)
def test_a_hostile_repository_leaves_nothing(
    pushed: Repository, trained_home: Path, change: Callable[[dict[str, bytes]], None]
) -> None:
    change(pushed.commits[-1])
    before = sorted(trained_home.parent.rglob("*"))
    with pytest.raises(DataError) as caught:
        pull(MINE, name=None if change is strange_name else "here")
    assert len(caught.value.message) < 300
    assert files.TEMPORARY not in caught.value.message
    assert sorted(trained_home.parent.rglob("*")) == before


@pytest.mark.usefixtures("pushed")
def test_no_more_comes_than_the_hub_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that tells one size and sends another."""
    whole = snapshot.Snapshot.listing

    def lied(self: snapshot.Snapshot, folder: Path) -> layout.Listing:
        found = whole(self, folder)
        self.sizes["model.safetensors"] -= 1
        name = f"{found.checkpoint}/model.safetensors"
        entry = found.files[name]
        found.files[name] = type(entry)(entry.sha256, entry.size - 1)
        return found

    monkeypatch.setattr(snapshot.Snapshot, "listing", lied)
    with pytest.raises(DataError, match="longer than the"):
        pull(MINE, name="here")
    assert registry.names() == ["tiny-run"]

"""A local hub for each test, with a token for it, and a run to push or to pull."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from seqvae_cli.hub.push import push
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import Run
from tests import fake_hub
from tests.fake_hub import Hub, Repository

MINE = "me/sentences"


@pytest.fixture(scope="session")
def serving() -> Iterator[Hub]:
    with fake_hub.serving() as made:
        yield made


@pytest.fixture
def hub(serving: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """No repositories yet; weights go by git LFS, without hf_xet."""
    serving.clear()
    for name, value in serving.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    return serving


@pytest.fixture
def run(trained_home: Path) -> Run:
    assert trained_home.is_dir()
    run = registry.find("tiny-run")
    run.tag(["paper"])
    return run


@pytest.fixture(scope="session")
def content(serving: Hub, tiny_home: Path) -> dict[str, bytes]:
    """The files of `tiny-run` on the hub."""
    serving.clear()
    serving.lfs = False
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SEQVAE_HOME": str(tiny_home), **serving.environment}.items():
            patch.setenv(name, value)
        push(registry.find("tiny-run"), MINE)
    return serving.repositories[MINE].commits[-1]


@pytest.fixture
def pushed(hub: Hub, trained_home: Path, content: dict[str, bytes]) -> Repository:
    assert trained_home.is_dir()
    hub.repositories[MINE] = Repository(commits=[{}, dict(content)])
    return hub.repositories[MINE]

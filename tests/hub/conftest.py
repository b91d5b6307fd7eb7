"""A local hub for each test, and a token for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import fake_hub
from tests.fake_hub import Hub

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")


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

"""`seqvae serve`: where it listens, what it asks for, and what it prints."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.web import server
from tests.conftest import Seqvae

GIVEN = "a-token-of-twenty-letters"


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sockets that would have been served."""
    found: list[Any] = []
    monkeypatch.setattr(server, "serve", lambda _, listener, *__: found.append(listener.getsockname()))
    monkeypatch.delenv("SEQVAE_SERVE_TOKEN", raising=False)
    return found


@pytest.mark.usefixtures("trained_home")
def test_a_token_is_printed_where_it_is_new_and_nowhere_else(
    seqvae: Seqvae, served: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, header = seqvae("serve").lines
    assert header.startswith("Authorization: Bearer ")
    assert len(header.split()[-1]) >= 32
    again = json.loads(seqvae("serve", "--json").out)
    assert again["run"] == "tiny-run"
    assert again["token"] not in (None, header.split()[-1])
    assert {address for address, _ in served} == {"127.0.0.1"}
    assert url == f"http://127.0.0.1:{served[0][1]}"
    assert json.loads(seqvae("serve", "--json", "--no-token").out)["token"] is None
    file = tmp_path / "token.txt"
    file.write_text(f"{GIVEN}\n")
    by_file = seqvae("serve", "--token-file", str(file))
    monkeypatch.setenv("SEQVAE_SERVE_TOKEN", GIVEN)
    for answer in (by_file, seqvae("serve", "--json")):
        assert answer.code == 0
        assert GIVEN not in answer.out + answer.err
        assert "Bearer" not in answer.out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--no-token", "--host", "0.0.0.0"], 2, "this machine alone"),
        (["--no-token", "--token-file", "x"], 2, "--token-file"),
        (["--host", "example.com"], 2, "example.com"),
        (["--token-file", "none.txt"], 5, "none.txt"),
        (["--token-file", "short.txt"], 2, "short.txt holds no token"),
        (["nothing"], 3, "nothing"),
    ],
)
def test_bad_options_are_refused(
    seqvae: Seqvae,
    served: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    (tmp_path / "short.txt").write_text("secret")
    monkeypatch.chdir(tmp_path)
    answer = seqvae("serve", *arguments)
    assert (answer.code, answer.out, served) == (code, "", [])
    assert told in answer.err
    assert "secret" not in answer.err


def test_it_listens_to_others_with_a_warning_and_works_without_the_corpus(
    seqvae: Seqvae, trained_home: Path, served: list[Any]
) -> None:
    shutil.rmtree(trained_home / "corpora")
    answer = seqvae("serve", "--host", "0.0.0.0")
    assert answer.code == 0
    assert served[0][0] == "0.0.0.0"
    assert "unencrypted" in answer.err
    assert "no /neighbours" in answer.err


def test_a_missing_extra_is_named(seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    answer = seqvae("serve")
    assert answer.code == 5
    assert 'pip install "seqvae[serve]"' in answer.err

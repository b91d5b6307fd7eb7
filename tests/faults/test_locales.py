"""Row 36: a locale that is not UTF-8 changes neither what is read nor what is written."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqvae_cli.cli import boundary
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import Run
from tests.conftest import Seqvae
from tests.faults.matrix import snapshot, still_loads

TEXT = "the cat sees „Zoë“ 😀\nder Bär\u2028 paints it\n"
ENCODINGS = ["ascii", "cp1252", "latin-1", "utf-16", "shift_jis"]


@pytest.fixture
def tiny_run(trained_home: Path) -> Run:
    assert trained_home.is_dir()
    return registry.find("tiny-run")


@pytest.mark.row(36)
@pytest.mark.parametrize("command", ["encode", "score", "reconstruct --json"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_encoding_of_the_streams_changes_no_byte(
    tiny_run: Run, monkeypatch: pytest.MonkeyPatch, command: str, encoding: str
) -> None:
    """What `PYTHONIOENCODING` and the locale set."""
    before = snapshot(tiny_run.path)
    found = []
    for name in ("utf-8", encoding):
        streams = [io.TextIOWrapper(io.BytesIO(), name), io.TextIOWrapper(io.BytesIO(), name)]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode()), name))
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        assert boundary.main([*command.split(), "-"]) == 0
        found.append([stream.detach().getvalue() for stream in streams])  # type: ignore[attr-defined]
    assert found[1] == found[0]
    out, err = (data.decode() for data in found[1])
    assert "Zoë" in err  # unknown to the model
    if command != "score":
        assert [json.loads(line)["text"] for line in out.split("\n")[:-1]] == TEXT.split("\n")[:-1]
    assert snapshot(tiny_run.path) == before
    still_loads(tiny_run)


@pytest.mark.row(36)
def test_what_one_prints_the_next_one_reads(
    tiny_run: Run, monkeypatch: pytest.MonkeyPatch, seqvae: Seqvae, tmp_path: Path
) -> None:
    """`PYTHONIOENCODING=cp1252 seqvae encode … | seqvae score -`, with a corpus of its words."""
    text = tmp_path / "umlauts.txt"
    text.write_text("der Bär sieht Zoë\nZoë sieht „die“ Bären\n" * 30, encoding="utf-8")
    settings = ["--epochs", "1", "--hidden-size", "8", "--embed-size", "8", "--latent-size", "2", "--device", "cpu"]
    assert seqvae("prepare", str(text), "-q").code == 0
    assert seqvae("train", "--data", "umlauts", "--name", "umlauts", *settings, "-q").code == 0
    with monkeypatch.context() as patch:
        stdout = io.TextIOWrapper(io.BytesIO(), "cp1252")
        patch.setattr(sys, "stdout", stdout)
        assert boundary.main(["sample", "umlauts", "-n", "20", "--max-len", "5", "--no-unk", "-q"]) == 0
        piped = stdout.detach().getvalue()  # type: ignore[attr-defined]
    assert not piped.isascii()
    answer = seqvae("score", "-", "-r", "umlauts", stdin=piped)
    assert answer.code == 0
    assert "unknown" not in answer.err, "words that were garbled on the way"
    assert len(answer.out.split("\n")) == 21
    still_loads(tiny_run)


PROGRAM = """
import sys
from seqvae_cli.cli.sentences import open_lines, sentence_arguments, utf8
from seqvae_cli.data.readers import Reading
for text in (*open_lines(sys.argv[1:], Reading()), *sentence_arguments(sys.argv[1:], ""), utf8(sys.argv[1])):
    sys.stdout.buffer.write(text.encode() + b"\\n")
"""


@pytest.mark.row(36)
@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_arguments_are_utf_8_whatever_the_locale(locale: str) -> None:
    environment = os.environ | {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    sentence = "der Bär sieht „Zoë“ 😀"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, sentence.encode()], env=environment, capture_output=True, check=True
    )
    assert done.stdout.decode() == f"{sentence}\n" * 3


@pytest.mark.row(36)
def test_a_file_is_found_by_a_name_that_the_locale_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "Bär.txt"
    path.write_text("the cat\n", encoding="utf-8")
    program = PROGRAM.partition("for text")[0] + "print(*open_lines(sys.argv[1:], Reading()))"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", program, path], env=environment, capture_output=True, check=True)
    assert done.stdout == b"the cat\n"

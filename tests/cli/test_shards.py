"""`--shard I/N`: processes that share an input give, line by line, what one gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Seqvae

LINES = ["the cat sees the sea", "", "a dog likes people", "my sister paints it", "the old man likes people"]


@pytest.mark.usefixtures("trained_home")
@pytest.mark.parametrize(
    ("command", "source"),
    [
        ("encode", "file"),
        ("encode", "stdin"),
        ("reconstruct --max-len 5", "table"),
        ("score --samples 3 --json", "file"),
    ],
)
def test_shards_interleaved_are_the_whole(seqvae: Seqvae, tmp_path: Path, command: str, source: str) -> None:
    words = [*command.split(), "-q"]
    if source == "table":
        path = tmp_path / "t.csv"
        path.write_text("id,text\n" + "".join(f"{number},{line}\n" for number, line in enumerate(LINES)))
        words += [str(path), "--text", "text", "--id", "id"]
    else:
        path = tmp_path / "t.txt"
        path.write_text("".join(f"{line}\n" for line in LINES))
        words += ["-" if source == "stdin" else str(path)]
    data = path.read_bytes() if source == "stdin" else b""
    whole = seqvae(*words, stdin=data).lines
    assert len(whole) == len(LINES)
    joined = [""] * len(LINES)
    for number in (1, 2, 3):
        answer = seqvae(*words, "--shard", f"{number}/3", stdin=data)
        assert answer.code == 0, answer.err
        joined[number - 1 :: 3] = answer.lines
    if "json" in command:
        for one, other in zip(map(json.loads, joined), map(json.loads, whole), strict=True):
            for key, value in other.items():
                assert one[key] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value)
    elif "reconstruct" in command:
        assert joined == whole
    else:
        means = [[json.loads(line)["mean"] for line in lines] for lines in (joined, whole)]
        assert [mean and pytest.approx(mean, rel=1e-4, abs=1e-5) for mean in means[0]] == means[1]


@pytest.mark.usefixtures("trained_home")
@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/9999999", "\u0661/2"])
def test_another_shard_is_refused(seqvae: Seqvae, shard: str) -> None:
    answer = seqvae("score", "a cat", "--shard", shard)
    assert (answer.code, answer.out) == (2, "")
    assert "is not I/N" in answer.err
    assert "hint: such as --shard 1/4" in answer.err

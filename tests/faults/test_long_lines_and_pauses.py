"""Rows 30 and 31: one line that is far longer than the others, and input that pauses."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from seqvae_cli.cli import boundary
from seqvae_cli.data import batching
from seqvae_cli.data.batching import Batch
from seqvae_cli.model import Encoder, RecurrentDecoder
from tests.conftest import SMALL, Seqvae, tiny_text
from tests.faults.matrix import FULL, assert_one_line
from tests.faults.processes import measured
from tests.preloaded import Preloaded

# Row 30

WORDS, TIMES = (40_000, 3) if FULL else (2_200, 1)


def with_a_long_line(path: Path) -> Path:
    """100 short lines, in full 300, and one of `WORDS` words."""
    short = tiny_text() * TIMES
    long = " ".join(short * 100).split()[:WORDS]
    path.write_text("\n".join([*short[:50], " ".join(long), *short[50:]]) + "\n")
    return path


@pytest.fixture
def largest(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The padded tokens of the largest batch of more than one sentence that a network has read."""
    found = {"tokens": 0}
    forward, log_prob = Encoder.forward, RecurrentDecoder.log_prob

    def note(tokens: torch.Tensor) -> None:
        if len(tokens) > 1:
            found["tokens"] = max(found["tokens"], tokens.numel())

    def encode(encoder: Encoder, batch: Batch) -> object:
        note(batch.tokens)
        return forward(encoder, batch)

    def decode(decoder: RecurrentDecoder, inputs: torch.Tensor, *rest: object) -> torch.Tensor:
        note(inputs if torch.is_grad_enabled() else inputs[:, :128])
        return log_prob(decoder, inputs, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "forward", encode)
    monkeypatch.setattr(RecurrentDecoder, "log_prob", decode)
    return found


@pytest.mark.row(30)
@pytest.mark.usefixtures("trained_home")
@pytest.mark.parametrize("name", ["encode", "reconstruct", "score"])
def test_a_long_line_does_not_pad_those_around_it(
    seqvae: Seqvae, tmp_path: Path, largest: dict[str, int], name: str
) -> None:
    more = ["--samples", "2"] if name == "score" else []
    answer = seqvae(name, str(with_a_long_line(tmp_path / "long.txt")), "--json", *more)
    assert answer.code == 0, answer.err
    assert len(answer.lines) == 100 * TIMES + 1
    assert 0 < largest["tokens"] <= batching.MOST_TOKENS


@pytest.mark.row(30)
def test_a_long_line_is_warned_of_and_trained_on_and_evaluated_alone(
    seqvae: Seqvae, tmp_path: Path, largest: dict[str, int]
) -> None:
    text = str(with_a_long_line(tmp_path / "long.txt"))
    prepared = seqvae("prepare", text, "--valid", text, "--test", text)
    assert (
        f"warning: the longest line has {WORDS:,} tokens, nine in ten at most 9\nhint: --max-len cuts it\n"
        in prepared.err
    )
    assert "--max-len" not in seqvae("prepare", text, "--name", "cut", "--max-len", "50").err
    trained = seqvae("train", "--data", "long", *SMALL, "--batch-size", "32", "--epochs", "1", "-q")
    assert trained.code == 0, trained.err
    assert seqvae("eval", "--samples", "2").code == 0
    assert 0 < largest["tokens"] <= batching.MOST_TOKENS


@pytest.mark.row(30)
@pytest.mark.skipif(not FULL, reason="a process and a minute each: make faults")
@pytest.mark.parametrize("name", ["encode", "train"])
def test_a_long_line_takes_little_memory(seqvae: Seqvae, tmp_path: Path, name: str) -> None:
    text = str(with_a_long_line(tmp_path / "long.txt"))
    assert seqvae("prepare", text).code == 0
    arguments = ["train", "--data", "long", "--epochs", "1", "--device", "cpu", "--threads", "1", "-q"]
    if name != "train":
        assert seqvae(*arguments, "--set", "train.max_len=20").code == 0
        arguments = [name, text]
    cost = measured(*arguments)
    assert cost.code == 0, cost.err
    assert cost.bytes < 1.5e9  # 6.7 GB and 11.7 GB where the line pads a batch


# Row 31


@dataclass
class Pipes:
    """The far ends of a command's standard input and output."""

    to: int
    back: int
    held: bytes = b""

    def say(self, *lines: bytes) -> None:
        os.write(self.to, b"".join(line + b"\n" for line in lines))

    def hear(self, count: int) -> list[str]:
        """The next lines of the answer, which must come while the input stays open."""
        while self.held.count(b"\n") < count:
            assert select.select([self.back], [], [], 60)[0], f"no answer; so far {self.held!r}"
            some = os.read(self.back, 1 << 16)
            assert some, f"the answer has ended; so far {self.held!r}"
            self.held += some
        *lines, self.held = self.held.split(b"\n", count)
        return [line.decode() for line in lines]

    def close(self) -> None:
        for end in (self.to, self.back):
            if end >= 0:
                os.close(end)
        self.to = self.back = -1


def talk(patch: pytest.MonkeyPatch, arguments: list[str], script: Callable[[Pipes], None]) -> int:
    """Runs a command of this process with real pipes, and beside it what stands at their far ends; its exit code."""
    there, to = os.pipe()
    back, here = os.pipe()
    pipes = Pipes(to, back)

    def beside() -> None:
        try:
            script(pipes)
        finally:
            pipes.close()

    with open(there) as stdin, open(here, "w") as stdout, ThreadPoolExecutor(1) as pool:
        patch.setattr("sys.stdin", stdin)
        patch.setattr("sys.stdout", stdout)
        running = pool.submit(beside)
        code = boundary.main(arguments)
        running.result(60)
    return code


def lines_for(name: str) -> list[bytes]:
    if name == "decode":
        return [json.dumps([value] * 4).encode() for value in (0.1, -0.5, 0.9)]
    return [b"the cat sees the sea", b"a dog likes it", b"my sister paints a red house"]


COMMANDS = ["encode", "reconstruct", "score", "decode"]


@pytest.mark.row(31)
@pytest.mark.usefixtures("trained_home")
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_there_is_answered_when_the_input_pauses(
    seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    first, second, third = lines_for(name)
    empty = b"null" if name == "decode" else b""
    at_once = seqvae(name, "-", "--json", stdin=b"\n".join([first, empty, second, third]) + b"\n").lines
    heard: list[str] = []

    def script(pipes: Pipes) -> None:
        pipes.say(first, empty)
        heard.extend(pipes.hear(2))
        pipes.say(second)
        heard.extend(pipes.hear(1))
        pipes.say(third)
        heard.extend(pipes.hear(1))

    assert talk(monkeypatch, [name, "-", "--json"], script) == 0
    for answer, expected in zip(map(json.loads, heard), map(json.loads, at_once), strict=True):
        assert answer.keys() == expected.keys()
        for key, value in expected.items():
            # In other batches the sums round differently.
            assert answer[key] == (value if value is None or isinstance(value, str) else pytest.approx(value, rel=1e-4))


@pytest.mark.row(31)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.usefixtures("trained_home")
def test_a_named_pipe_is_answered_when_it_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def script(pipes: Pipes) -> None:
        with fifo.open("wb", buffering=0) as file:
            for line in lines_for("score"):
                file.write(line + b"\n")
                assert pipes.hear(1)[0].endswith(line.decode())

    assert talk(monkeypatch, ["score", str(fifo)], script) == 0


@pytest.mark.row(31)
@pytest.mark.usefixtures("trained_home")
@pytest.mark.parametrize("name", COMMANDS)
def test_what_comes_before_an_error_is_answered(seqvae: Seqvae, name: str) -> None:
    first, second, _ = lines_for(name)
    answer = seqvae(name, "-", "--json", stdin=b"\n".join([first, second, b"a \0"]))
    assert (answer.code, len(answer.lines)) == (4, 2)
    assert_one_line(answer.err, "standard input, line 3")


@pytest.mark.row(31)
@pytest.mark.usefixtures("trained_home")
def test_an_error_after_a_pause_names_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, _ = lines_for("score")

    def script(pipes: Pipes) -> None:
        pipes.say(first, second)
        assert len(pipes.hear(2)) == 2
        pipes.say(b"a \0")

    assert talk(monkeypatch, ["score", "-"], script) == 4
    assert_one_line(capsys.readouterr().err, "standard input, line 3", "NUL")


@pytest.mark.row(31)
@pytest.mark.usefixtures("trained_home")
def test_a_reader_that_leaves_in_a_pause_ends_the_command_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, _ = lines_for("encode")

    def script(pipes: Pipes) -> None:
        pipes.say(first)
        assert len(pipes.hear(1)) == 1
        os.close(pipes.back)
        pipes.back = -1
        pipes.say(second)

    assert talk(monkeypatch, ["encode", "-"], script) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.row(31)
@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.usefixtures("trained_home")
def test_ctrl_c_in_a_pause_ends_at_once(forked: Preloaded, tmp_path: Path) -> None:
    (source, to), (back, sink) = os.pipe(), os.pipe()
    told = tmp_path / "told"
    with told.open("wb") as errors:
        process = forked.start("reconstruct", "-", streams=[source, sink, errors.fileno()])
    for end in (source, sink):
        os.close(end)
    pipes = Pipes(to, back)
    try:
        pipes.say(b"the zebra sees the sea")
        pipes.hear(1)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20).code == 130
    finally:
        for end in (to, back):
            os.close(end)
    warned = b"warning: 1 of 5 words is unknown, read as <unk>: 'zebra'\n"
    assert told.read_bytes() == warned + b"error: interrupted\n"

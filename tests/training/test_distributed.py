"""Several processes train as one: the same losses, one who writes and speaks, and an end when one of them is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqvae_cli import api
from seqvae_cli.data import corpus as corpora
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import LostProcessError, MachineError, UsageError
from seqvae_cli.runs import registry
from seqvae_cli.system import processes, runtime
from seqvae_cli.system.processes import ALONE, Processes, of_environment, one_voice
from seqvae_cli.training.batches import Batches
from tests.conftest import Seqvae
from tests.faults.matrix import FULL, wait_for
from tests.launched import Launcher, launcher
from tests.training import together
from tests.trainings import assert_same_run, long_run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    with launcher(tmp_path_factory.mktemp("processes")) as found:
        yield found


@pytest.mark.parametrize("size", [2, 4] if FULL else [2])
def test_they_take_the_steps_of_one_process(trained_home: Path, tmp_path: Path, launched: Launcher, size: int) -> None:
    other_home = tmp_path / "other"
    shutil.copytree(trained_home, other_home)
    answer = tmp_path / "answer"
    launched.start(size, "tests.training.together:steps", str(answer), home=other_home)
    alone = together.trained(ALONE)
    assert launched.codes() == [0] * size, launched.said(0) + launched.said(size - 1)
    for name, found in json.loads(answer.read_text()).items():
        losses = np.array(alone[name]["losses"])
        assert len(losses) >= 8
        assert np.abs(np.array(found["losses"]) - losses).max() < 1e-6 * np.abs(losses[:, 0]).min(), name
        for line, expected in zip(found["figures"], alone[name]["figures"], strict=True):
            assert line.pop("phase") == expected.pop("phase")
            for key, value in expected.items():
                assert line[key] == pytest.approx(value, rel=1e-5, abs=1e-5), (name, key)
    rates = [line["learning_rate"] for line in alone["plateau"]["figures"]]
    assert rates[-1] < rates[0], "the best weights were loaded again"
    # With noise of their own, stopped and resumed they are bit for bit what they would have been.
    os.environ["SEQVAE_HOME"] = str(other_home)
    assert_same_run(registry.find("quiet"), registry.find("stopped"))
    assert registry.find("quiet").info["processes"] == size


def test_one_that_is_killed_ends_all_and_one_process_goes_on(
    trained_home: Path, launched: Launcher, seqvae: Seqvae
) -> None:
    long_run(corpora.find("tiny"), "killed")
    first, second = launched.start(2, "train", "--resume", "killed", home=trained_home)
    wait_for(lambda: len(registry.find("killed").metrics()) >= 1)
    os.kill(second, signal.SIGKILL)
    began = time.monotonic()
    assert launched.codes() == [5, -signal.SIGKILL]
    assert time.monotonic() - began < 30
    said = launched.said(0)
    assert said.count("error:") == 1
    assert "error: another process has ended\n" in said
    assert "seqvae train --resume auto" in said
    assert registry.find("killed").status == "interrupted"
    epochs = len(registry.find("killed").metrics())
    answer = seqvae("train", "--resume", "auto", "--epochs", str(epochs + 1))
    assert answer.code == 0, answer.err
    assert "2 processes" not in answer.err
    run = registry.find("killed")
    assert (run.status, run.info["processes"]) == ("finished", 1)
    assert first != second


def test_they_give_the_figures_of_one_process(trained_home: Path, launched: Launcher, seqvae: Seqvae) -> None:
    options = "--samples 20 --elbo-samples 2 --split train --threads 1 --json"
    call = ("eval", "tiny-run", *options.split())
    launched.start(2, *call, "-q", home=trained_home)
    alone = json.loads(seqvae(*call).out)
    assert launched.codes() == [0, 0], launched.said(0) + launched.said(1)
    assert launched.said(1) == ""
    together: dict[str, Any] = json.loads(launched.said(0))
    assert together.pop("signature") == alone.pop("signature")
    assert together.pop("split") == alone.pop("split")
    assert together == pytest.approx(alone, rel=1e-9)
    assert alone["bleu"] > 0
    assert len(list((trained_home / "runs" / "tiny-run" / "evaluations").iterdir())) == 1, "one signature"


LINES = [
    "the cat sees the sea",
    "",
    "a dog likes people",
    "my sister paints zebras",
    "the old man",
    "",
    "it",
    "the cat",
]


@pytest.mark.parametrize("command", ["encode", "reconstruct --max-len 5 --json", "score --samples 3 --json"])
def test_they_answer_a_file_as_one_process_does(
    trained_home: Path, tmp_path: Path, launched: Launcher, seqvae: Seqvae, command: str
) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES))
    call = [*command.split(), str(path), "--threads", "1"]
    launched.start(2, *call, home=trained_home)
    whole = seqvae(*call)
    assert launched.codes() == [0, 0], launched.said(0) + launched.said(1)
    assert launched.said(1) == ""
    said = launched.said(0).splitlines()
    warning = next(line for line in whole.err.splitlines() if line.startswith("warning:"))
    assert warning in said, "the words of all are counted"
    answers = [json.loads(line) for line in said if line.startswith("{")]
    assert [answer["text"] for answer in answers] == LINES
    for answer, expected in zip(answers, map(json.loads, whole.lines), strict=True):
        assert answer.keys() == expected.keys()
        for key, value in expected.items():
            close = isinstance(value, float | list)
            assert answer[key] == (pytest.approx(value, rel=1e-4, abs=1e-5) if close else value)


def test_they_do_not_share_a_pipe(monkeypatch: pytest.MonkeyPatch, seqvae: Seqvae) -> None:
    several(monkeypatch)
    answer = seqvae("encode", "-", stdin=b"the cat\n")
    assert (answer.code, answer.out) == (2, "")
    assert "error: several processes cannot read from one pipe\nhint: name a file" in answer.err


def environment(**changes: str) -> dict[str, str]:
    return {"WORLD_SIZE": "4", "RANK": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"} | changes


def test_a_process_finds_its_place_in_the_environment() -> None:
    assert of_environment({}) is of_environment({"WORLD_SIZE": "1", "RANK": "x"}) is ALONE
    assert of_environment(environment()) == Processes(2, 4, 0, 2)
    assert of_environment({"WORLD_SIZE": "3", "RANK": "1"}) == Processes(1, 3, 0, 1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"RANK": "4"}, "RANK 4, WORLD_SIZE 4"),
        ({"RANK": "-1"}, "RANK -1"),
        ({"LOCAL_RANK": "2"}, "LOCAL_RANK 2"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'"),
        ({"RANK": ""}, "RANK is not set"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(changes: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told) as raised:
        of_environment(environment(**changes))
    assert "unset WORLD_SIZE" in raised.value.hint


def several(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    for name, value in environment(**changes).items():
        monkeypatch.setenv(name, value)


def test_a_command_for_one_process_is_refused_in_several(monkeypatch: pytest.MonkeyPatch, seqvae: Seqvae) -> None:
    several(monkeypatch)
    for command in ("sample", "runs", "prepare"):
        answer = seqvae(command, "list" if command == "runs" else "toy")
        assert (answer.code, answer.out) == (2, "")
        assert f"error: seqvae {command} runs as one process, and WORLD_SIZE is 4\n" in answer.err
    with pytest.raises(UsageError, match="train_model runs as one process"):
        api.train_model()
    assert seqvae("train", "--help").code == 0


def test_the_first_process_of_a_machine_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch, seqvae: Seqvae) -> None:
    waited: list[float] = []
    monkeypatch.setattr(processes.time, "sleep", waited.append)
    several(monkeypatch)
    assert seqvae("train", "--no-such-option").code == 2
    assert not waited
    several(monkeypatch, LOCAL_RANK="1")
    assert seqvae("train", "--no-such-option").code == 2
    assert seqvae("sample").code == 2
    assert seqvae("score", "no-such-file.txt").code == 2
    assert waited == [processes.PATIENCE] * 3


class Store:
    """Counts, and notes what was waited for."""

    def __init__(self) -> None:
        self.count, self.waited, self.left = 0, [], []

    def add(self, _: str, number: int) -> int:
        self.count += number
        return self.count

    def wait(self, keys: list[str], _: object) -> None:
        self.waited += keys

    def set(self, key: str, _: str) -> None:
        self.left.append(key)


def test_one_process_speaks_for_all() -> None:
    store = Store()
    with pytest.raises(LostProcessError), one_voice(Processes(1, 3, 1, 3, store)):
        raise LostProcessError("gone")
    with pytest.raises(SystemExit, match="5"), one_voice(Processes(2, 3, 2, 3, store)):
        raise LostProcessError("gone")
    assert store.waited == ["left"]
    with pytest.raises(SystemExit, match="5"), one_voice(Processes(0, 3, 0, 3, store)):
        raise LostProcessError("gone")
    assert store.left == ["left"]
    with pytest.raises(LostProcessError), one_voice(ALONE):
        raise LostProcessError("gone")


def test_each_reads_its_own_sentences_of_a_batch(tiny_corpus: Corpus) -> None:
    split, chosen = tiny_corpus.split("train"), together.settings(**{"train.unknown": 1.0})
    whole = Batches(split, chosen, len(tiny_corpus.tokenizer), ALONE)
    rows = whole.order(1)[0]
    batch = whole.batch(rows, 3)
    parts = [Batches(split, chosen, len(tiny_corpus.tokenizer), Processes(n, 3)).batch(rows, 3) for n in range(3)]
    assert sum(part.weight for part in parts) == pytest.approx(1)
    assert {part.counts for part in parts} == {batch.counts}
    for number, part in enumerate(parts):
        width = part.ids.shape[1]
        assert (part.ids == batch.ids[number::3, :width]).all()
        assert (part.lengths == batch.lengths[number::3]).all()
    lone = [Batches(split, chosen, len(tiny_corpus.tokenizer), Processes(n, 2)).batch(rows[:1], 3) for n in range(2)]
    assert [(len(part), part.weight, part.counts[0]) for part in lone] == [(1, 1.0, 1), (1, 0.0, 1)]


def test_processes_have_a_device_each(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Processes(1, 2, 1, 2)
    assert runtime.resolve_device("cpu", pair) == torch.device("cpu")
    with pytest.raises(UsageError, match="2 processes cannot train on 'mps'"):
        runtime.resolve_device("mps", pair)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    assert runtime.resolve_device("auto", pair) == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="cannot train on 'cuda:1'"):
        runtime.resolve_device("cuda:1", pair)
    with pytest.raises(MachineError, match="2 CUDA devices for 3 processes"):
        runtime.resolve_device("cuda", Processes(1, 3, 1, 3))

"""What every test shares: a home of its own, one CPU thread, a tiny corpus, a tiny trained run."""

from __future__ import annotations

import gc
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from seqvae_cli.cli import boundary
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.system import runtime
from tests.preloaded import Preloaded, preloaded

gc.disable()  # until all tests are collected, which leaves a million objects and no garbage

# Tiny tensors: threads would only wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
if hasattr(os, "sched_setaffinity") and (worker := os.environ.get("PYTEST_XDIST_WORKER", "")).startswith("gw"):
    # A core for each process of the tests and all that it starts, which else take as many threads as there are cores.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker[2:]) % len(cores)]})


def use_memory() -> None:
    """Temporary files lie in memory where there is room: tests make a hundred thousand, and each save waits for its
    disk."""
    memory = Path("/dev/shm")
    if {"PYTEST_DEBUG_TEMPROOT", "TMPDIR"}.isdisjoint(os.environ) and os.access(memory, os.W_OK):
        disk = os.statvfs(memory)
        if disk.f_bavail * disk.f_frsize > 4 << 30 and not disk.f_flag & os.ST_NOEXEC:
            os.environ["PYTEST_DEBUG_TEMPROOT"] = str(memory)


use_memory()

TINY = {
    "model.embed_size": 12,
    "model.hidden_size": 16,
    "model.latent_size": 4,
    "train.adapt": False,
    "train.epochs": 2,
    "train.batch_size": 8,
    "runtime.device": "cpu",
    "runtime.threads": 1,
    "runtime.precision": "float32",
}
"""Settings that train in a second, and everywhere alike: in bfloat16, where there is a unit for it, words often tie."""

SMALL = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
"""The same as arguments of `seqvae train`."""

SUBJECTS = ("the cat", "a dog", "the old man", "my sister", "one small bird")
VERBS = ("sees", "likes", "does not follow", "paints")
OBJECTS = ("the sea", "a red house", "people", "the long road to town", "it")


def tiny_text() -> list[str]:
    """100 sentences of 3 to 10 words."""
    return [f"{subject} {verb} {thing}" for subject in SUBJECTS for verb in VERBS for thing in OBJECTS]


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new path at each step, where nothing is."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / f"home-{number}" for number in itertools.count())


@pytest.fixture(autouse=True)
def home(request: pytest.FixtureRequest, homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """No home yet for every test: `tmp_path / "home"`, or without a `tmp_path`, which takes longer than most tests, a
    path of its own."""
    path: Path = request.getfixturevalue("tmp_path") / "home" if "tmp_path" in request.fixturenames else next(homes)
    monkeypatch.setenv("SEQVAE_HOME", str(path))
    for name in ("NO_COLOR", "FORCE_COLOR", "SEQVAE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the corpus `tiny` and the finished run `tiny-run`, made once. Copy it, do not change it."""
    from seqvae_cli.config import layers
    from seqvae_cli.data import prepare, sources
    from seqvae_cli.runs import registry
    from seqvae_cli.training import session

    path = tmp_path_factory.mktemp("tiny") / "home"
    text = path.parent / "tiny.txt"
    text.write_text("\n".join(tiny_text()) + "\n")
    before = os.environ.get("SEQVAE_HOME")
    os.environ["SEQVAE_HOME"] = str(path)
    try:
        source = sources.text_source(text)
        corpus = prepare.prepare_text(source, "tiny", valid_fraction=0.1, test_fraction=0.1).corpus
        run = session.start(layers.resolve(overrides=TINY), corpus, name="tiny-run")
        for _ in session.fit(run, corpus):
            pass
        assert registry.find("tiny-run").status == "finished"
    finally:
        del os.environ["SEQVAE_HOME"]
        if before is not None:
            os.environ["SEQVAE_HOME"] = before
    return path


@pytest.fixture
def trained_home(tiny_home: Path, home: Path) -> Path:
    """The test's own copy of `tiny_home`."""
    shutil.copytree(tiny_home, home)
    return home


@pytest.fixture
def tiny_corpus(trained_home: Path) -> Corpus:
    from seqvae_cli.data import corpus

    assert trained_home.is_dir()
    return corpus.find("tiny")


@pytest.fixture
def small_toy(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many sentences of `toy` are held out in this test, twice; else 2,000."""
    from seqvae_cli.data.toy import build

    monkeypatch.setattr(build, "HELD_OUT", 100)
    return build.HELD_OUT


class Answer:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Seqvae:
    """Calls the program in this process, as its console script does."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Answer:
        stream = io.TextIOWrapper(io.BytesIO(stdin))
        self.monkeypatch.setattr("sys.stdin", stream)
        code = boundary.main(list(arguments))
        captured = self.capsys.readouterr()
        return Answer(code, captured.out, captured.err)


@pytest.fixture
def seqvae(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Seqvae:
    return Seqvae(capsys, monkeypatch)


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    """Starts the program in processes of their own."""
    with preloaded(tmp_path_factory.mktemp("p")) as made:
        yield made


class InMemory:
    """A split of sentences in memory, given as token ids."""

    def __init__(self, sentences: Iterable[ArrayLike]) -> None:
        self.sentences = [np.asarray(ids, dtype=np.int64) for ids in sentences]

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        return self.sentences[index]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self.sentences], dtype=np.int64)


def normal_noise(seed: int, sentences: Iterable[NDArray[np.int64]], shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal noise of `shape` for each sentence, from the beginning of its stream: [N, *shape]."""
    return torch.from_numpy(
        np.stack([runtime.sentence_stream(seed, ids).standard_normal(shape, dtype=np.float32) for ids in sentences])
    )


class Float64(torch.overrides.TorchFunctionMode):
    """`.float()` keeps the float64 of a model that was made so: gradcheck needs more digits than float32 has."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func is Tensor.float else func(*args, **(kwargs or {}))


@pytest.fixture
def float64() -> Iterator[None]:
    with Float64():
        yield


class Stages:
    """Takes the place of a progress bar: what each stage of a computation promised, and what it then told."""

    def __init__(self) -> None:
        self.promised: dict[str, int] = {}
        self.done: dict[str, int] = {}

    def __call__(self, name: str, total: int) -> Callable[[int], None]:
        self.promised[name] = total

        def watch(count: int) -> None:
            self.done[name] = self.done.get(name, 0) + count

        return watch


LONG = ({"test_soak.py"}, {"faults", "test_pipelines.py", "test_examples.py", "test_docs.py"})
"""Folders and files of tests that take half an hour, and seconds each: first, so that no process ends with one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [names.isdisjoint(item.path.parts) for names in LONG])


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: no collection looks at them again."""
    gc.collect()
    gc.freeze()
    gc.enable()

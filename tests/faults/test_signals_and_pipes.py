"""Rows 24 and 25: a training that is told to stop, Ctrl-C at any moment, and readers that leave."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest

from seqvae_cli import api
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import Run
from tests.conftest import SMALL, Seqvae, tiny_text
from tests.faults.matrix import FULL, command, snapshot, some, still_loads, tries, wait_for
from tests.faults.nursery import Nursery
from tests.preloaded import Preloaded, usual_signals
from tests.trainings import assert_same_run, long_run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pipes as POSIX has them")

PROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"


def begin(shared_nursery: Nursery, corpus: Corpus, home: Path, moment: random.Random) -> int:
    """A training that has come to a random moment of its first epochs: its process id."""
    run = long_run(corpus, "asked")
    (pid,) = shared_nursery.start(home, ["train", "--resume", "asked"])
    epochs = moment.randrange(5)
    wait_for(lambda: registry.find("asked").status == "running" and len(run.metrics()) >= epochs)
    time.sleep(moment.uniform(0, 0.1))
    return pid


def assert_resumes_to(uninterrupted: Run, seqvae: Seqvae) -> None:
    if registry.find("asked").has_checkpoint():  # none, where a second signal came before the first save
        api.load(registry.find("asked"))
    assert seqvae("train", "--resume", "auto", "-q").code == 0
    assert registry.find("asked").status == "finished"
    assert_same_run(registry.find("asked"), uninterrupted)


@pytest.mark.row(24)
@pytest.mark.parametrize("seed", tries(20, 1))
@pytest.mark.parametrize(
    ("number", "code"), some([(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], 2)
)
def test_a_signal_saves_within_5_seconds_says_how_to_go_on_and_the_resume_is_exact(
    trained_home: Path,
    tiny_corpus: Corpus,
    uninterrupted: Run,
    shared_nursery: Nursery,
    seqvae: Seqvae,
    number: signal.Signals,
    code: int,
    seed: int,
) -> None:
    others = snapshot(trained_home / "runs" / "tiny-run")
    pid = begin(shared_nursery, tiny_corpus, trained_home, random.Random(f"{number} {seed}"))
    os.kill(pid, number)
    began = time.monotonic()
    assert shared_nursery.wait() == [code]
    assert time.monotonic() - began < 5
    told = shared_nursery.stderr()
    assert "Traceback" not in told
    assert "error:" not in told
    assert told.splitlines()[-1] == "saved; to go on: seqvae train --resume asked"
    assert registry.find("asked").status == "interrupted"
    assert not registry.find("asked").locked()
    assert registry.find("asked").has_checkpoint()
    assert_resumes_to(uninterrupted, seqvae)
    assert snapshot(trained_home / "runs" / "tiny-run") == others


@pytest.mark.row(24)
@pytest.mark.parametrize("seed", tries(20, 1))
def test_a_second_signal_ends_at_once_and_the_resume_is_exact(
    trained_home: Path, tiny_corpus: Corpus, uninterrupted: Run, shared_nursery: Nursery, seqvae: Seqvae, seed: int
) -> None:
    number, codes = [
        (signal.SIGINT, (130, -signal.SIGINT)),
        (signal.SIGTERM, (143, -signal.SIGTERM)),
        (signal.SIGHUP, (129, -signal.SIGHUP)),
    ][seed % 3]
    pid = begin(shared_nursery, tiny_corpus, trained_home, random.Random(seed))
    os.kill(pid, number)
    wait_for(lambda: "stopping: saving" in shared_nursery.stderr())
    os.kill(pid, signal.SIGSTOP)  # to see where it is
    in_time = "saved;" not in shared_nursery.stderr()
    os.kill(pid, number)
    os.kill(pid, signal.SIGCONT)
    began = time.monotonic()
    (ended,) = shared_nursery.wait()
    assert time.monotonic() - began < 2
    told = shared_nursery.stderr()
    assert "Traceback" not in told
    assert ended in codes
    if in_time:
        assert "saved;" not in told
        assert registry.find("asked").status == "interrupted"
        assert_resumes_to(uninterrupted, seqvae)


@pytest.mark.row(24)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_within_a_destructor_ends_the_program_too(number: int, code: int) -> None:
    program = f"""
import signal, sys
from seqvae_cli.cli import app, boundary

class Dying:
    def __del__(self):
        signal.raise_signal({int(number)})

class Command:
    def make_context(self, *_):
        print("before", flush=False)
        dying = Dying()
        del dying
        print("after")

app.program = Command
sys.exit(boundary.main(["sample"]))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (code, "before\n")
    assert ended.stderr.splitlines() == ["error: stopped by SIGTERM" if code == 143 else "error: interrupted"]


MOMENTS = [
    *(("start", delay) for delay in range(0, 2500, 125 if FULL else 1250)),
    *(("answer", delay) for delay in ((0, 50, 100, 200, 400) if FULL else (100,))),
]
"""Milliseconds after the program began, or after it gave its answer and only the interpreter's end is left."""


@pytest.mark.row(24)
@pytest.mark.usefixtures("trained_home")
@pytest.mark.parametrize(("since", "delay"), MOMENTS)
def test_ctrl_c_at_any_moment_of_a_command_shows_no_traceback(since: str, delay: int) -> None:
    module, function = tomllib.loads(PROJECT.read_text())["project"]["scripts"]["seqvae"].split(":")
    # As the console script does it; but until Python itself has started, it has a traceback of its own for Ctrl-C.
    program = (
        f"import os, sys\nfrom {module} import {function} as main\n"
        "os.write(2, b'late' if 'typer' in sys.modules else b'.')\nsys.exit(main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "sample", "tiny-run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=usual_signals,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.read(1) == b".", "what is slow is imported where Ctrl-C still shows a traceback"
        if since == "answer":
            process.stdout.read(1)
        time.sleep(0.005 + delay / 1000)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    lines = [line for line in told.splitlines() if b"cut at 100 tokens" not in line and b"raise --max-len" not in line]
    assert lines in ([], [b"error: interrupted"]), told.decode()
    assert process.returncode in (0, 130, -signal.SIGINT)
    still_loads(registry.find("tiny-run"))


@pytest.mark.row(24)
@pytest.mark.usefixtures("trained_home")
def test_under_nohup_a_training_outlives_its_terminal(seqvae: Seqvae) -> None:
    over = threading.Event()

    def hang_up() -> None:
        while not over.wait(0.02):
            os.kill(os.getpid(), signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which is what nohup does
    thread = threading.Thread(target=hang_up)
    thread.start()
    try:
        answer = seqvae("train", "--data", "tiny", *SMALL, "--name", "kept", "-q")
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGHUP, before)
    assert answer.code == 0
    assert "stopping" not in answer.err
    assert registry.find("kept").status == "finished"
    still_loads(registry.find("kept"))


bash = pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")


def piped(program: list[str], tail: str, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """`program arguments | tail`, its exit code that of the part that failed."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{shlex.join([*program, *arguments])} | {tail}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"SEQVAE_HOME": str(home), "OMP_NUM_THREADS": "1"},
    )


@bash
@pytest.mark.row(25)
@pytest.mark.parametrize("seed", tries(20, 1))
def test_sample_ends_quietly_when_head_has_enough(
    trained_home: Path, seqvae: Seqvae, forked: Preloaded, seed: int
) -> None:
    done = piped(
        [str(forked.programs / "seqvae")],
        "head -1",
        "sample",
        "tiny-run",
        "-n",
        "100000",
        "--seed",
        str(seed),
        home=trained_home,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == seqvae("sample", "tiny-run", "-n", "1", "--seed", str(seed)).out


@bash
@pytest.mark.row(25)
def test_encode_ends_quietly_when_head_has_enough(trained_home: Path, forked: Preloaded, tmp_path: Path) -> None:
    text = tmp_path / "many.txt"
    text.write_text("\n".join(tiny_text() * 200) + "\n")
    done = piped([str(forked.programs / "seqvae")], "head -1", "encode", str(text), home=trained_home)
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == tiny_text()[:1]


@bash
@pytest.mark.row(25)
@pytest.mark.parametrize(("tail", "lines"), [("head -1", 1), ("true", 0)])
def test_the_list_of_runs_ends_quietly_whoever_reads_it(trained_home: Path, tail: str, lines: int) -> None:
    done = piped(command(), tail, "runs", "list", home=trained_home)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == lines

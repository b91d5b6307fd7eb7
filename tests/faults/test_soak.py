"""The soak: a training on toy that is killed every few seconds and resumed, while the registry is listed all along."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seqvae_cli import api
from seqvae_cli.runs import registry
from tests.faults.matrix import FULL, command, seqvae_process, wait_for
from tests.trainings import assert_same_run

SECONDS = 30 * 60
TRAIN = ["--data", "toy", "--batch-size", "16", "--hidden-size", "64", "--embed-size", "32", "--latent-size", "8"]
TRAIN += ["--patience", "0", "--threads", "1", "--set", "train.save_every=0.01", "--set", "train.early_stop=0"]
# Nothing that depends on how many epochs there will be: that is not known before the end.
TRAIN += ["--lr-schedule", "plateau", "--pretrain", "0", "--kl-schedule", "none", "--no-adapt"]
ENDLESS = ["--epochs", "100000"]


def resident(pid: int) -> int:
    """Bytes of memory that a process has in use; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command("train", *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def assert_listed(names: set[str]) -> None:
    good, bad = registry.runs()
    assert bad == []
    assert {run.name for run in good} == names


def is_flat(sizes: list[int]) -> bool:
    """The last third takes no more than a tenth above the first."""
    third = len(sizes) // 3
    return statistics.median(sizes[-third:]) <= 1.1 * statistics.median(sizes[:third])


@pytest.mark.row("soak")
@pytest.mark.skipif(not FULL, reason="half an hour: make faults")
def test_a_training_that_is_killed_for_half_an_hour_ends_as_if_nothing_had_been(
    tiny_home: Path, home: Path, count_tries: Callable[[int], None]
) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to see the memory of a process")
    shutil.copytree(tiny_home, home)
    assert seqvae_process("prepare", "toy", "--sentences", "2000").returncode == 0
    moments = random.Random(0)
    sizes, listers, kills = [], [resident(os.getpid())], 0
    end = time.monotonic() + SECONDS
    process = start("--name", "soaked", *TRAIN, *ENDLESS)
    wait_for(lambda: bool((home / "runs" / "soaked").exists()))
    while time.monotonic() < end:
        stop = time.monotonic() + moments.uniform(2, 7)
        while time.monotonic() < stop:
            assert_listed({"tiny-run", "soaked"})
            assert process.poll() is None
            time.sleep(0.02)
        sizes.append(resident(process.pid))
        listers.append(resident(os.getpid()))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        kills += 1
        if kills % 20 == 1:
            lines = seqvae_process("runs", "list", "--json").stdout.splitlines()
            assert {json.loads(line)["run"] for line in lines} == {"tiny-run", "soaked"}
        process = start("--resume", "auto")
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    epochs = str(int(registry.find("soaked").info.get("epoch") or 0) + 1)
    assert seqvae_process("train", "--resume", "soaked", "--epochs", epochs).returncode == 0
    quiet_sizes = []
    quiet = start("--name", "quiet", *TRAIN, "--epochs", epochs)
    while quiet.poll() is None:
        quiet_sizes.append(resident(quiet.pid))
        time.sleep(0.1)
    assert quiet.returncode == 0
    assert_same_run(registry.find("quiet"), registry.find("soaked"))
    assert api.load("soaked").step == api.load("quiet").step
    assert is_flat([size for size in sizes if size])
    assert is_flat([size for size in quiet_sizes if size][50:])
    assert is_flat(listers)
    count_tries(kills)

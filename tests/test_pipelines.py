"""Every block of examples/pipelines.md runs as it stands, in its order, with what it left for the next."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.preloaded import Preloaded

PAGE = Path(__file__).parent.parent / "examples" / "pipelines.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

PROMISED: dict[str, Callable[[list[str]], bool]] = {
    "uniq -c | sort": lambda lines: all(int(line.split()[0]) > 0 for line in lines),
    "outliers": lambda lines: float(lines[1].split("\t")[0]) <= float(lines[-1].split("\t")[0]),
    "diff back.txt": lambda lines: "the same" in lines,
    "mean.npy": lambda lines: len(lines) == 1,
    "uniq -c\n": lambda lines: sum(int(line.split()[0]) for line in lines) == 21,
    "1000000": lambda lines: len(lines) == 3,
    "runs best": lambda lines: float(lines[0]) > 1 and "run.json" in lines,
}
"""What a block prints, by something that it alone has in it."""


@pytest.mark.skipif(not shutil.which("bash"), reason="the pipelines are written for bash")
def test_every_pipeline_runs(trained_home: Path, forked: Preloaded, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "seqvae").symlink_to(forked.programs / "seqvae")
    python = programs / "python3"  # no link: it would not know of the packages of its environment
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "here").mkdir()
    run_blocks(trained_home, tmp_path / "here", programs)


def run_blocks(home: Path, folder: Path, programs: Path) -> None:
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "SEQVAE_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }
    assert len(BLOCKS) >= 10
    kept, left_out = set(PROMISED), 0
    for block in BLOCKS:
        if "jq" in block and not shutil.which("jq"):
            kept -= {part for part in kept if part in block}
            left_out += 1
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], cwd=folder, env=environment, capture_output=True, text=True
        )
        # `head` and `grep -m` leave early: what feeds them may be ended by the closed pipe.
        assert done.returncode in (0, 141), block + done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout, block
        for part in [part for part in kept if part in block]:
            assert PROMISED[part](done.stdout.splitlines()), block + done.stdout
            kept.discard(part)
    assert not kept
    if left_out:
        pytest.skip(f"jq is missing: {left_out} of {len(BLOCKS)} pipelines were not run")

"""The benchmark of a GPU writes down what fails, and goes on."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from benchmarks import gpu, steps
from benchmarks.measure import Result


@pytest.fixture
def bench(tmp_path: Path) -> gpu.Benchmark:
    options = {"device": "cpu", "data": "", "minutes": 1, "quick": True, "output": tmp_path / "gpu.json"}
    return gpu.Benchmark(argparse.Namespace(**options), tmp_path)


def test_a_failing_stage_is_written_down_and_the_next_ones_run(
    bench: gpu.Benchmark, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> Result:
        bench.seqvae("train", "--data", "nothing")
        return {}

    bench.stage("train", fails)
    bench.stage("evaluate", bench.evaluate)
    bench.stage("sample", lambda: {"sentences_per_second": 1234.4})
    report = json.loads(bench.arguments.output.read_text())
    assert "nothing" in report["stages"]["train"]["error"]
    assert "the training left no run" in report["stages"]["evaluate"]["error"]
    assert "error" not in report["stages"]["sample"]
    assert {"gpu", "torch", "python", "driver", "seqvae"} <= report["machine"].keys()
    assert {"date", "command", "device"} <= report.keys()
    bench.table()
    table = capsys.readouterr().out
    assert "1,234 sentences/s" in table
    assert "failed" in table
    assert max(map(len, table.splitlines())) <= 80


def test_a_command_that_takes_too_long_is_a_failure(bench: gpu.Benchmark) -> None:
    with pytest.raises(gpu.StageError, match="stopped after"):
        bench.call("sleep", "60", seconds=0.1)


def test_the_busy_time_of_a_device_counts_overlapping_kernels_once() -> None:
    assert steps.covered([(0, 2), (1, 3), (1, 2), (5, 6), (6, 7)]) == 5
    assert steps.covered([]) == 0

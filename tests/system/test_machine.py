"""What a report says of a machine, and the problems it finds."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import measure
from seqvae_cli.errors import MachineError
from seqvae_cli.system import cores, files, machine, runtime, speed


def test_the_benchmarks_belong_to_the_machine_of_the_report() -> None:
    found = measure.machine()
    assert found == machine.identity()
    assert found["torch"] == torch.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["processor"] == machine.devices()[0]["model"]


def test_extras_are_those_of_users_with_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    required = [
        "torch>=2.10",
        'numpy>=1; extra == "plot"',
        'no-such-package>=1; extra == "plot"',
        'no-such-package; python_version < "3.11" and extra == "old"',
        'pytest>=8; extra == "test"',
        'mkdocs>=1; extra == "docs"',
        'seqvae[test]; extra == "dev"',
    ]
    monkeypatch.setattr(machine.metadata, "requires", lambda _: required)
    assert machine.extras() == {"plot": {"numpy": machine.version("numpy"), "no-such-package": None}}

    def absent(name: str) -> list[str]:
        raise machine.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(machine.metadata, "requires", absent)
    assert machine.extras() == {}


def test_variables_are_those_that_matter_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEQVAE_TOKEN", "TORCH_API_KEY", "HTTPS_PROXY", "HOSTNAME"):
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("GOMP_SPINCOUNT", "2000")
    found = machine.environment({"GOMP_SPINCOUNT": "2000", "OMP_NUM_THREADS": "1"})
    assert found["OMP_NUM_THREADS"] == "3"
    assert "SEQVAE_HOME" in found
    assert "GOMP_SPINCOUNT" not in found
    assert "hidden" not in found.values()


def test_a_home_is_tried_without_a_trace(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, problems = machine.home()
    assert (found["exists"], found["usable"], problems) == (False, True, [])
    assert not home.exists()
    home.mkdir()
    found, problems = machine.home()
    assert (found["path"], found["exists"], found["usable"], problems) == (str(home), True, True, [])
    assert list(home.iterdir()) == []

    def full(path: Path, data: bytes) -> str:
        raise MachineError(f"{path}: No space left on device for {len(data)} bytes")

    monkeypatch.setattr(files, "write", full)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - 10**6, 10**6))
    found, problems = machine.home()
    assert not found["usable"]
    assert ["No space left" in problem.problem for problem in problems] == [True, False]
    assert problems[1].problem == "the disk of the home has 1 MB left"
    assert list(home.iterdir()) == []


def test_a_home_in_a_closed_folder_is_a_problem(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.is_dir

    def is_dir(path: Path) -> bool:
        if path.is_relative_to(home):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    monkeypatch.setattr(os, "access", lambda *_: False)
    found, (problem,) = machine.home()
    assert (found["exists"], found["usable"]) == (False, False)
    assert problem.problem == f"the home cannot be used: {home.parent} cannot be written to"


def test_a_home_that_is_a_file_is_a_problem(home: Path) -> None:
    home.write_text("")
    found, (problem,) = machine.home()
    assert found == {"path": str(home)}
    assert "which is not a folder" in problem.problem
    assert problem.advice


def test_a_gpu_that_torch_cannot_use_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "DRIVER", tmp_path / "version")
    assert machine.gpu_problems() == []
    (tmp_path / "version").touch()
    for cuda, said in ((None, "is built without CUDA"), ("12.8", "finds no GPU")):
        monkeypatch.setattr(torch.version, "cuda", cuda)
        (problem,) = machine.gpu_problems()
        assert said in problem.problem


@pytest.mark.parametrize(
    ("precision", "bfloat16", "bad"),
    [("bfloat16", 50.0, True), ("bfloat16", 200.0, False), ("float32", 50.0, False), ("bfloat16", None, False)],
)
def test_a_default_that_is_slow_is_a_problem(precision: str, bfloat16: float | None, bad: bool) -> None:
    device: dict[str, Any] = {"name": "cpu", "precision": precision, "float32": 100.0, "bfloat16": bfloat16}
    assert bool(machine.speed_problems([device])) == bad


def test_speed_is_measured_within_its_time_and_types_may_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    took: list[int] = []

    def product(left: torch.Tensor, right: torch.Tensor) -> float:
        took.append(len(left))
        return len(right) ** 3 * 1e-9  # 2 GFLOP/s

    assert (speed.gflops(torch.device("cpu"), torch.float32, 0.001) or 0) > 0
    assert speed.gflops(torch.device("cpu"), torch.bool, 0.001) is None
    monkeypatch.setattr(speed, "_product", product)
    assert speed.gflops(torch.device("cpu"), torch.float32, 0.0) == pytest.approx(2.0)
    assert max(took) == 256, "the next size would take eight times the seconds"


def test_cores_are_those_of_the_process() -> None:
    assert runtime.usable_cores() >= 1
    assert machine.memory() is None or (machine.memory() or 0) > 10**8


def test_memory_is_that_of_the_job_where_it_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job" / "step").mkdir(parents=True)
    (tmp_path / "job" / "memory.max").write_text("123456789\n")
    (tmp_path / "job" / "step" / "memory.max").write_text("max\n")
    (tmp_path / "own").write_text("0::/job/step\n")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN_CGROUP", tmp_path / "own")
    assert machine.memory() == 123456789

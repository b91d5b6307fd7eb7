"""`seqvae doctor`: the machine, for a report of a fault."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import asdict
from typing import Any

import typer

from seqvae_cli.cli import display, progress, sparklines
from seqvae_cli.cli.options import Json

app = typer.Typer()


@app.command()
def doctor(json: Json = False) -> None:
    """Show versions, devices, speed, home and terminal: what to paste into a report. Changes nothing.

    A problem that it finds is a warning with what to do; the exit code stays 0. `seqvae runs doctor` checks runs. The
    speed is that of the fastest product of two matrices within a fraction of a second, in 10^9 operations a second.

    Examples:

        seqvae doctor
        seqvae doctor --json | jq .devices
    """
    with progress.working("loading PyTorch, measuring its speed"):
        report, problems = _report()
    if json:
        display.out_json(report | {"problems": [asdict(problem) for problem in problems]})
    else:
        display.table("", ["", "value"], _rows(report))
    for problem in problems:
        display.warn(problem.problem, problem.advice)


def _report() -> tuple[dict[str, Any], list[Any]]:
    """All that is shown, by section, and the problems."""
    import torch

    from seqvae_cli.cli.boundary import ENVIRONMENT
    from seqvae_cli.system import cores, machine, runtime, speed
    from seqvae_cli.version import __version__

    threads = {"default": runtime.set_threads(0), "usable_cores": cores.usable_cores(), "cores": os.cpu_count()}
    devices = machine.devices()
    for device in devices:
        for precision in (torch.float32, torch.bfloat16):
            device[runtime.precision_name(precision)] = speed.gflops(torch.device(device["name"]), precision)
    home, problems = machine.home()
    report = {
        "versions": {"seqvae": __version__, "python": platform.python_version()}
        | {name: machine.version(name) for name in ("torch", "numpy", "safetensors", "pydantic", "typer", "rich")},
        "extras": machine.extras(),
        "system": {
            "platform": platform.platform(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "units": machine.units(),
            "cuda": torch.version.cuda,
        },
        "threads": threads,
        "devices": devices,
        "home": home,
        "terminal": _terminal(),
        "environment": machine.environment(ENVIRONMENT),
    }
    return report, problems + machine.gpu_problems() + machine.speed_problems(devices)


def _terminal() -> dict[str, Any]:
    size = shutil.get_terminal_size()
    streams = {"stdin": sys.stdin, "stdout": sys.stdout, "stderr": sys.stderr}
    encoding = sys.stdout.encoding or "ascii"
    return {
        "terminals": [name for name, stream in streams.items() if stream.isatty()],
        "columns": size.columns,
        "lines": size.lines,
        "colors": display.console(sys.stdout).color_system,
        "encoding": encoding,
        "unicode": sparklines.is_drawable(encoding),
    }


def _rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The report as names and values."""
    system, threads, home, terminal = (report[name] for name in ("system", "threads", "home", "terminal"))
    rows = [(name, version or "missing") for name, version in report["versions"].items()]
    for extra, packages in report["extras"].items():
        missing = any(version is None for version in packages.values())
        found = ", ".join(f"{name} {version or 'missing'}" for name, version in packages.items())
        rows.append((f"extra {extra}", found + (f': pip install "seqvae[{extra}]"' if missing else "")))
    rows += [
        ("system", system["platform"]),
        ("CUDA of torch", system["cuda"] or "none"),
        ("instructions", ", ".join([system["instructions"], *system["units"]])),
        ("threads", f"{threads['default']} by default; {threads['usable_cores']} of {threads['cores']} cores usable"),
    ]
    for device in report["devices"]:
        rows.append((f"device {device['name']}", f"{device['model']}, {_size(device['memory'])}"))
        for precision in ("float32", "bfloat16"):
            value = device[precision]
            shown = "not possible" if value is None else f"{value:,.1f} GFLOP/s"
            rows.append((f"  {precision}", shown + (", the default" if device["precision"] == precision else "")))
    state = "usable" if home.get("usable") else "not usable"
    rows += [
        ("home", home["path"]),
        ("  state", state if home.get("exists") else f"not there yet, {state}"),
        ("  free", f"{_size(home.get('free'))} of {_size(home.get('size'))}"),
        ("terminal", ", ".join(terminal["terminals"]) or "none: pipes or files"),
        ("  size", f"{terminal['columns']} x {terminal['lines']}"),
        ("  colours", terminal["colors"] or "none"),
        ("  encoding", terminal["encoding"] + ("" if terminal["unicode"] else ", without block characters")),
    ]
    return rows + [(f"${name}", value) for name, value in report["environment"].items()]


def _size(size: int | None) -> str:
    return "unknown" if size is None else display.quantity(size, "bytes")

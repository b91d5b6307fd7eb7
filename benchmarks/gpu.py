"""What a GPU does with seqvae, in one go: tests, training, evaluation, sampling, the time of a step and its profile.

python -m benchmarks.gpu --data FOLDER             on the Penn Treebank, whose files FOLDER has
python -m benchmarks.gpu --device cpu --quick      in about a minute, to see that it runs

A stage that fails is written down, and the next ones run. Where 30 epochs do not fit into the time (--minutes), the
training is started anew with fewer.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import PROGRAM, Result

MEASURED_EPOCHS = 3
"""Epochs after which it shows whether the rest fit into the time; the first of them records graphs."""

RESERVE = 0.35
"""Share of the time that evaluation and sampling may need after the training."""

TESTS = 0.4
"""Share of the time that the tests may take."""


@dataclass(frozen=True)
class Sizes:
    """How much each stage does."""

    epochs: int = 30
    samples: int = 500
    """K of the importance-weighted bound."""
    sentences: int = 10_000
    """Draws from the prior."""
    steps: int = 500
    toy: int = 20_000
    """Training sentences of toy, which takes the place of the Penn Treebank."""


QUICK = Sizes(epochs=2, samples=2, sentences=100, steps=10, toy=400)


class StageError(Exception):
    """A stage failed; the message is its last line of stderr."""


class Benchmark:
    """The stages, in their order, and what they found."""

    def __init__(self, arguments: argparse.Namespace, home: Path | None) -> None:
        self.arguments, self.home = arguments, home
        self.sizes = QUICK if arguments.quick else Sizes()
        self.start = time.monotonic()
        self.seconds = 60 * float(arguments.minutes)
        self.environment = os.environ | ({"SEQVAE_HOME": str(home)} if home else {})
        self.corpus, self.run = "toy", ""
        self.notes: list[str] = []
        self.stages: dict[str, Result] = {}

    def left(self, share: float = 1.0) -> float:
        """Seconds until a share of the time is over; at least some, so that a late stage says what it can."""
        return max(20.0, self.start + share * self.seconds - time.monotonic())

    def note(self, text: str) -> None:
        self.notes.append(text)
        print(text, file=sys.stderr, flush=True)

    def stage(self, name: str, action: Callable[[], Result]) -> None:
        """Runs one stage and writes the report; a failure is a result, too."""
        print(f"{name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            found = action()
        except (StageError, OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
            found = {"error": f"{type(error).__name__}: {error}"}
            self.note(f"{name} failed: {error}")
        self.stages[name] = {"took": time.monotonic() - began} | found
        self.write()

    def call(self, *command: str, seconds: float) -> str:
        """What a command prints. Raises `StageError` where it fails, or takes longer than `seconds`."""
        try:
            done = subprocess.run(
                command, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise StageError(f"stopped after {seconds:.0f} s") from error
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
            raise StageError(lines[-1])
        return done.stdout

    def seqvae(self, *arguments: object) -> str:
        return self.call(*PROGRAM, *map(str, arguments), seconds=self.left())

    # --- the stages

    def tests(self) -> Result:
        """`pytest -m cuda`, or on another device the same tests there."""
        folder = Path(__file__).parents[1]
        report = Path(self.environment.get("TMPDIR", tempfile.gettempdir())) / f"seqvae-tests-{os.getpid()}.txt"
        marker = "cuda" if self.arguments.device.startswith("cuda") else "not cuda"
        # Other plugins that the machine has may warn, and a warning is an error.
        several = ["-p", "xdist", "-n", str(min(8, os.cpu_count() or 1))] if importlib.util.find_spec("xdist") else []
        environment = self.environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        command = [sys.executable, "-m", "pytest", str(folder / "tests/devices/test_device.py"), "-m", marker, "-q"]
        with open(report, "w+") as file:
            try:
                subprocess.run(
                    [*command, *several],
                    cwd=folder,
                    env=environment,
                    stdout=file,
                    stderr=file,
                    timeout=self.left(TESTS),
                    check=False,
                )
            finally:
                file.seek(0)
                lines = file.read().splitlines()
                report.unlink()
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        result = {"summary": lines[-1].strip("= ") if lines else "nothing was printed", "failed": failed}
        return result | ({"error": result["summary"]} if failed or "passed" not in result["summary"] else {})

    def prepare(self) -> Result:
        data = self.arguments.data
        if not data:
            self.note("the corpus is toy: --data names no folder of the Penn Treebank")
            self.seqvae("prepare", "toy", "--sentences", self.sizes.toy)
        elif Path(data).is_dir():
            self.corpus = "ptb"
            self.seqvae("prepare", "ptb", "--from", data)
        else:
            self.corpus = data
        return {"corpus": self.corpus}

    def steps(self) -> Result:
        """Training steps as CUDA graphs, and operation by operation."""
        options = ["--corpus", self.corpus, "--device", self.arguments.device, "--steps"]
        command = [sys.executable, "-m", "benchmarks.steps", *options]
        found: list[Result] = [
            json.loads(self.call(*command, *map(str, more), seconds=self.left()).splitlines()[-1])
            for more in ([self.sizes.steps], [max(1, self.sizes.steps // 10), "--set", "runtime.graphs=false"])
        ]
        return found[0] | {"milliseconds_one_by_one": found[1]["milliseconds_per_step"]}

    def begin(self) -> Result:
        """The seconds from the prompt: torch on the device alone, and a sentence sampled."""
        code = f"import torch; torch.zeros(1, device={self.arguments.device!r})"
        alone = measure.seconds(lambda: self.call(sys.executable, "-c", code, seconds=self.left()))
        options = ["-n", 1, "--device", self.arguments.device]
        return {
            "torch": alone,
            "sentence": measure.seconds(lambda: self.seqvae("sample", self.trained_run(), *options)),
        }

    def train(self) -> Result:
        """The default preset; with fewer epochs where the first ones show that the time does not suffice."""
        name, epochs = f"gpu-{datetime.now(UTC):%Y%m%d-%H%M%S}", self.sizes.epochs
        began = time.monotonic()
        fitting = self.trained(name, epochs, measured=MEASURED_EPOCHS if epochs > MEASURED_EPOCHS else None)
        if fitting is not None:
            self.note(f"the training has {fitting} epochs, not {epochs}: the rest would not fit into the time")
            name, epochs, began = f"{name}-short", fitting, time.monotonic()
            self.trained(name, epochs, measured=None)
        took = time.monotonic() - began
        self.run, lines = name, self.epochs_of(name)
        if len(lines) < epochs:
            self.note(f"the training was stopped after {len(lines)} of {epochs} epochs")
        best = min(lines, key=lambda line: float(line["neg_elbo"]))
        speeds = [{"speed": line["tokens_per_second"]} for line in lines]
        return {
            "command": shlex.join(["seqvae", *self.training(name, epochs)]),
            "epochs": len(lines),
            "seconds": took,
            "seconds_per_epoch": took / len(lines),
            "tokens_per_second": measure.median(speeds, "speed"),
            "validation_neg_elbo": best["neg_elbo"],
        }

    def training(self, name: str, epochs: int) -> list[str]:
        options = ["--preset", "default", "--device", self.arguments.device, "--epochs", str(epochs), "--quiet"]
        return ["train", "--data", self.corpus, "--name", name, *options]

    def trained(self, name: str, epochs: int, *, measured: int | None) -> int | None:
        """Trains to the end, or until the time is over.

        After `measured` epochs it ends where the rest would not fit, and returns how many would.
        """
        began = time.monotonic()
        deadline = began + self.left(1 - RESERVE)
        seen: list[float] = []
        with tempfile.TemporaryFile("w+") as errors:
            command = [*PROGRAM, *self.training(name, epochs)]
            with subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=errors) as process:
                fitting = None
                while process.poll() is None:
                    time.sleep(0.05)
                    now = time.monotonic()
                    seen += [now] * (len(self.epochs_of(name)) - len(seen))
                    if measured and len(seen) >= measured:
                        each = seen[measured - 1] - seen[measured - 2]
                        measured = None
                        if now + each * (epochs - len(seen)) > deadline:
                            # Started anew: the phases of a training depend on its number of epochs.
                            preparation = seen[0] - began - each
                            fitting = max(2, int((deadline - now - preparation) / (1.1 * each)))
                            break
                    if now > deadline:
                        break
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)  # saves and ends
            errors.seek(0)
            if not self.epochs_of(name):
                raise StageError((errors.read().strip() or f"exit code {process.returncode}").splitlines()[-1])
        return fitting

    def epochs_of(self, name: str) -> list[dict[str, Any]]:
        """The metrics of a run so far: one line an epoch."""
        from seqvae_cli.system import places

        try:
            text = (places.runs() / name / "metrics.jsonl").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines()]

    def evaluate(self) -> Result:
        options = ["--samples", self.sizes.samples, "--device", self.arguments.device, "--json"]
        began = time.monotonic()
        figures: Result = json.loads(self.seqvae("eval", self.trained_run(), *options))
        return figures | {"seconds": time.monotonic() - began}

    def sample(self) -> Result:
        options = ["-n", self.sizes.sentences, "--device", self.arguments.device, "--batch-size", 2500]
        began = time.monotonic()
        sentences = self.seqvae("sample", self.trained_run(), *options).splitlines()
        took = time.monotonic() - began
        return {"sentences": len(sentences), "seconds": took, "sentences_per_second": len(sentences) / took}

    def trained_run(self) -> str:
        if not self.run:
            raise StageError("the training left no run")
        return self.run

    # --- the report

    def write(self) -> None:
        report = {
            "machine": measure.machine() | {"driver": driver()},
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "command": shlex.join(["python", "-m", "benchmarks.gpu", *sys.argv[1:]]),
            "device": self.arguments.device,
            "seconds": time.monotonic() - self.start,
            "notes": self.notes,
            "stages": self.stages,
        }
        self.arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    def rows(self) -> list[tuple[str, str]]:
        """The table: what was measured, and the figure."""
        forms: dict[str, tuple[tuple[str, str, str], ...]] = {
            "tests": (("tests", "summary", "{}"),),
            "steps": (
                ("a training step", "milliseconds_per_step", "{:.2f} ms"),
                ("  operation by operation", "milliseconds_one_by_one", "{:.2f} ms"),
                ("training steps", "tokens_per_second", "{:,.0f} tokens/s"),
                ("the device idles", "idle_share", "{:.0%} of a step"),
            ),
            "train": (
                ("training", "epochs", "{} epochs"),
                ("an epoch, with its validation", "seconds_per_epoch", "{:.1f} s"),
                ("training", "tokens_per_second", "{:,.0f} tokens/s"),
                ("validation -ELBO", "validation_neg_elbo", "{:.2f} nats"),
            ),
            "evaluate": (
                ("IW NLL", "iw_nll", "{:.2f} nats"),
                ("IW perplexity", "iw_ppl", "{:.2f}"),
                ("eval", "seconds", "{:.1f} s"),
            ),
            "sample": (("sample", "sentences_per_second", "{:,.0f} sentences/s"),),
            "begin": (("torch alone", "torch", "{:.1f} s"), ("one sentence", "sentence", "{:.1f} s")),
        }
        found = [("corpus", self.corpus)]
        for stage, figures in forms.items():
            result = self.stages.get(stage, {})
            if "error" in result:
                found.append((stage, f"failed: {result['error']}"))
            found += [(label, form.format(result[key])) for label, key, form in figures if result.get(key) is not None]
        operations = self.stages.get("steps", {}).get("operations", [])
        found += [(f"  {one['name'][:44]}", f"{one['milliseconds']:.3f} ms a step") for one in operations]
        return found

    def table(self) -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table("what", "figure")
        for row in self.rows():
            table.add_row(*row)
        Console(width=None if sys.stdout.isatty() else 80).print(table)
        for note in self.notes:
            print(note)


def driver() -> str | None:
    """The version of the GPU's driver; None where there is none."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().partition("\n")[0] or None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", default="", help="a folder with the Penn Treebank's files, or a prepared corpus")
    parser.add_argument("--minutes", type=float, default=8, help="the time that all stages have")
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/gpu.json"))
    arguments = parser.parse_args()
    named = arguments.data and not Path(arguments.data).is_dir()  # a corpus in the user's own home
    with tempfile.TemporaryDirectory() as folder:
        if not named:
            os.environ["SEQVAE_HOME"] = folder
        bench = Benchmark(arguments, None if named else Path(folder))
        for name in ("tests", "prepare", "steps", "train", "evaluate", "sample", "begin"):
            bench.stage(name, getattr(bench, name))
    bench.table()
    print(f"written: {arguments.output}", file=sys.stderr)
    if any("error" in result for result in bench.stages.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

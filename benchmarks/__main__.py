"""Every benchmark and its comparison, measured in turn; a table, and JSON with an entry for each kind of machine.

make bench                                   on the built-in corpus
make bench BENCH="--ptb DIR --full"          on the Penn Treebank in DIR, and with texts of 100 million words
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import measure, preparing
from benchmarks.measure import Result, median, paired, run


@dataclass
class Row:
    subject: str
    ours: str
    compared: str
    value: float
    unit: str
    target: str


class Bench:
    def __init__(self, arguments: argparse.Namespace, corpus: str, model: str) -> None:
        self.arguments, self.corpus, self.model = arguments, corpus, model
        self.rows: list[Row] = []
        self.raw: dict[str, Any] = {}

    def measurement(self, module: str, way: str, *rest: object) -> tuple[str, Any]:
        common = ("--corpus", self.corpus, "--run", self.model, "--threads", self.arguments.threads)
        named = ["FOLDER" if one == self.arguments.ptb else str(one) for one in rest]  # no folder of this machine
        return " ".join([module, way, *named]), lambda: run(module, "--way", way, *common, *rest)

    def add(self, subject: str, ours: str, compared: str, value: float, unit: str, target: str) -> None:
        self.rows.append(Row(subject, ours, compared, value, unit, target))
        row = self.rows[-1]
        print(f"{row.subject}: {row.ours}; {row.compared}; {row.value:.3g} {row.unit}", file=sys.stderr, flush=True)

    def pairs(self, *measurements: tuple[str, Any]) -> list[list[Result]]:
        results = paired(self.arguments.rounds, measurements)
        self.raw |= results
        return list(results.values())

    def hardware(self) -> None:
        (found,) = self.pairs(self.measurement("hardware", "ours"))
        for key, subject, unit in (
            ("float32_gflops", "matrix products, float32", "GFLOP/s"),
            ("bfloat16_gflops", "matrix products, bfloat16", "GFLOP/s"),
            ("copy_gigabytes_per_second", "memory, read and written by a copy", "GB/s"),
        ):
            value = median(found, key)
            self.add(subject, f"{value:,.0f} {unit}", "", value, unit, "")

    def training(self) -> float:
        """Our steps at the sizes of the reference, beside its two ways; returns our tokens a second in float32."""
        steps = self.arguments.steps
        float32 = ("--precision", "float32", "--steps", steps)
        ours, naive, plain = self.pairs(
            self.measurement("training", "ours", *float32),
            self.measurement("training", "naive", "--steps", max(1, steps // 3)),
            self.measurement("training", "plain", "--steps", steps),
        )
        speeds = [median(results, "tokens_per_second") for results in (ours, naive, plain)]
        shown = [f"{speed:,.0f} tokens/s" for speed in speeds]
        self.add("training, batch 32, float32", shown[0], f"naive {shown[1]}", speeds[0] / speeds[1], "x", "4.5 x")
        self.add("training, batch 32, float32", shown[0], f"plain {shown[2]}", speeds[0] / speeds[2], "x", "")
        return speeds[0]

    def ceilings(self) -> None:
        """Our steps beside their own products and LSTM layers: the share of what the machine could do at most."""
        import torch

        from seqvae_cli.system.runtime import precision_name, resolve_precision

        precisions = ["float32"]
        if (fastest := precision_name(resolve_precision("auto", torch.device("cpu")))) != "float32":
            precisions.append(fastest)
        for preset, size in (("seed", 32), ("seed", 128), ("default", 32), ("large", 32)):
            steps = max(1, self.arguments.steps * 32 // size // (1 if preset == "seed" else 2))
            for precision in precisions:
                same = ("--preset", preset, "--batch-size", size, "--precision", precision, "--steps", steps)
                ways = [self.measurement("training", way, *same) for way in ("ours", "ceiling")]
                ours, most = self.pairs(*ways)
                speeds = [median(results, "tokens_per_second") for results in (ours, most)]
                rate = median(most, "products_gflop_per_second")
                self.add(
                    f"preset {preset}, batch {size}, {precision}",
                    f"{speeds[0]:,.0f} tokens/s",
                    f"ceiling {speeds[1]:,.0f} (products at {rate:.0f} GFLOP/s)",
                    100 * speeds[0] / speeds[1],
                    "%",
                    "85 %" if preset == "seed" else "",
                )

    def sampling(self) -> None:
        ours, single = self.pairs(self.measurement("sampling", "ours"), self.measurement("sampling", "single"))
        self.speed("sample, greedy, 10,000 sentences", ours, single, "50 x")

    def encoding(self) -> None:
        ours, single = self.pairs(self.measurement("encoding", "ours"), self.measurement("encoding", "single"))
        self.speed("encode, test split", ours, single, "30 x")

    def speed(self, subject: str, ours: list[Result], single: list[Result], target: str) -> None:
        fast, slow = (median(results, "sentences_per_second") for results in (ours, single))
        self.add(subject, f"{fast:,.0f} sentences/s", f"one at a time {slow:,.0f}", fast / slow, "x", target)

    def evaluation(self, training: float) -> None:
        (bound,) = self.pairs(self.measurement("evaluation", "ours"))
        speed = median(bound, "tokens_per_second")
        compared = f"training {training:,.0f}"
        self.add("IW bound, K = 500", f"{speed:,.0f} tokens/s", compared, speed / training, "x", "2.5 x")

    def preparing(self) -> None:
        if self.arguments.ptb:
            (ptb,) = self.pairs(self.measurement("preparing", "ours", "--ptb", self.arguments.ptb))
            seconds = median(ptb, "seconds")
            self.add("prepare ptb --from", f"{seconds:.2f} s", "", seconds, "s", "2.5 s")
        sizes = [1_000_000, 10_000_000] + [100_000_000] * self.arguments.full
        results = [self.measurement("preparing", "ours", "--words", size) for size in sizes]
        texts = [measurement() for _, measurement in results]
        self.raw |= {name: [text] for (name, _), text in zip(results, texts, strict=True)}
        for size, text in zip(sizes, texts, strict=True):
            each = text["seconds"] / size * 1e6
            compared = f"{each:.2f} s a million words"
            ours = f"{text['seconds']:.1f} s, {text['megabytes']:.0f} MB"
            self.add(f"prepare, {size / 1e6:,.0f} million words", ours, compared, text["megabytes"], "MB", "400 MB")

    def memory(self) -> None:
        """A text of 100 million words, prepared into the home and trained on for a while, beside the corpus at hand."""
        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder) / "large.txt"
            preparing.write(text, 100_000_000)
            measure.command([*measure.PROGRAM, "prepare", str(text), "--name", "large"])
        small, large = (
            run("memory", "--corpus", name, "--threads", self.arguments.threads) for name in ("toy", "large")
        )
        self.raw |= {"memory toy": [small], "memory large": [large]}
        shown = [f"{one['megabytes']:.0f} MB, start {one['start_seconds']:.1f} s" for one in (large, small)]
        ratio = large["megabytes"] / small["megabytes"]
        self.add("training on 100 million words", shown[0], f"on toy {shown[1]}", ratio, "x", "1.2 x")

    def startup(self) -> None:
        (start,) = self.pairs(self.measurement("startup", "ours"))
        for key, name, target in (
            ("help", "seqvae --help", "0.3 s"),
            ("runs_list", "runs list, 2,000 runs", "1 s"),
        ):
            seconds = median(start, key)
            self.add(name, f"{seconds:.2f} s", "", seconds, "s", target)

    def playing(self) -> None:
        (found,) = self.pairs(self.measurement("play", "ours"))
        cpu = {kind: f"{median(found, f'{kind}_cpu_ms'):.1f} ms of CPU" for kind in ("path", "slider")}
        for key, subject, compared, target in (
            ("page_ms", "playground, its page", "", "500 ms"),
            ("map_ms", "playground, first map", "", ""),
            ("path_p95_ms", "playground, path of 11 steps, p95", cpu["path"], "150 ms"),
            ("slider_p95_ms", "playground, slider, p95", cpu["slider"], "40 ms"),
        ):
            value = median(found, key)
            self.add(subject, f"{value:.1f} ms", compared, value, "ms", target)

    def table(self) -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table("what", "ours", "compared with", "figure", "target")
        for row in self.rows:
            table.add_row(row.subject, row.ours, row.compared, f"{row.value:.3g} {row.unit}", row.target)
        Console(width=None if sys.stdout.isatty() else 130).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ptb", default="", help="a folder with the Penn Treebank's files")
    parser.add_argument("--full", action="store_true", help="texts of 100 million words, too (some minutes)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way, in turn; the median counts")
    parser.add_argument("--steps", type=int, default=60, help="training steps a measurement")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: one a core")
    parser.add_argument("--home", default="", help="a home that has the corpus and a trained run already")
    parser.add_argument("--run", default="", help="that run")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEQVAE_HOME"] = arguments.home or folder
        corpus, model = ("ptb" if arguments.ptb else "toy"), arguments.run
        if not model:
            source = ["--from", arguments.ptb] if arguments.ptb else []
            measure.command([*measure.PROGRAM, "prepare", corpus, *source])
            model = "bench"
            settings = ["--preset", "seed", "--batch-size", "128", "--lr", "0.003", "--epochs", "1"]
            measure.command([*measure.PROGRAM, "train", "--data", corpus, "--name", model, *settings])
        bench = Bench(arguments, corpus, model)
        bench.hardware()
        speed = bench.training()
        bench.ceilings()
        bench.sampling()
        bench.encoding()
        bench.evaluation(speed)
        bench.startup()
        bench.playing()
        bench.preparing()
        if arguments.full:
            measure.command([*measure.PROGRAM, "prepare", "toy"])  # the same vocabulary as the large text's
            bench.memory()
    bench.table()
    kept = json.loads(arguments.output.read_text(encoding="utf-8")) if arguments.output.exists() else {}
    kept[measure.kind()] = {
        "machine": measure.machine(),
        "corpus": corpus,
        "rounds": arguments.rounds,
        "table": [asdict(row) for row in bench.rows],
        "measurements": bench.raw,
    }
    arguments.output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"written: {arguments.output}", file=sys.stderr)


if __name__ == "__main__":
    main()

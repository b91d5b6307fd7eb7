"""Start-up: seconds of `seqvae --help`, and of `runs list` over a registry of many runs; the fastest of several.

python -m benchmarks.startup --runs 2000
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from benchmarks import measure


def ours(arguments: argparse.Namespace) -> measure.Result:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        fill(home, arguments.runs)
        commands = {"help": ["--help"], "runs_list": ["runs", "list"]}
        return {"runs": arguments.runs} | {
            name: min(measure.command([*measure.PROGRAM, *rest], home)["seconds"] for _ in range(arguments.times))
            for name, rest in commands.items()
        }


def fill(home: Path, count: int) -> None:
    """Makes `count` finished runs of one epoch in `home`: one, and copies of it, which no disk has to confirm."""
    os.environ["SEQVAE_HOME"] = str(home)
    from seqvae_cli.config import layers
    from seqvae_cli.runs import registry
    from seqvae_cli.system import json_files

    settings = layers.dump(layers.resolve())
    corpus = {"name": "ptb", "folder": "ptb-0123456789ab", "hash": "0" * 64}
    run = registry.create("ptb", name="ptb-default-0", config=settings, tokenizer=b"{}", corpus=corpus)
    run.update(status="finished", epoch=1, epochs=1, best_epoch=1, best_neg_elbo=120.0)
    for number in range(1, count):
        copy = shutil.copytree(run.path, run.path.with_name(f"ptb-default-{number}"))
        info = dict(run.info) | {"best_neg_elbo": 120.0 + number % 7}
        (copy / "run.json").write_bytes(json_files.to_bytes(info, sealed=True))


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--times", type=int, default=5)


if __name__ == "__main__":
    measure.main(__doc__, {"ours": ours}, options)

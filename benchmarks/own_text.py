"""What the default preset does on one's own text: trained and evaluated beside its own language model, at many sizes.

python -m benchmarks.own_text toy reviews.txt german.txt:word names.txt:char       trains and evaluates what is missing
python -m benchmarks.own_text --sizes 300,3000 --seed 1 german.txt:word            other sizes, another seed
python -m benchmarks.own_text --table                                              the matrix of docs/results.md

A text has one sentence a line; after the colon stands a tokenizer. Its lines are shuffled once; the first N of them are
the training split, the next are the validation split, as large beside N as `seqvae prepare` makes it, and at most
1,000 of the others are the test split. Sizes that a text cannot give are left out. `toy` is the built-in corpus.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import PROGRAM, machine, overrides
from benchmarks.quality import answer, check_sets, markdown, sets
from seqvae_cli.data import corpus as corpora
from seqvae_cli.training import session

RESULTS = Path(__file__).with_name("own_text.json")
SIZES = "100,300,1000,3000,10000,32000"
PRESETS = ("default", "lm")
SAMPLES = 100
"""K of the importance-weighted bound."""
KEPT = ("sentences", "tokens", "iw_nll", "neg_elbo", "rate", "mutual_information", "active_units", "signature")
SMALL_RATE = 0.5
"""Nats a sentence that a code may cost where the corpus is too small for one."""
TEST = 1000
"""Sentences of the test split, at most; a text gives at most a fifth of its lines."""
KEY = ("text", "tokenizer", "size", "preset", "seed")
"""What tells a row from the others."""


def named(source: str) -> tuple[str, str]:
    """The name of a text and its tokenizer, from FILE[:TOKENIZER]."""
    path, _, tokenizer = source.partition(":")
    return Path(path).stem, tokenizer or "word"


def splits(text: Path, size: int) -> dict[str, list[str]] | None:
    """The three splits of a text for `size` training sentences; None where it has too few lines."""
    lines = [line for line in text.read_text(encoding="utf-8").split("\n") if line.strip()]
    random.Random(0).shuffle(lines)
    held_out = max(1, round(size / 18))
    test = lines[size + held_out :][: min(TEST, max(1, len(lines) // 5))]
    if len(test) < max(10, min(TEST, size // 20)):
        return None
    return {"train": lines[:size], "valid": lines[size : size + held_out], "test": test}


def prepared(source: str, size: int) -> str | None:
    """Prepares `size` training sentences of a source; the folder of the corpus, None where it has too few."""
    path, tokenizer = source.partition(":")[0], named(source)[1]
    if path == "toy":
        done = answer("prepare", "toy", "--sentences", size, "--name", f"toy-{size}", "--json")
        return str(done["folder"] if "folder" in done else done["path"])
    found = splits(Path(path), size)
    if found is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for split, lines in found.items():
            Path(folder, f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        name = f"{Path(path).stem}-{tokenizer}-{size}".lower()
        done = answer("prepare", folder, "--name", name, "--tokenizer", tokenizer, "--json")
    return str(done["path"])


def measured(source: str, size: int, preset: str, seed: int, extra: list[str]) -> dict[str, Any] | None:
    """Trains and evaluates one run; its row, None where the source has too few sentences."""
    folder = prepared(source, size)
    if folder is None:
        return None
    text, tokenizer = named(source)
    name = f"own-{text}-{tokenizer}-{size}-{preset}-{seed}".lower()
    given = overrides([*extra, f"seed={seed}"])
    wanted = session.settle(preset, overrides=given, corpus=corpora.find(Path(folder).name))[0].model_dump()
    command = ["train", "--data", Path(folder).name, "--preset", preset, "--seed", str(seed), *sets(extra)]
    there = answer("runs", "show", name, "--json")
    if there is not None and any(there["settings"][part] != wanted[part] for part in ("model", "objective", "train")):
        raise SystemExit(f"{name} is there with other settings than {preset} {' '.join(extra)}")
    if there is None or there["status"] != "finished":
        how = ["--resume", name] if there is not None else [*command[1:], "--name", name]
        subprocess.run([*PROGRAM, "-q", "train", *how], check=True, stdout=subprocess.DEVNULL)
    shown = answer("runs", "show", name, "--json")
    figures = answer("eval", name, "--samples", SAMPLES, "--json")
    return {
        "text": text,
        "tokenizer": tokenizer,
        "size": size,
        "preset": preset,
        "seed": seed,
        "command": " ".join(["seqvae", *map(str, command)]),
        "seconds": shown["seconds"],
        "epochs": shown["epoch"],
        "best_epoch": shown["best_epoch"],
        "machine": machine(),
        **{key: figures[key] for key in KEPT},
    }


def verdict(default: dict[str, Any], control: dict[str, Any]) -> str:
    """What is missing of the target, in words; empty where it is met."""
    missing = []
    if default["iw_nll"] > control["iw_nll"]:
        missing.append(f"{default['iw_nll'] - control['iw_nll']:.2f} nats above lm")
    enough = min(default["rate"], math.log(default["sentences"])) / 2
    if default["rate"] >= SMALL_RATE and default["mutual_information"] < enough:
        missing.append(f"MI below {enough:.2f}")
    return "; ".join(missing)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown: the default beside `lm`, a line for each text, size and seed."""
    found = {(row["text"], row["tokenizer"], row["size"], row["seed"], row["preset"]): row for row in rows}
    head = [
        "text",
        "tokens",
        "sentences",
        "seed",
        "`lm`: NLL",
        "default: IW NLL",
        "-ELBO",
        "KL",
        "MI",
        "epochs",
        "seconds",
        "missing",
    ]
    body = []
    for text, tokenizer, size, seed, preset in sorted(found):
        default = found[text, tokenizer, size, seed, preset]
        control = found.get((text, tokenizer, size, seed, "lm"))
        if preset == "lm" or control is None:
            continue
        keys = ("iw_nll", "neg_elbo", "rate", "mutual_information")
        cells = [
            text,
            tokenizer,
            f"{size:,}",
            str(seed),
            f"{control['iw_nll']:.2f}",
            *(f"{default[key]:.2f}" for key in keys),
        ]
        cells += [f"{default['best_epoch']} of {default['epochs']}", f"{default['seconds']:.0f}"]
        body.append([*cells, verdict(default, control) or "-"])
    return markdown(head, body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="*", metavar="FILE[:TOKENIZER]")
    parser.add_argument("--sizes", default=SIZES, help="training sentences")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="passed to train, and named in the row's command")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file of the rows")
    parser.add_argument("--table", action="store_true", help="print the matrix of all rows")
    arguments = parser.parse_args()
    path: Path = arguments.results
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    for size in map(int, arguments.sizes.split(",")):
        for source in arguments.texts:
            for preset in PRESETS:
                key = *named(source), size, preset, arguments.seed
                if found := [row for row in rows if tuple(row[part] for part in KEY) == key]:
                    check_sets(found[0], arguments.set)
                    print(f"{' '.join(map(str, key))}: its row is there already", file=sys.stderr)
                    continue
                if (row := measured(source, size, preset, arguments.seed, arguments.set)) is None:
                    print(f"{source} cannot give {size} training sentences", file=sys.stderr)
                    break
                rows.append(row)
                rows.sort(key=lambda row: tuple(row[part] for part in KEY))
                path.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.table:
        print("\n".join(table(rows)))


if __name__ == "__main__":
    main()

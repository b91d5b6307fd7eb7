"""How good the presets are: trains, evaluates and tabulates them, each figure from a run of the program itself.

python -m benchmarks.quality --data toy --samples 100 lm default pretrain      trains and evaluates what is missing
python -m benchmarks.quality --data ptb --seed 1 default                       with another seed
python -m benchmarks.quality --table                                           the table, from quality.json

Runs are kept in SEQVAE_HOME under the name DATA-PRESET-SEED; one that was interrupted goes on where it stopped, and one
that has its row in quality.json is not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import PROGRAM, machine
from seqvae_cli.errors import NotFoundError

RESULTS = Path(__file__).with_name("quality.json")
KEPT = [
    *("sentences", "tokens", "neg_elbo", "distortion", "rate", "elbo_ppl", "iw_nll", "iw_ppl", "iw_samples"),
    *("mutual_information", "active_units", "bleu", "exact_match", "entropy", "signature"),
    *("diagnosis", "samples_quality", "paths"),
]
COLUMNS = {
    "-ELBO": ("neg_elbo", ".2f"),
    "IW NLL": ("iw_nll", ".2f"),
    "IW perplexity": ("iw_ppl", ".2f"),
    "KL": ("rate", ".2f"),
    "MI": ("mutual_information", ".2f"),
    "active units": ("active_units", "d"),
    "BLEU-4": ("bleu", ".2f"),
    "minutes": ("minutes", ".0f"),
    "best epoch": ("best_epoch", "d"),
}


def answer(*arguments: object) -> Any:
    """The JSON that the program prints; None where it knows no such run."""
    done = subprocess.run([*PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE)
    if done.returncode == NotFoundError.exit_code:
        return None
    done.check_returncode()
    return json.loads(done.stdout)


def measured(data: str, preset: str, seed: int, samples: int, extra: list[str]) -> dict[str, Any]:
    """Trains and evaluates one run, or goes on with one; its row."""
    name = f"{data}-{preset}-{seed}"
    command = ["train", "--data", data, "--preset", preset, "--seed", str(seed), *extra]
    there = answer("runs", "show", name, "--json")
    if there is None:
        subprocess.run([*PROGRAM, *command, "--name", name], check=True)
    elif there["status"] != "finished":
        subprocess.run([*PROGRAM, "train", "--resume", name], check=True)
    shown = answer("runs", "show", name, "--json")
    figures = answer("eval", name, "--samples", samples, "--json", "--diagnose", "--samples-quality")
    return {
        "data": data,
        "preset": preset,
        "seed": seed,
        "command": " ".join(["seqvae", *command]),
        "minutes": shown["seconds"] / 60,
        "best_epoch": shown["best_epoch"],
        "machine": machine(),
        **{key: figures[key] for key in KEPT if key in figures},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, a section a corpus, in the order in which the rows were made."""
    lines = []
    for data in dict.fromkeys(row["data"] for row in rows):
        chosen = [row for row in rows if row["data"] == data]
        factors = list(chosen[0].get("diagnosis", {}).get("probes", {}))
        above = ["above H"] if "entropy" in chosen[0] else []
        names = ["preset", "seed", *COLUMNS, *above, *factors]
        lines += [f"### {data}", "", "| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
        for row in chosen:
            cells = [f"`{row['preset']}`", str(row["seed"])]
            cells += [format(row[key], form) for key, form in COLUMNS.values()]
            cells += [f"{100 * (row['iw_nll'] / row['entropy'] - 1):.1f} %" for _ in above]
            probes = row.get("diagnosis", {}).get("probes", {})
            cells += [f"{100 * probes[name]['accuracy']:.0f} %" if name in probes else "" for name in factors]
            lines.append("| " + " | ".join(cells) + " |")
        if factors:
            known = (row for row in chosen if row["diagnosis"]["probes"])
            chances = next(known, chosen[0])["diagnosis"]["probes"]
            said = ", ".join(f"{name} {100 * probe['chance']:.0f} %" for name, probe in chances.items())
            lines += ["", f"Chance, always naming the commonest value: {said}."]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*")
    parser.add_argument("--data", default="toy", help="a prepared corpus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=500, help="K of the importance-weighted bound")
    parser.add_argument("--set", action="append", default=[], help="passed to train, and named in the row's command")
    parser.add_argument("--table", action="store_true", help="print the table of all rows")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    extra = [part for one in arguments.set for part in ("--set", one)]
    for preset in arguments.presets:
        if any((row["data"], row["preset"], row["seed"]) == (arguments.data, preset, arguments.seed) for row in rows):
            print(f"{preset}: its row is there already", file=sys.stderr)
            continue
        rows.append(measured(arguments.data, preset, arguments.seed, arguments.samples, extra))
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.table:
        print(table(rows))


if __name__ == "__main__":
    main()

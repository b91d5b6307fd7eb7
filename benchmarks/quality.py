"""How good the presets are: trains, evaluates and tabulates them, each figure from a run of the program itself.

python -m benchmarks.quality --data toy --samples 100 lm default pretrain      trains and evaluates what is missing
python -m benchmarks.quality --data ptb --seed 1 default                       with another seed
python -m benchmarks.quality --data ptb --control large                        the same without a code
python -m benchmarks.quality --table                                           the tables of docs/results.md

Runs are kept in SEQVAE_HOME under the name DATA-PRESET-SEED; one that was interrupted goes on where it stopped, and one
that has its row in quality.json is not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import PROGRAM, machine, overrides
from seqvae_cli.data import corpus as corpora
from seqvae_cli.errors import NotFoundError
from seqvae_cli.evaluation.figures import FIGURES
from seqvae_cli.training import session

RESULTS = Path(__file__).with_name("quality.json")
KEPT = ["sentences", "tokens", *FIGURES, "signature", "diagnosis", "samples_quality", "paths", "even_paths"]
COLUMNS = ("neg_elbo", "iw_nll", "iw_ppl", "rate", "mutual_information", "active_units", "bleu")
"""Figures of the tables."""


def answer(*arguments: object) -> Any:
    """The JSON that the program prints; None where it knows no such run."""
    done = subprocess.run([*PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE)
    if done.returncode == NotFoundError.exit_code:
        return None
    done.check_returncode()
    return json.loads(done.stdout)


def sets(extra: Sequence[str]) -> list[str]:
    """The words of a command that set KEY=VALUE pairs."""
    return [word for pair in extra for word in ("--set", pair)]


def check_sets(row: dict[str, Any], extra: Sequence[str]) -> None:
    """Ends the program where a row was trained with other pairs: its figures are not those that are asked for."""
    if row["command"].partition(f" --seed {row['seed']}")[2].split() != sets(extra):
        raise SystemExit(f"its row is of other settings: {row['command']}")


def measured(data: str, preset: str, seed: int, samples: int, extra: list[str], label: str) -> dict[str, Any]:
    """Trains and evaluates one run, or goes on with one; its row, under `label`."""
    name = f"{data}-{label}-{seed}"
    wanted = session.settle(preset, overrides=overrides(extra), corpus=corpora.find(data))[0].model_dump()
    there = answer("runs", "show", name, "--json")
    if there is not None and any(there["settings"][part] != wanted[part] for part in ("model", "objective", "train")):
        raise SystemExit(f"{name} is there with other settings than {preset} {' '.join(extra)}")
    command = ["train", "--data", data, "--preset", preset, "--seed", str(seed), *sets(extra)]
    if there is None:
        subprocess.run([*PROGRAM, *command, "--name", name], check=True)
    elif there["status"] != "finished":
        subprocess.run([*PROGRAM, "train", "--resume", name], check=True)
    shown = answer("runs", "show", name, "--json")
    figures = answer("eval", name, "--samples", samples, "--json", "--diagnose", "--samples-quality")
    return {
        "data": data,
        "preset": label,
        "seed": seed,
        "command": " ".join(["seqvae", *command]),
        "minutes": shown["seconds"] / 60,
        "epochs": shown["epoch"],
        "best_epoch": shown["best_epoch"],
        "machine": machine(),
        **{key: figures[key] for key in KEPT if key in figures},
    }


def markdown(head: list[str], body: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *body]]


def results(rows: list[dict[str, Any]]) -> list[str]:
    """The rows of one corpus."""
    probed = [row["diagnosis"]["probes"] for row in rows if row["diagnosis"]["probes"]]
    chances: dict[str, Any] = probed[0] if probed else {}
    columns = [FIGURES[key] for key in COLUMNS]
    above = [FIGURES["excess"]] if "entropy" in rows[0] else []
    body = []
    for row in rows:
        cells = [f"`{row['preset']}`", str(row["seed"])]
        cells += [format(value, "d" if isinstance(value, int) else ".2f") for value in map(row.get, COLUMNS)]
        cells += [f"{row['minutes']:.0f}", str(row["epochs"]), str(row["best_epoch"])]
        cells += [f"{figure.shown(row):.1f} {figure.unit}" for figure in above]
        probes = row["diagnosis"]["probes"]
        body.append(cells + [f"{100 * probes[name]['accuracy']:.0f} %" if name in probes else "" for name in chances])
    heads = [*(figure.name for figure in columns), "minutes", "epochs", "best", *(figure.name for figure in above)]
    lines = markdown(["preset", "seed", *heads, *chances], body)
    if chances:
        said = ", ".join(f"{name} {100 * probe['chance']:.0f} %" for name, probe in chances.items())
        lines += ["", f"Chance, always naming the commonest value: {said}."]
    return lines


def samples(rows: list[dict[str, Any]]) -> list[str]:
    """10,000 samples of each row of one corpus beside real sentences."""

    def cells(name: str, text: dict[str, Any]) -> list[str]:
        figures = [
            f"{text['perplexity']:.1f}",
            f"{text['reverse_perplexity']:.1f}",
            f"{100 * text['distinct_2']:.1f} %",
        ]
        return [name, *figures, f"{text['self_bleu']:.1f}", f"{text['length']:.1f}"]

    figures = rows[0]["samples_quality"]
    head = [
        *("", "perplexity under a 5-gram model of train"),
        f"perplexity of test under a 5-gram model of the text ({figures['modelled']:,} sentences)",
        *(f"distinct-2 of {figures['compared']:,}", f"self-BLEU of {figures['bleu_sentences']}", "words"),
    ]
    body = [cells(f"`{row['preset']}` {row['seed']}", row["samples_quality"]["samples"]) for row in rows]
    return markdown(head, [*body, cells("real sentences", figures["real"])])


def paths(rows: list[dict[str, Any]]) -> list[str]:
    """Interpolations of each row of one corpus that has a latent code, of equal steps and, where measured, of even."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "different sentences a path": lambda figures: f"{figures['distinct']:.2f}",
        "ends equal their reconstruction": lambda figures: f"{100 * figures['ends']:.0f} %",
        "largest jump": lambda figures: (
            "" if figures["largest_jump"] is None else f"{100 * figures['largest_jump']:.1f} %"
        ),
        "paths without a change": lambda figures: str(figures["unchanged"]),
    }
    body = []
    for row in rows:
        for key, name in (("paths", ""), ("even_paths", ", `--even`")):
            if (figures := row.get(key)) is not None:
                body.append([f"`{row['preset']}` {row['seed']}{name}", *(form(figures) for form in columns.values())])
    return markdown(["", *columns], body)


def tables(rows: list[dict[str, Any]]) -> str:
    """Markdown: every table of every corpus, and the command, the machine and the signature of each row."""
    lines = []
    corpora = {
        data: [row for row in rows if row["data"] == data] for data in dict.fromkeys(row["data"] for row in rows)
    }
    for title, make in (("", results), (": samples", samples), (": paths", paths)):
        for data, chosen in corpora.items():
            lines += [f"### {data}{title}", "", *make(chosen), ""]
    lines += ["### Commands and signatures", ""]
    for row in rows:
        evaluation = f"seqvae eval --samples {row['iw_samples']} --diagnose --samples-quality"
        where = f"{row['machine']['processor']}, {row['machine']['instructions']}"
        lines.append(f"- `{row['command']}`, then `{evaluation}`, on {where}: `{row['signature']}`")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*")
    parser.add_argument("--data", default="toy", help="a prepared corpus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=500, help="K of the importance-weighted bound")
    parser.add_argument("--set", action="append", default=[], help="passed to train, and named in the row's command")
    parser.add_argument("--control", action="store_true", help="without a latent code; the row is PRESET-control")
    parser.add_argument("--table", action="store_true", help="print the tables of all rows")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for preset in arguments.presets:
        label = f"{preset}-control" if arguments.control else preset
        extra = [*arguments.set, *(["model.latent_size=0"] if arguments.control else [])]
        key = arguments.data, label, arguments.seed
        if found := [row for row in rows if (row["data"], row["preset"], row["seed"]) == key]:
            check_sets(found[0], extra)
            print(f"{label}: its row is there already", file=sys.stderr)
            continue
        rows.append(measured(arguments.data, preset, arguments.seed, arguments.samples, extra, label))
        rows.sort(key=lambda row: (row["data"], row["preset"], row["seed"]))
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.table:
        print(tables(rows))


if __name__ == "__main__":
    main()

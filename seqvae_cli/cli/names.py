"""What users of other tools type, and what it is called here: for the hints of wrong commands and options."""

from __future__ import annotations

from collections.abc import Iterable

from seqvae_cli.errors import meant

RUNS = "list show compare best watch tag rm restore path plot export import push pull doctor"
"""The commands of `runs`, which are often typed without it."""

COMMANDS: dict[str, dict[str, str]] = {
    "": {
        **{name: f"runs {name}" for name in RUNS.split() if name not in ("doctor", "export")},  # there are others, too
        **dict.fromkeys(("help", "usage"), "--help"),
        **dict.fromkeys(("generate", "generation", "draw"), "sample"),
        **dict.fromkeys(("test", "evaluate", "evaluation", "validate", "metrics", "perplexity"), "eval"),
        **dict.fromkeys(("fit", "learn", "training"), "train"),
        **dict.fromkeys(("resume", "continue"), "train --resume"),
        **dict.fromkeys(("preprocess", "download", "tokenize", "data"), "prepare"),
        **dict.fromkeys(("datasets", "corpus"), "corpora"),
        **dict.fromkeys(("config", "configs", "settings", "preset"), "presets"),
        **dict.fromkeys(("embed", "embeddings", "codes"), "encode"),
        **dict.fromkeys(("autoencode", "roundtrip"), "reconstruct"),
        **dict.fromkeys(("likelihood", "loss", "outliers"), "score"),
        **dict.fromkeys(("interpolation", "morph"), "interpolate"),
        **dict.fromkeys(("ls", "models"), "runs list"),
        **dict.fromkeys(("remove", "delete", "del"), "runs rm"),
        **dict.fromkeys(("curves", "visualize"), "runs plot"),
        **dict.fromkeys(("follow", "monitor", "tail"), "runs watch"),
        **dict.fromkeys(("env", "machine", "sysinfo", "diagnostics"), "doctor"),
        "diff": "runs compare",
        "info": "runs show",
        "version": "--version",
    },
    "runs": {
        **dict.fromkeys(("help",), "--help"),
        **dict.fromkeys(("ls", "all"), "list"),
        **dict.fromkeys(("remove", "delete", "del", "trash"), "rm"),
        **dict.fromkeys(("undelete", "recover"), "restore"),
        **dict.fromkeys(("info", "describe", "view"), "show"),
        **dict.fromkeys(("pack", "save", "archive"), "export"),
        **dict.fromkeys(("unpack", "add"), "import"),
        **dict.fromkeys(("check", "verify"), "doctor"),
        **dict.fromkeys(("curves", "draw"), "plot"),
        **dict.fromkeys(("dir", "folder", "where"), "path"),
        **dict.fromkeys(("untag", "label"), "tag"),
        **dict.fromkeys(("follow", "monitor", "tail"), "watch"),
        "diff": "compare",
    },
}
"""Group ("" at the top) -> the name that was typed -> the command that does it."""

OPTIONS = {
    **dict.fromkeys(("--model", "--checkpoint"), "--run"),
    **dict.fromkeys(("--corpus", "--dataset"), "--data"),
    **dict.fromkeys(("--gpu", "--cuda", "--cpu"), "--device"),
    **dict.fromkeys(("--count", "--num", "--num-samples"), "--number"),
    "--learning-rate": "--lr",
    "--beam-size": "--beam",
    "--num-epochs": "--epochs",
    "--out": "--output",
    "--file": "--output",
}
"""The option that was typed -> the one that does it, in the commands that have it."""


def command_hint(name: str, group: str, known: Iterable[str]) -> str:
    """The hint for an unknown command of a group: the command that was meant, else all of them."""
    names = list(known)
    found = meant(name, names) or COMMANDS.get(group, {}).get(name.lower(), "")
    if not found:
        return f"known: {', '.join(names)}"
    return f"did you mean {' '.join(filter(None, (group, found)))!r}?"


def option_meant(name: str, known: Iterable[str]) -> str:
    """The option of a command that was meant; empty where there is none."""
    options = {option.lstrip("-"): option for option in known if option.startswith("--")}
    typed = name.lstrip("-").replace("_", "-")
    found = OPTIONS.get(f"--{typed}", "")
    return found if found in options.values() else options.get(meant(typed, options), "")

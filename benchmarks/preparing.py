"""Preparing: seconds and resident memory of the whole `seqvae prepare FILE`, for texts of growing length.

python -m benchmarks.preparing --words 10000000
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import measure


def ours(arguments: argparse.Namespace) -> measure.Result:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        if arguments.ptb:
            return measure.command([*measure.PROGRAM, "prepare", "ptb", "--from", arguments.ptb], home)
        text = Path(folder) / "text.txt"
        words = write(text, arguments.words)
        return {"words": words} | measure.command([*measure.PROGRAM, "prepare", str(text), "--name", "text"], home)


def write(path: Path, words: int) -> int:
    """Writes sentences of the toy grammar, over and over, until there are `words` words; returns their number."""
    from seqvae_cli.data.toy import language

    sentences = [" ".join(sentence.words) for sentence in language.generate(20_000, seed=0)]
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < words:
            for sentence in sentences:
                file.write(sentence + "\n")
                written += sentence.count(" ") + 1
                if written >= words:
                    break
    return written


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--words", type=int, default=1_000_000)
    parser.add_argument("--ptb", default="", help="a folder with the Penn Treebank's files: prepare that instead")


if __name__ == "__main__":
    measure.main(__doc__, {"ours": ours}, options)

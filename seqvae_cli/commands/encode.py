"""`seqvae encode`: sentences -> codes."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli import display
from seqvae_cli.commands._model import Device, Json, RunOption, Threads, open_bundle, warn_unknown
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seqvae_cli.tokenizer import Tokenizer

app = typer.Typer()

Row = tuple[str, list[float] | None, list[float] | None]
"""A sentence, its posterior mean and scale; None where the sentence is empty."""


@app.command()
def encode(
    text: Annotated[list[str], typer.Argument(metavar="TEXT...|FILE|-", help="Sentences, a file of them, or stdin.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help=".jsonl, .tsv or .npy [default: stdout]."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=1_000_000, help="Sentences at once.", show_default=True)] = 128,
    encoding: Annotated[str, typer.Option(help="Encoding of the text.", show_default=True)] = "utf-8",
    run_option: RunOption = None,
    device: Device = "auto",
    threads: Threads = 0,
    json: Json = False,  # noqa: ARG001 - JSON Lines is what stdout gets anyway
) -> None:
    """Encode sentences, a line each, in order: the mean and the scale of q(z|x).

    A single argument that names a file is read as one. An empty line keeps its row: null in JSON Lines, empty in TSV,
    NaN in .npy (which holds the means alone, float32, sentences x latent dimensions).

    Examples:

        seqvae encode "stock prices rose" "the president resigned"
        seqvae encode sentences.txt -o codes.npy
        cat sentences.txt | seqvae encode - | jq -c .mean
    """
    if output == Path("-"):
        output = None
    if output is not None and output.suffix not in (".jsonl", ".tsv", ".npy"):
        raise UsageError(f"{str(output)!r}: the ending of the output is unknown", "name it .jsonl, .tsv or .npy")
    if output is not None and (output.is_dir() or not output.parent.is_dir()):
        raise UsageError(f"{str(output)!r} cannot be a file", "name a file in a folder that is there")
    from_stream = len(text) == 1 and (text[0] == "-" or _names_a_file(text[0]))
    if not from_stream:
        for sentence in text:
            if not sentence.strip():
                raise UsageError("an empty sentence has no code", "give a sentence, FILE or -")
            if any("\ud800" <= character <= "\udfff" for character in sentence):
                raise UsageError("a sentence is not UTF-8", "give text in UTF-8, or a FILE with --encoding")
        if len(text) == 1 and " " not in text[0] and ("/" in text[0] or text[0].endswith(".txt")):
            raise UsageError(f"{text[0]!r} is no file", "name a file, or give a sentence of several words")
    from seqvae_cli import text as texts

    texts.check_encoding(encoding)
    bundle = open_bundle(None, run_option, device, threads)
    lines: Iterable[str] = text
    if from_stream:
        source = sys.stdin.buffer if text[0] == "-" else Path(text[0])
        lines = texts.read_lines(source, encoding, keep_blank=True)
    from seqvae_cli import generate

    precision = bundle.precision
    source_rows = _Sentences(lines, bundle.tokenizer)
    codes = generate.encode(bundle.model, source_rows.ids(), batch_size=batch_size, precision=precision)
    rows = source_rows.with_codes(codes)
    latent = bundle.settings.model.latent_size
    if output is None:
        for row in rows:
            display.out_jsonl(_json(row))
    else:
        from seqvae_cli import files

        files.write(output, WRITERS[output.suffix](rows, latent))
    warn_unknown(source_rows.unknown)
    if source_rows.empty:
        display.warn(f"{source_rows.empty} empty sentences have no code; their rows are kept")


def _names_a_file(text: str) -> bool:
    """A file, pipe or device; not a sentence too long for a name."""
    try:
        return Path(text).exists() and not Path(text).is_dir()
    except (OSError, ValueError):
        return False


class _Sentences:
    """Sentences on their way through the encoder: those without words go around it and come back in their place."""

    def __init__(self, lines: Iterable[str], tokenizer: Tokenizer) -> None:
        self.lines, self.tokenizer = lines, tokenizer
        self.waiting: deque[tuple[str, bool]] = deque()
        """Lines that were read and not yet given back, each with whether it has words."""
        self.unknown: set[str] = set()
        self.empty = 0

    def ids(self) -> Iterator[NDArray[np.int64]]:
        import numpy as np

        for line in self.lines:
            ids = self.tokenizer.encode(line)
            self.waiting.append((line, bool(ids)))
            if not ids:
                self.empty += 1
                continue
            if len(self.unknown) < 1000:  # enough to name; a stream must not fill the memory
                self.unknown.update(self.tokenizer.unknown(line))
            yield np.array(ids, dtype=np.int64)

    def with_codes(self, codes: Iterator[Any]) -> Iterator[Row]:
        for mean, scale in codes:
            while not self.waiting[0][1]:
                yield self.waiting.popleft()[0], None, None
            yield self.waiting.popleft()[0], mean.tolist(), scale.tolist()
        while self.waiting:
            yield self.waiting.popleft()[0], None, None


def _json(row: Row) -> dict[str, Any]:
    line, mean, scale = row
    answer = {"text": line, "mean": mean, "scale": scale}
    return answer if mean is not None else answer | {"reason": "empty sentence"}


def _jsonl(rows: Iterator[Row], _: int) -> Iterator[bytes]:
    import json

    for row in rows:
        yield (json.dumps(_json(row), ensure_ascii=False, allow_nan=False) + "\n").encode()


def _tsv(rows: Iterator[Row], latent: int) -> Iterator[bytes]:
    names = [f"{kind}_{i}" for kind in ("mean", "scale") for i in range(1, latent + 1)]
    yield ("\t".join(["text", *names]) + "\n").encode()
    for line, mean, scale in rows:
        values = [f"{value:.9g}" for value in [*(mean or []), *(scale or [])]] or [""] * (2 * latent)
        yield ("\t".join([" ".join(line.split()), *values]) + "\n").encode()


def _npy(rows: Iterator[Row], latent: int) -> Iterator[bytes]:
    import io

    import numpy as np

    means = [np.full(latent, np.nan, np.float32) if mean is None else np.array(mean, np.float32) for _, mean, _ in rows]
    buffer = io.BytesIO()
    np.save(buffer, np.stack(means) if means else np.empty((0, latent), np.float32), allow_pickle=False)
    yield buffer.getvalue()


WRITERS: dict[str, Callable[[Iterator[Row], int], Iterator[bytes]]] = {".jsonl": _jsonl, ".tsv": _tsv, ".npy": _npy}

"""Sentences made of sentences, as lines on stdout: one for each line that was read, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from seqvae_cli.cli import display
from seqvae_cli.cli.models import Cuts

if TYPE_CHECKING:
    from seqvae_cli.cli.sentences import Lines
    from seqvae_cli.latent.answers import Decoded


def write(
    lines: Lines,
    made: Iterable[tuple[str, Decoded | None]],
    cuts: Cuts,
    advance: Callable[[str], None],
    *,
    key: str,
    json: bool,
) -> None:
    """Writes what was made of each line, None for an empty one, with the id and the labels of a table.

    key: its name in JSON, where the result for an empty line is null; else that line stays empty.
    """
    for line, one in made:
        record = lines.answered()
        advance(line)
        if one is not None:
            cuts.add(one.cut)
        answer, values = "" if one is None else one.text, lines.values(record)
        if json and one is None:
            display.out_jsonl(lines.keys(record) | {"text": line, key: None, "cut": False, "reason": "empty sentence"})
        elif one is not None and json:
            display.out_jsonl(lines.keys(record) | {"text": line, key: answer, "cut": one.cut})
        elif values:
            display.out_row([answer, *values])
        else:
            display.out(answer)

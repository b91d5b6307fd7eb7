"""`--shard I/N`: the I-th of N processes that share the sentences of one input. It takes every N-th of them.

Every N-th, since a stream has no known end, and neighbours, which are often alike, then go to different processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seqvae_cli.data.records import Record
    from seqvae_cli.data.windows import Pause

MOST = 1_000_000


def parse(text: str) -> tuple[int, int]:
    """I and N of `I/N`. Raises `UsageError`."""
    match = re.fullmatch(r"(\d{1,7})/(\d{1,7})", text, re.ASCII)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count <= MOST:
        raise UsageError(
            f"--shard {text!r} is not I/N, with I from 1 to N and N at most {MOST:,}", "such as --shard 1/4"
        )
    return number, count


def of(records: Iterable[Record | Pause], shard: str) -> Iterator[Record | Pause]:
    """The records of the shard `I/N`: the I-th, the one N later, and so on. Pauses stay. Raises `UsageError`."""
    number, count = parse(shard)

    def chosen() -> Iterator[Record | Pause]:
        place = 0
        for record in records:
            if not isinstance(record, tuple):
                yield record
                continue
            place += 1
            if place % count == number % count:
                yield record

    return chosen()

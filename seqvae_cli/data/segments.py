"""Where sentences end in running text."""

from __future__ import annotations

import re

LOOK = 4_096
"""Characters of a line that are looked at."""

_OPENING, _CLOSING = r"[\"'“‘«(\[¿¡]", r"[\"'”’»)\]」』）]"
_END = re.compile(
    rf"""
      [.!?…](?<=\w\w\w.)[.!?…]*{_CLOSING}*\s+(?={_OPENING}*[^\W\d_])  # of raw text; not after initials, "Mr" or "Dr"
    | [.!?](?<=\s.)\s+(?=\w)                                          # of text that is tokenized already
    | [。！？]{_CLOSING}*(?=\s*[^\s。！？])
    """,
    re.VERBOSE,
)


def ends_inside(text: str) -> int:
    """How many sentences end inside a line, as far as its first `LOOK` characters show: an estimate on the low side."""
    return len(_END.findall(text, 0, LOOK))

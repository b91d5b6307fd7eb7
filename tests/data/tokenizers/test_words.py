"""The words of raw text: the quick way to most of them is the slow one, only quicker."""

from __future__ import annotations

import random
import re

from seqvae_cli.data.tokenizers.words import SHORTCUT, WORD

PARTS = [
    *"aAzZsSſKıİß019_中々〇ªµ²·ñ.,,;:!?'’`-&/@#<>()€ \t\n\x1c\u3000",
    *("http://", "https://", "mr.", "Dr.", "u.s.", "s' ", "s’ a", "<unk>", "'tis", "'90s", "``", "''", "...", "--"),
    *("a@b.c", "1,000", "e\u0301", "word", "Wörter", ", ", "? "),
]


def test_the_shortcut_changes_no_word() -> None:
    slow = re.compile(WORD.pattern.replace(f"{SHORTCUT}\n    |", "", 1), WORD.flags)
    assert SHORTCUT not in slow.pattern
    draw = random.Random(0)
    for _ in range(5_000):
        text = "".join(draw.choices(PARTS, k=draw.randrange(1, 14)))
        assert WORD.findall(text) == slow.findall(text), text

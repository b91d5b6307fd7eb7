"""Words of raw text: punctuation is split off, contractions, hyphenated words, numbers and abbreviations stay whole."""

from __future__ import annotations

import re

# A letter is any character but space and punctuation, so that combining marks, emoji and joiners stay inside words.
_PUNCTUATION = r"!-/:-@\[-^`{-~¡-©«¬®-±´¶-¸»¿×÷‐-‧‰-⁞₠-⃀−、-〟・！-／：-＠［-＾｀｛-･"
_LETTER = rf"[^\s{_PUNCTUATION}]"
SHORTCUT = r"[^\W々〆〇]++(?:(?!\S)|(?=[,;!?](?!\S)))"
"""Most words, found at once: letters and digits up to a space, or up to one mark before a space.

The rest of the expression finds the same words, but slower. Three word characters count as punctuation.
"""
WORD = re.compile(
    rf"""
      {SHORTCUT}
    | <(?:unk|pad|bos|eos)>
    | https?://\S*[^\s.,;:!?'"()\[\]{{}}<>]
    | [\w.+-]{{1,64}}@[\w-]{{1,64}}(?:\.[\w-]{{1,64}}){{1,8}}
    | (?<!{_LETTER})(?:[a-z]\.){{2,}}
    | (?<!{_LETTER})(?:mr|mrs|ms|dr|prof|st|sr|jr|inc|corp|co|ltd|vs|etc|gen|sen|rep|gov|lt|col|capt|mt)\.
    | (?<!{_LETTER})['’](?:\d\ds|tis|twas|em|til|cause)(?!{_LETTER})
    | [@\#]?{_LETTER}+(?:(?:['’\-&/]|(?<=\d)[.,:](?=\d)|\.(?-i:(?=[a-z\d])))[@]?{_LETTER}+)*(?:(?<=s)['’](?=\s\w))?
    | \.{{2,}} | -{{2,}} | `` | ''
    | \S
    """,
    re.VERBOSE | re.IGNORECASE,
)

_CLOSING = frozenset(",.;:!?)]}%…”’»''") | {"''", "..", "...", "....", "。", "、", "，", "！", "？", "：", "；", "）"}
_OPENING = frozenset("([{“‘«¿¡（") | {"``"}
_CURRENCY = frozenset("$£€¥")
_PAIRED = frozenset("\"'")


def join(pieces: list[str]) -> str:
    """Words and punctuation with spaces where English puts them."""
    text: list[str] = []
    is_open = dict.fromkeys(_PAIRED, False)
    glue = True
    for piece in pieces:
        closes = piece in _CLOSING
        opens = piece in _OPENING
        if piece in _PAIRED:
            closes = is_open[piece]
            opens = not closes
            is_open[piece] = opens
        price = bool(text) and text[-1] in _CURRENCY and piece[0].isdigit()
        if not (glue or closes or price):
            text.append(" ")
        text.append(piece)
        glue = opens
    return "".join(text)


def split(text: str) -> list[str]:
    return WORD.findall(text)

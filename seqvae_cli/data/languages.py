"""The language of a text, guessed from its letters and its most frequent words.

An honest guess, for the abbreviations of a sentence splitter: it knows the languages below and answers "en" where none
of them fits.
"""

from __future__ import annotations

import re
from collections import Counter

UNKNOWN = "en"
"""The answer where nothing tells the language."""
_CODE = re.compile(r"[a-z]{2,3}(-[a-z]{2,8})?")

SCRIPTS = {
    "ja": re.compile("[\u3040-\u30ff]"),
    "zh": re.compile("[\u3400-\u9fff]"),
    "ko": re.compile("[\uac00-\ud7a3]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "ar": re.compile("[\u0600-\u06ff]"),
    "he": re.compile("[\u0590-\u05ff]"),
    "el": re.compile("[\u0370-\u03ff]"),
    "uk": re.compile("[іїєґІЇЄҐ]"),
    "ru": re.compile("[\u0400-\u04ff]"),
}
"""Letters by language. A language is answered where a twentieth of the letters are its own, the first one of several:
Japanese has Chinese characters, too, and Ukrainian the other Cyrillic letters."""

STOP_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to in is that it was for with as his he be not by but this are",
        "de": "der die und das ist nicht ein eine zu den mit sich des auf dem von im auch wie er",
        "fr": "le la les et des est une du que qui dans pas ne il pour je sur au ce vous",
        "es": "el la los que y en una del se las por con no es para su lo como más pero",
        "it": "il di che è la un per non una del si con le sono da come ma gli della anche",
        "pt": "o que não uma do da em um os com para se por mais as no na mas ao você",
        "nl": "de het een en van ik dat niet je zijn op te met voor maar er ook aan wat hij",
        "sv": "och att det som en på är av för med den inte jag han ett om var till men så",
        "da": "og at det er en på af til ikke jeg den der med han for de som et har hun",
        "pl": "nie się w na i że z do to jest jak ale o po co tak za od jego przez",
        "cs": "se na je že to si jsem ale jako jsou do po tak by když za ve aby byl však",
        "fi": "ja on ei että se oli hän mutta kun niin ovat myös mitä joka sen vain olen ollut jos sitä",
        "tr": "ve bir bu da de için ne ile çok gibi ben daha o mi var olarak kadar ama değil sonra",
        "ro": "și nu de în la cu că este un mai pe din să care lui ce sunt fi dar fost",
        "hu": "a az és hogy nem is egy ez meg de volt csak mint már ki még vagy el azt ha",
    }.items()
}
"""Twenty of the most frequent words of each language."""


def is_code(language: str) -> bool:
    """Whether a text has the form of a language code, such as de or pt-br."""
    return _CODE.fullmatch(language) is not None


def guess(text: str) -> str:
    """The ISO 639 code of the language of a text: by its script, then by its stop words; `UNKNOWN` where none tells."""
    letters = sum(map(str.isalpha, text))
    for language, letter in SCRIPTS.items():
        if letters and len(letter.findall(text)) * 20 > letters:
            return language
    words = Counter(re.findall(r"[^\W\d_]+", text.lower()))
    scores = {language: sum(words[word] for word in stop_words) for language, stop_words in STOP_WORDS.items()}
    best = max(scores, key=lambda language: scores[language])
    return best if scores[best] else UNKNOWN

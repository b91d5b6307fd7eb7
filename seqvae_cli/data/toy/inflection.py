"""Forms of the words of `lexicon`: plurals, the forms of a verb, and the indefinite article."""

from __future__ import annotations


def decline(entry: str, number: str) -> str:
    """A noun in its singular or plural."""
    singular, _, irregular = entry.partition("/")
    if number == "singular":
        return singular
    return irregular or _add_s(singular)


def inflect(entry: str, form: str) -> str:
    """A verb in its base, third (person singular), past or participle form."""
    first, *rest = entry.split(" ")
    base, *irregular = first.split("/")
    if form == "base":
        word = base
    elif form == "third":
        word = _add_s(base)
    elif irregular:
        word = irregular[-1] if form == "participle" else irregular[0]
    elif base.endswith("e"):
        word = base + "d"
    else:
        word = base[:-1] + "ied" if _ends_in_consonant_y(base) else base + "ed"
    return " ".join([word, *rest])


def article(word: str) -> str:
    """The indefinite article before a word of the lexicon."""
    if word.startswith(("uni", "euro")):
        return "a"
    return "an" if word[0] in "aeiou" or word.startswith(("hone", "hono")) else "a"


def _ends_in_consonant_y(word: str) -> bool:
    return word[-1] == "y" and word[-2] not in "aeiou"


def _add_s(word: str) -> str:
    if _ends_in_consonant_y(word):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "sh", "ch", "x", "z", "go")) else "s")

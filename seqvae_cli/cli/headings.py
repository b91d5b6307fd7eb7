"""The sections of a help page: options under headings, commands in groups.

An option names its heading as typer's `rich_help_panel`; Rich itself is never loaded.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

OPTIONS = "Options"
"""The heading of options that name none."""
DATA_AND_RUN = "Data and run"
LATENT = "Latent space"
TABLES = "Files and columns"
VOCABULARY = "Tokens and vocabulary"
SPLITS = "Splits"
KNOWN_CORPORA = "Known corpora"
FIGURES = "Figures"
DECODING = "Decoding"
RUNTIME = "Runtime"
OUTPUT = "Output"

SETTINGS = ("Training", "Learning rate", "Model", "Latent code", "Objective")
"""Headings of the settings alone; `config.options` says which setting stands under which."""

ORDER = (
    *("Arguments", OPTIONS, DATA_AND_RUN, LATENT, TABLES, VOCABULARY, SPLITS, KNOWN_CORPORA, FIGURES, DECODING),
    *SETTINGS,
    *(RUNTIME, OUTPUT),
)
"""All headings, in the order in which a help page shows them."""

COLUMN = 30
"""Characters of an option's name at most; after a longer one the text starts on a line of its own."""

KINDS = {"int": "INTEGER", "int range": "INTEGER", "float": "FLOAT", "float range": "FLOAT", "path": "FILE"}
"""Names of the kinds of values, by those of typer; all others are TEXT."""

_TYPE = re.compile(r" <([^<>]*)>$")
_BRACKET = re.compile(r"\s*\[([^\[\]]*)\]\.?$")
_RANGE = re.compile(r"([\d.]+)<=x<=([\d.]+)|x>=([\d.]+)|x<=([\d.]+)")

Rows = list[tuple[str, str]]


def options(command: Any, context: Any) -> dict[str, Rows]:
    """The arguments and options of a command under their headings: names and help."""
    sections: dict[str, Rows] = {heading: [] for heading in ORDER}
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            sections[heading(parameter)].append((_name(parameter, record[0]), _text(record[1])))
    return sections


def _name(parameter: Any, name: str) -> str:
    """The names of a parameter with the kind of its value in one word, where typer writes `<int range>`."""
    if parameter.param_type_name == "argument":
        return _TYPE.sub("", name)
    return _TYPE.sub(lambda match: f" {KINDS.get(match[1], 'TEXT')}", name)


def _text(text: str) -> str:
    """The help of a parameter that ends with one bracket: its range, then its default."""
    ranges: list[str] = []
    notes: list[str] = []
    while match := _BRACKET.search(text):
        text = text[: match.start()]
        for note in reversed(match[1].split("; ")):
            if bounds := _RANGE.fullmatch(note):
                low, high = bounds[1] or bounds[3], bounds[2] or bounds[4]
                ranges.append(f"{low} to {high}" if low and high else f"{low} or more" if low else f"at most {high}")
            else:
                notes.insert(0, note.replace("default: ", "default "))
    ranges = [shown.replace(f"to {2**63 - 1}", "or more") for shown in ranges]
    return f"{text} [{'; '.join([*ranges, *notes])}]" if ranges or notes else text


def heading(parameter: Any) -> str:
    """Where a parameter stands in the help of its command."""
    if parameter.param_type_name == "argument":
        return "Arguments"
    return str(parameter.rich_help_panel or OPTIONS)


def commands(group: Any, context: Any) -> dict[str, Rows]:
    """The commands of a group with the first sentence of their help, under one heading."""
    known = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {"Commands": [(name, _first_sentence(command.help or "")) for name, command in known.items()]}


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", paragraph, maxsplit=1)[0]


def write(formatter: Any, sections: dict[str, Rows]) -> None:
    """Writes the sections that have rows. Their second column starts at the same place, and its words stay whole."""
    lengths = [len(name) for rows in sections.values() for name, _ in rows]
    indent = max((length for length in lengths if length <= COLUMN), default=0) + 4
    for title, rows in sections.items():
        if not rows:
            continue
        with formatter.section(title):
            for name, text in rows:
                # Not `write_dl`, which breaks names such as `free-bits` at their hyphens.
                first, *more = textwrap.wrap(
                    text, formatter.width - indent, break_long_words=False, break_on_hyphens=False
                ) or [""]
                head = f"  {name}"
                formatter.write(f"{head:{indent}}{first}\n" if len(head) <= indent - 2 else f"{head}\n")
                for line in more if len(head) <= indent - 2 else [first, *more]:
                    formatter.write(f"{'':{indent}}{line}\n")

"""The settings as the source of the schema declares them, without pydantic, which takes longer than a completion may.

A setting of the schema is `name: type = Field(default, ..., description="...")`, or a section of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "schema.py"
ALIASES = {"train.max_len": ("--bptt",)}
"""Additional names of a flag, from other implementations."""


@dataclass(frozen=True)
class Setting:
    """A setting without its range and default."""

    key: str
    """Dotted path, such as `train.lr`."""
    description: str
    choices: tuple[str, ...]
    """The values of a setting that is a choice."""
    is_switch: bool

    @property
    def flags(self) -> tuple[str, ...]:
        """Its names on the command line."""
        name = flag_name(self.key)
        if self.is_switch:
            return name, f"--no-{name[2:]}"
        return (name, *ALIASES.get(self.key, ()))


def flag_name(key: str) -> str:
    """`train.batch_size` is `--batch-size`."""
    return "--" + key.rpartition(".")[2].replace("_", "-")


def settings() -> list[Setting]:
    """Every setting, in the order of the schema."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    return list(_of_section("Settings", {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}))


def _of_section(name: str, sections: dict[str, ast.ClassDef], prefix: str = "") -> Iterator[Setting]:
    for node in sections[name].body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        key, kind = prefix + node.target.id, node.annotation
        if isinstance(kind, ast.Name) and kind.id in sections:
            yield from _of_section(kind.id, sections, f"{key}.")
        elif isinstance(node.value, ast.Call):
            (text,) = (ast.literal_eval(item.value) for item in node.value.keywords if item.arg == "description")
            choices = ast.literal_eval(kind.slice) if isinstance(kind, ast.Subscript) else ()
            is_switch = isinstance(kind, ast.Name) and kind.id == "bool"
            yield Setting(key, text, choices, is_switch)

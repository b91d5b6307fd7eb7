"""Every setting as a flag of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from seqvae_cli.config.adapt import KEYS
from seqvae_cli.config.outline import ALIASES, flag_name
from seqvae_cli.config.schema import Settings


@dataclass(frozen=True)
class Flag:
    """A setting as the command line shows it."""

    key: str
    """Dotted path of the setting, such as `train.lr`."""
    names: tuple[str, ...]
    help: str
    kind: str
    """What a value looks like: INTEGER, FLOAT, TEXT, BOOLEAN or the choices."""
    heading: str
    """Where the flag stands in the help."""


HEADINGS = {
    "data": "Data and run",
    "train": "Training",
    "train.lr": "Learning rate",
    "train.lr_schedule": "Learning rate",
    "train.lr_cycles": "Learning rate",
    "train.lr_decay": "Learning rate",
    "train.patience": "Learning rate",
    "train.max_decays": "Learning rate",
    "model": "Model",
    "model.latent_size": "Latent code",
    "model.posterior": "Latent code",
    "model.concentration": "Latent code",
    "model.prior": "Latent code",
    "model.components": "Latent code",
    "model.latent_state": "Latent code",
    "model.latent_input": "Latent code",
    "model.latent_output": "Latent code",
    "model.latent_rotary": "Latent code",
    "objective": "Objective",
    "runtime": "Runtime",
    "seed": "Runtime",
}
"""The heading of a setting in the help: its own, else that of its group."""


def fields(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting with its dotted key, in the order of the schema."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def values(settings: Settings) -> dict[str, Any]:
    """The settings by dotted key, in the order of the schema."""
    return {key: attrgetter(key)(settings) for key, _ in fields()}


def heading_of(key: str) -> str:
    """`train.lr` stands under Learning rate, `train.clip` under Training."""
    return HEADINGS.get(key) or HEADINGS[key.partition(".")[0]]


def flags() -> Iterator[Flag]:
    """One flag for every setting; its help gives the range and the default."""
    for key, field in fields():
        name, kind = flag_name(key), kind_of(field)
        names: tuple[str, ...] = (name, *ALIASES.get(key, ()))
        if kind == "BOOLEAN":
            names = (f"{name}/--no-{name[2:]}",)
        default = ("on" if field.default else "off") if kind == "BOOLEAN" else field.default
        follows = ", or from the corpus" if key in KEYS else ""
        notes = [range_of(field), "" if default == "" else f"default {default}{follows}"]
        text = "; ".join(filter(None, notes))
        yield Flag(
            key, names, f"{field.description} [{text}]" if text else str(field.description), kind, heading_of(key)
        )


def kind_of(field: FieldInfo) -> str:
    """What a value looks like, as in `Flag.kind`."""
    if get_origin(field.annotation) is Literal:
        return "|".join(get_args(field.annotation))
    kinds: dict[Any, str] = {int: "INTEGER", float: "FLOAT", bool: "BOOLEAN"}
    return kinds.get(field.annotation, "TEXT")


def range_of(field: FieldInfo) -> str:
    """The allowed numbers, such as `above 0 to 10`; empty for a setting that is not a number."""
    bounds = {
        name: str(bound) if isinstance(bound, int) else f"{bound:.12g}"
        for item in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if (bound := getattr(item, name, None)) is not None
    }
    low = bounds.get("ge") or (f"above {bounds['gt']}" if "gt" in bounds else "")
    high = bounds.get("le") or (f"below {bounds['lt']}" if "lt" in bounds else "")
    return f"{low} to {high}" if low and high else low or high

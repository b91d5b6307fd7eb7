"""Settings: their schema, their flags, and the layers that they come in."""

from seqvae_cli.config.layers import dump, load, parse, preset_names, preset_text, resolve, scalar
from seqvae_cli.config.options import ALIASES, Flag, fields, flag_name, flags
from seqvae_cli.config.schema import (
    MAX_CONCENTRATION,
    MAX_SEED,
    ModelSettings,
    ObjectiveSettings,
    Settings,
)

__all__ = [
    "ALIASES",
    "MAX_CONCENTRATION",
    "MAX_SEED",
    "Flag",
    "ModelSettings",
    "ObjectiveSettings",
    "Settings",
    "dump",
    "fields",
    "flag_name",
    "flags",
    "load",
    "parse",
    "preset_names",
    "preset_text",
    "resolve",
    "scalar",
]

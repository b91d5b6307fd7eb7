"""Settings in layers: defaults (of preset default) < preset < corpus < YAML file < --set < flags; YAML in and out.

Every layer is checked when it is added, so that an error names the layer it came from; an unknown key fails and names
the nearest one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from seqvae_cli.config import presets
from seqvae_cli.config.options import fields, kind_of, range_of
from seqvae_cli.config.outline import flag_name
from seqvae_cli.config.schema import Settings
from seqvae_cli.errors import DataError, MachineError, SeqvaeError, UsageError, meant, nearest

UNREADABLE = (ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""What the YAML library raises besides its own errors, such as for `!!int ""` and `!!timestamp x`."""


def resolve(
    preset: str = "default",
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    adapted: Mapping[str, Any] | None = None,
) -> Settings:
    """Defaults < preset < adapted < YAML file < overrides (dotted keys, such as `{"train.lr": 0.01}`).

    adapted: what the preset's settings become for a corpus of another size.

    Raises `DataError` for a bad file, `UsageError` for a bad preset name or override.
    """
    values: dict[str, Any] = {}
    values = _add(values, parse(presets.text(preset), f"preset {preset}"), DataError, f"preset {preset}: ")
    for key, value in (adapted or {}).items():
        values = _add(values, _nested(key, value), UsageError, "")
    if file is not None:
        values = _add(values, parse(read(file), str(file)), DataError, f"{file}: ")
    for key, value in (overrides or {}).items():
        values = _add(values, _nested(key, value), UsageError, "")
    settings = Settings.model_validate(values)
    _check_latent(settings)
    return settings


def given(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> set[str]:
    """The dotted keys that a YAML file and overrides set. Raises what `resolve` raises for a bad file."""
    groups = {} if file is None else parse(read(file), str(file))
    inside = {f"{group}.{key}" for group, keys in groups.items() if isinstance(keys, dict) for key in keys}
    return inside | set(groups) | set(overrides or ())


def _check_latent(settings: Settings) -> None:
    """Raises `UsageError` where settings of the latent code contradict each other."""
    model, objective = settings.model, settings.objective
    if model.posterior == "vmf" and model.latent_size < 2:
        raise UsageError("model.latent_size: a sphere has at least 2 dimensions", "or choose model.posterior gaussian")
    if not model.latent_size and model.prior != "standard":
        raise UsageError(f"model.prior: a language model has no {model.prior} prior", "leave it at standard")
    ways = ("latent_state", "latent_input", "latent_output", "latent_rotary")
    if model.latent_size and not any(getattr(model, way) for way in ways):
        raise UsageError("model: z does not reach the decoder", f"set one of {', '.join(ways)}")
    constant = not model.latent_size or (
        model.posterior == "vmf" and model.concentration > 0 and model.prior == "standard"
    )
    if constant and (objective.min_rate or objective.target_rate):
        key = "min_rate" if objective.min_rate else "target_rate"
        hint = "model.concentration 0 learns that of a vmf posterior" if model.latent_size else "it has no latent code"
        raise UsageError(f"objective.{key}: the rate of this model is constant", hint)


_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


MAX_BYTES = 1 << 16
MAX_DEPTH = 8
MAX_NODES = 1000
"""Of a settings file. The settings have two levels and about 60 keys."""
TOO_LONG = f"settings have at most {MAX_BYTES:,} bytes"


class _Loader(yaml.SafeLoader):
    """YAML's safe loader for files of strangers: no anchors, aliases and merge keys, no key twice, bounded in size.

    Numbers are decimal, as the flags read them: `010` is ten; `1:30` and `0x10` are text.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_BYTES:
            raise yaml.MarkedYAMLError(problem=TOO_LONG)
        super().__init__(text)
        self.nodes = self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuses a node before it is made: aliases and merge keys multiply the work of the constructor."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self.nodes += 1
        self.depth += 1
        problem = None
        if getattr(event, "anchor", None) is not None:
            problem = "anchors and aliases are not allowed"
        elif self.nodes > MAX_NODES or self.depth > MAX_DEPTH:
            problem = "settings are nested too deeply" if self.depth > MAX_DEPTH else "too many values for settings"
        if problem:
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "merge keys are not allowed", key.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"{key.value!r} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] not in (_INT, _FLOAT)]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)
_Loader.add_constructor(_INT, lambda _, node: int(node.value))


class _Dumper(yaml.SafeDumper):
    """Quotes text that the loader would read as a number, and escapes a line end that it would read as another."""


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, '"' if "\x85" in text else None)
)


def scalar(text: str) -> Any:
    """The value that `text` has in a YAML file. Raises `ValueError` where it cannot be read."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, *UNREADABLE) as error:
        raise ValueError(text) from error


@lru_cache(32)
def _loaded(text: str) -> Any:
    """YAML's loader is pure Python, 10 ms for the settings of a run."""
    return yaml.load(text, _Loader)


def parse(text: str, source: str) -> dict[str, Any]:
    """YAML as a mapping; Python tags are refused. Raises `DataError` that names the line."""
    try:
        value = deepcopy(_loaded(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid YAML"  # may quote a name of any length
        raise DataError(f"{source}{where}: {problem:.200}") from error
    except UNREADABLE as error:
        raise DataError(f"{source}: not valid YAML") from error
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise DataError(f"{source}: settings are `key: value` lines, not a {type(value).__name__}")
    return value


def load(path: Path) -> Settings:
    """The resolved settings of a run: its `config.yaml`. Raises `DataError`."""
    return Settings.model_validate(_add({}, parse(read(path), str(path)), DataError, f"{path}: "))


def read(path: Path) -> str:
    """The text of a settings file. Raises `DataError`, `MachineError`."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise DataError(f"{path}: {TOO_LONG}")
        return data.decode()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such settings file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: byte {error.start}") from error
    except OSError as error:
        raise MachineError(f"{path}: {error.strerror}") from error


def dump(settings: Settings) -> str:
    """All settings as YAML that `load` reads back."""
    return yaml.dump(settings.model_dump(), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _add(values: dict[str, Any], layer: dict[str, Any], kind: type[SeqvaeError], source: str) -> dict[str, Any]:
    """`values` overridden by `layer`, checked against the schema. Raises `kind`; the message begins with `source`."""
    known = dict(fields())
    merged = _merge(values, layer)
    try:
        Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] in ("extra_forbidden", "invalid_key"):
            key = _first_key(key, layer)
            raise kind(f"{source}no setting {key!r}", _nearest_setting(key, known)) from error
        if key not in known:
            raise kind(f"{source}{key}: is a group of settings, such as {key}.{_first_of(key, known)}") from error
        field = known[key]
        expected = ", ".join(part for part in (kind_of(field), range_of(field)) if part)
        if key == "runtime.device":
            expected = str(field.description)
        hint = f"{flag_name(key)}: {field.description}" if kind is UsageError else str(field.description)
        raise kind(f"{source}{key}: {_shown(first['input'])} is not allowed ({expected})", hint) from error
    except RecursionError as error:
        raise kind(f"{source}settings are nested too deeply") from error
    return merged


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _first_key(key: str, layer: dict[str, Any]) -> str:
    """The dotted key of the first setting in the unknown group `key`: of `trian`, `trian.epochs`."""
    value: Any = layer.get(key)
    while isinstance(value, dict) and value:
        name, value = next(iter(value.items()))
        key = f"{key}.{name}"
    return key


def _nearest_setting(key: str, known: Mapping[str, FieldInfo]) -> str:
    """A hint for an unknown key; it also finds `train.lr` for `lr`, and for `learning_rate` by its description."""
    if key in known:
        group, _, name = key.partition(".")
        return f"in a file groups are nested: `{group}: {{{name}: ...}}`"
    for full in known:
        if full.rpartition(".")[2] == key.rpartition(".")[2]:
            return f"did you mean {full!r}?"
    if close := meant(key, known):
        return f"did you mean {close!r}?"
    group, _, name = key.rpartition(".")
    words = re.compile(rf"\b{re.escape(name.replace('_', ' '))}\b", re.IGNORECASE)
    described = [full for full, field in known.items() if name and words.search(str(field.description))]
    if described:
        return f"perhaps {', '.join(described[:3])}"
    if not group:
        return nearest(key, {full.partition(".")[0] for full in known})
    return nearest(key, [full for full in known if full.startswith(f"{group}.")] or known)


def _first_of(group: str, known: Mapping[str, FieldInfo]) -> str:
    return next(key.rpartition(".")[2] for key in known if key.startswith(f"{group}."))

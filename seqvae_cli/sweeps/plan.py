"""What a sweep tries: a YAML file with settings that stay, and settings that each trial draws anew.

preset: default                                  the default
data: reviews                                    else the corpus prepared last
settings:                                        the same in every trial
  train.epochs: 20
space:                                           drawn for each trial
  model.latent_size: [16, 32, 64]                one of these
  train.lr: {low: 0.0005, high: 0.005, log: true}
  model.hidden_size: {low: 128, high: 512, step: 64}
trials: 20                                       the default
prune: true                                      the default: ends trials that fall behind
seed: 0                                          the default: of the draws; each run has the seed of its settings
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqvae_cli.config import layers
from seqvae_cli.errors import DataError, SeqvaeError, meant
from seqvae_cli.runs.registry import check_name

KEYS = ("preset", "data", "settings", "space", "trials", "prune", "seed")
RANGE_KEYS = ("low", "high", "log", "step")
MOST_TRIALS = 100_000


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole numbers where both are."""

    low: float
    high: float
    log: bool = False
    """Equal ratios are as likely as each other, not equal differences."""
    step: float | None = None

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def examples(self) -> list[Any]:
        """Both ends, and a fraction between them where such are drawn."""
        return [self.low, self.high] + ([] if self.whole else [self.low + (self.high - self.low) / math.pi])


@dataclass(frozen=True)
class Choices:
    """One of the values."""

    values: tuple[Any, ...]

    @property
    def examples(self) -> list[Any]:
        return list(self.values)


Axis = Range | Choices


@dataclass(frozen=True)
class Plan:
    name: str
    """That of the file: runs are named after it."""
    preset: str
    data: str
    settings: Mapping[str, Any]
    """By dotted key."""
    space: Mapping[str, Axis]
    trials: int
    prune: bool
    seed: int

    @property
    def digest(self) -> str:
        """Of all that makes trials comparable: not of their number."""
        axes = {key: repr(axis) for key, axis in self.space.items()}
        parts = [self.preset, self.data, dict(self.settings), axes]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read(path: Path) -> Plan:
    """The plan in a YAML file. Raises `DataError` that names the file and what is wrong in it, `MachineError`."""
    values = layers.parse(layers.read(path), str(path))
    for key in values:
        if key not in KEYS:
            raise DataError(f"{path}: unknown key {key!r}", meant(key, KEYS))
    space = _mapping(path, values, "space")
    if not space:
        raise DataError(f"{path}: no space", "space: {train.lr: {low: 0.0005, high: 0.005, log: true}}")
    settings = _mapping(path, values, "settings")
    if twice := sorted(set(space) & set(settings)):
        raise DataError(f"{path}: {twice[0]} is in settings and in space", "leave one of them out")
    plan = Plan(
        name=_name(path),
        preset=_text(path, values, "preset", "default"),
        data=_text(path, values, "data", ""),
        settings=settings,
        space={key: _axis(path, key, value) for key, value in space.items()},
        trials=_whole(path, values, "trials", 20, 1, MOST_TRIALS),
        prune=_switch(path, "prune", values.get("prune", True)),
        seed=_whole(path, values, "seed", 0, 0, 2**31 - 1),
    )
    _check(path, plan)
    return plan


def _check(path: Path, plan: Plan) -> None:
    """Raises `DataError` for a setting that does not exist, or a value that it cannot have."""
    for key, axis in plan.space.items():
        if key == "data":
            raise DataError(f"{path}: the space holds data", "trials on other corpora do not compare")
        for number, value in enumerate(axis.examples):
            try:
                layers.resolve(plan.preset, overrides={key: value})
            except SeqvaeError as error:
                if isinstance(axis, Range) and number == 2:
                    hint = f"write {{low: {int(axis.low)}, high: {int(axis.high)}}}"
                    raise DataError(f"{path}: space: {key} takes whole numbers alone", hint) from error
                raise DataError(f"{path}: space: {error.message}", error.hint) from error
    if "data" in plan.settings:
        raise DataError(f"{path}: the settings hold data", "data: NAME stands beside settings, not in them")
    try:
        layers.resolve(plan.preset, overrides=plan.settings)
    except SeqvaeError as error:
        raise DataError(f"{path}: {error.message}", error.hint) from error


def _name(path: Path) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")[:90] or "sweep"
    return check_name(f"{name}-sweep" if name in ("latest", "best", "auto") else name)


def _mapping(path: Path, values: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = values.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise DataError(f"{path}: {key} is not a list of `setting: value` lines", "such as train.epochs: 20")
    return value


def _text(path: Path, values: Mapping[str, Any], key: str, default: str) -> str:
    value = values.get(key, default)
    if not isinstance(value, str):
        raise DataError(f"{path}: {key} is not a name")
    return value


def _whole(path: Path, values: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DataError(f"{path}: {key} is not a whole number from {low} to {high:,}")
    return value


def _switch(path: Path, name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise DataError(f"{path}: {name} is not true or false")
    return value


def _axis(path: Path, key: str, value: Any) -> Axis:
    if isinstance(value, list):
        if not value or not all(isinstance(one, bool | int | float | str) for one in value):
            raise DataError(f"{path}: space {key} lists no values", "such as [16, 32, 64]")
        return Choices(tuple(value))
    if not isinstance(value, dict):
        hint = f"{key}: [16, 32], or {{low: 0.001, high: 0.01, log: true}}; a value that stays goes under settings"
        raise DataError(f"{path}: space {key} is neither a list nor a range", hint)
    for name in value:
        if name not in RANGE_KEYS:
            raise DataError(f"{path}: space {key}: unknown key {name!r}", meant(str(name), RANGE_KEYS))
    numbers: dict[str, Any] = {name: value.get(name) for name in ("low", "high", "step")}
    for name, number in numbers.items():
        if (isinstance(number, bool) or not isinstance(number, int | float)) and (name, number) != ("step", None):
            raise DataError(f"{path}: space {key}: {name} is not a number", "{low: 0.001, high: 0.01, log: true}")
    low, high, step = numbers["low"], numbers["high"], numbers["step"]
    log = _switch(path, f"space {key}: log", value.get("log", False))
    if low >= high:
        raise DataError(f"{path}: space {key}: low {low} is not below high {high}")
    if log and (low <= 0 or step is not None):
        raise DataError(f"{path}: space {key}: log takes low above 0, and no step")
    axis = Range(low, high, log, step)
    if step is not None and (step <= 0 or (axis.whole and not isinstance(step, int))):
        raise DataError(f"{path}: space {key}: step {step} is not a {'whole ' if axis.whole else ''}number above 0")
    return axis

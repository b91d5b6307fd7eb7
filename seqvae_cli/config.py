"""The one schema of settings: strict, with units and ranges; YAML in and out.

Settings are layered: defaults (those of preset default) < preset < YAML file < --set < flags. Every layer is checked
when it is added, so that an error names the layer it came from; an unknown key fails and names the nearest one.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from seqvae_cli.errors import DataError, MachineError, SeqvaeError, UsageError, nearest

MAX_SEED = 2**63 - 1
MAX_CONCENTRATION = 10_000
"""Of a von Mises-Fisher distribution, given or learned: its density's constant takes terms in proportion."""
BEFORE: dict[str, Any] = {
    "model": {"pooling": "last", "shortlist": 0},
    "train": {"pretrain": 0.0, "lr_schedule": "plateau"},
}
"""What a run means whose settings were written before these had names."""
UNREADABLE = (ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""What the YAML library lets out besides its own errors, for `!!int ""` or `!!timestamp x` say."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads `yes` as a switch: `word_dropout: yes` must not become a rate of 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (int, float):
            raise ValueError("a switch is no number")
        return value


class ModelSettings(_Section):
    embed_size: int = Field(256, ge=1, le=65536, description="dimensions of a word embedding")
    hidden_size: int = Field(256, ge=1, le=65536, description="dimensions of an LSTM state")
    latent_size: int = Field(
        32, ge=0, le=65536, description="dimensions of the latent code z; 0: none, a language model"
    )
    posterior: Literal["gaussian", "vmf"] = Field(
        "gaussian", description="q(z|x): a diagonal Gaussian, or von Mises-Fisher on the unit sphere"
    )
    concentration: float = Field(
        80.0,
        ge=0,
        le=MAX_CONCENTRATION,
        description="of a vmf posterior, the same for all sentences; 0: learned for each",
    )
    prior: Literal["standard", "mixture", "vamp"] = Field(
        "standard",
        description="p(z): N(0, I) or uniform on the sphere, a learned mixture, or one of posteriors of learned inputs",
    )
    components: int = Field(20, ge=1, le=10_000, description="components of a mixture or vamp prior")
    encoder_size: int = Field(
        0, ge=0, le=65536, description="dimensions of an LSTM state of the encoder; 0: as many as hidden_size"
    )
    encoder_layers: int = Field(1, ge=1, le=16, description="LSTM layers of the encoder")
    decoder_layers: int = Field(1, ge=1, le=16, description="LSTM layers of the decoder")
    bidirectional: bool = Field(False, description="the encoder reads in both directions")
    pooling: Literal["last", "max", "mean", "rotary"] = Field(
        "max",
        description="what the encoder makes of its states: the last one, each dimension's largest or mean, or the sum "
        "of states and words, each turned by its position (rotary, made for latent_rotary)",
    )
    latent_state: bool = Field(True, description="z sets the decoder's first state")
    latent_input: bool = Field(True, description="z is concatenated to every decoder input")
    latent_output: bool = Field(False, description="z also enters the output of the decoder LSTM, a skip connection")
    latent_rotary: bool = Field(
        False,
        description="what z holds about each position enters the decoder's input and output there (made for pooling "
        "rotary)",
    )
    dropout: float = Field(0.35, ge=0, lt=1, description="dropout rate before and after the decoder LSTM")
    locked_dropout: bool = Field(False, description="one dropout mask a sentence, not one a token")
    weight_drop: float = Field(
        0.0, ge=0, lt=1, description="rate of recurrent weights of the decoder LSTM that are dropped, anew each step"
    )
    word_dropout: float = Field(
        0.0, ge=0, le=1, description="rate of decoder input words replaced by <unk>; 1 is the inputless decoder"
    )
    tied: bool = Field(True, description="the output weights are the word embeddings")
    shortlist: int = Field(
        500,
        ge=0,
        le=10_000_000,
        description="commonest words, which one softmax picks; rarer ones take two; 0: all words",
    )

    @property
    def summary_size(self) -> int:
        """Dimensions of what the encoder makes of a sentence, before the posterior."""
        return (self.encoder_size or self.hidden_size) * (2 if self.bidirectional else 1)


class ObjectiveSettings(_Section):
    kl_schedule: Literal["none", "linear", "logistic", "cyclical"] = Field(
        "linear", description="how the KL weight rises"
    )
    kl_hold: float = Field(0.0, ge=0, le=1e6, description="epochs at KL weight 0 before it rises (linear, logistic)")
    kl_warmup: float = Field(6.0, gt=0, le=1e6, description="epochs in which the KL weight rises (linear, logistic)")
    kl_cycles: int = Field(4, ge=1, le=10000, description="cycles of the cyclical schedule in all epochs together")
    kl_ratio: float = Field(0.5, gt=0, le=1, description="part of a cycle in which the KL weight rises")
    beta: float = Field(1.0, ge=0, le=1000, description="the full KL weight")
    free_bits: float = Field(0.2, ge=0, le=1000, description="nats a latent dimension that the KL costs nothing")
    free_bits_total: float = Field(0.0, ge=0, le=100000, description="nats in all dimensions that the KL costs nothing")
    target_rate: float = Field(
        0.0,
        ge=0,
        le=100000,
        description="nats at which the rate is held, by beta times its distance, without free bits; 0: none",
    )
    min_rate: float = Field(
        0.0, ge=0, le=100000, description="nats below which a Lagrange multiplier does not let the rate fall; 0: none"
    )


class TrainSettings(_Section):
    epochs: int = Field(30, ge=1, le=1_000_000, description="passes over the training split")
    pretrain: float = Field(
        3.0, ge=0, le=1e6, description="epochs as an autoencoder, without the KL, after which the decoder is reset"
    )
    aggressive: bool = Field(
        False, description="the encoder is trained to its best before each step, while that raises mutual information"
    )
    batch_size: int = Field(32, ge=1, le=1_000_000, description="sentences a step")
    batch_tokens: int = Field(
        0, ge=0, le=100_000_000, description="tokens a step, padding counted; 0: batches by sentences"
    )
    lr: float = Field(2e-3, gt=0, le=10, description="learning rate of Adam")
    lr_schedule: Literal["plateau", "cosine"] = Field(
        "cosine", description="lower the learning rate on plateaus, or along a cosine down to 0 in the last epoch"
    )
    lr_cycles: int = Field(1, ge=1, le=10_000, description="cosines of the learning rate; each but the first a restart")
    average: float = Field(
        0.0, ge=0, lt=1, description="decay, a step, of the running mean of the weights that is validated; 0: none"
    )
    clip: float = Field(5.0, ge=0, le=1e6, description="largest norm of the gradient; 0: no clipping")
    max_len: int = Field(
        0, ge=0, le=2**31, description="training sentences are cut to so many words; 0: never (validation never is)"
    )
    patience: int = Field(
        2,
        ge=0,
        le=1_000_000,
        description="plateau: epochs without a better validation -ELBO before the lr is lowered; 0: never",
    )
    lr_decay: float = Field(0.5, gt=0, lt=1, description="factor that lowers the learning rate on a plateau")
    max_decays: int = Field(5, ge=0, le=1000, description="plateaus after which training stops")
    early_stop: int = Field(
        0, ge=0, le=1_000_000, description="epochs without a better validation -ELBO before training stops; 0: never"
    )
    save_every: float = Field(10.0, gt=0, le=1e6, description="minutes between checkpoints within an epoch")


class RuntimeSettings(_Section):
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d{1,3})?|mps)$", description="auto, cpu, cuda, cuda:N or mps"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="precision of matrix products; auto: bfloat16 where the machine has a unit for it"
    )
    threads: int = Field(0, ge=0, le=4096, description="CPU threads; 0: as many as there are cores")


class Settings(_Section):
    data: str = Field("", max_length=128, description="name of a prepared corpus; empty: the last one prepared")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="seed of weights, order and noise")
    model: ModelSettings = Field(default_factory=ModelSettings)
    objective: ObjectiveSettings = Field(default_factory=ObjectiveSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)


@dataclass(frozen=True)
class Flag:
    """A setting as the command line shows it."""

    key: str
    """Dotted path of the setting, such as `train.lr`."""
    names: tuple[str, ...]
    help: str
    kind: str
    """What a value looks like: INTEGER, FLOAT, TEXT, BOOLEAN or the choices."""


ALIASES = {"train.max_len": ("--bptt",)}
"""Further names of a flag: what users of other implementations know it by."""


def fields(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting with its dotted key."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def flag_name(key: str) -> str:
    """`train.batch_size` is `--batch-size`."""
    return "--" + key.rpartition(".")[2].replace("_", "-")


def flags() -> Iterator[Flag]:
    """One flag a setting."""
    for key, field in fields():
        name, kind = flag_name(key), _kind(field)
        names: tuple[str, ...] = (name, *ALIASES.get(key, ()))
        if kind == "BOOLEAN":
            names = (f"{name}/--no-{name[2:]}",)
        default = field.default if field.default != "" else "none"
        if kind == "BOOLEAN":
            default = "on" if field.default else "off"
        ranges = _range(field)
        yield Flag(key, names, f"{field.description} [{ranges + '; ' if ranges else ''}default {default}]", kind)


def _kind(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "|".join(get_args(field.annotation))
    kinds: dict[Any, str] = {int: "INTEGER", float: "FLOAT", bool: "BOOLEAN"}
    return kinds.get(field.annotation, "TEXT")


def _range(field: FieldInfo) -> str:
    bounds = {
        name: str(bound) if isinstance(bound, int) else f"{bound:.12g}"
        for item in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if (bound := getattr(item, name, None)) is not None
    }
    low = bounds.get("ge") or (f"above {bounds['gt']}" if "gt" in bounds else "")
    high = bounds.get("le") or (f"below {bounds['lt']}" if "lt" in bounds else "")
    return f"{low} to {high}" if low and high else low or high


def preset_names() -> list[str]:
    return sorted(file.name[:-5] for file in _presets().iterdir() if file.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """The commented YAML of a preset. Raises `UsageError` for an unknown one."""
    if name not in preset_names():
        raise UsageError(f"no preset {name!r}", nearest(name, preset_names()))
    return (_presets() / f"{name}.yaml").read_text(encoding="utf-8")


def _presets() -> Traversable:
    return resources.files("seqvae_cli") / "presets"


def resolve(preset: str = "default", file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Defaults < preset < YAML file < overrides (dotted keys, such as `{"train.lr": 0.01}`).

    Raises `DataError` for a bad file, `UsageError` for a bad preset name or override.
    """
    values: dict[str, Any] = {}
    values = _add(values, parse(preset_text(preset), f"preset {preset}"), DataError, f"preset {preset}: ")
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise DataError(f"{file}: no such settings file") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{file} is no UTF-8 text: byte {error.start}") from error
        except OSError as error:
            raise MachineError(f"{file}: {error.strerror}") from error
        values = _add(values, parse(text, str(file)), DataError, f"{file}: ")
    for key, value in (overrides or {}).items():
        values = _add(values, _nested(key, value), UsageError, "")
    settings = Settings.model_validate(values)
    _check_latent(settings)
    return settings


def _check_latent(settings: Settings) -> None:
    """Raises `UsageError` where settings of the latent code cannot work together."""
    model, objective = settings.model, settings.objective
    if model.posterior == "vmf" and model.latent_size < 2:
        raise UsageError("model.latent_size: a sphere has at least 2 dimensions", "or take model.posterior gaussian")
    if not model.latent_size and model.prior != "standard":
        raise UsageError(f"model.prior: a language model has no {model.prior} prior", "leave it at standard")
    ways = ("latent_state", "latent_input", "latent_output", "latent_rotary")
    if model.latent_size and not any(getattr(model, way) for way in ways):
        raise UsageError("model: z reaches the decoder nowhere", f"set one of {', '.join(ways)}")
    constant = not model.latent_size or (
        model.posterior == "vmf" and model.concentration > 0 and model.prior == "standard"
    )
    if constant and (objective.min_rate or objective.target_rate):
        key = "min_rate" if objective.min_rate else "target_rate"
        raise UsageError(
            f"objective.{key}: the rate of this model is constant",
            "model.concentration 0 learns that of a vmf posterior",
        )


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which besides refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"{key.value!r} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(text: str, source: str) -> dict[str, Any]:
    """YAML as a mapping. Python tags are refused. Raises `DataError` with the line."""
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "no valid YAML"  # which may hold a name of any length
        raise DataError(f"{source}{where}: {problem:.200}") from error
    except UNREADABLE as error:
        raise DataError(f"{source}: no valid YAML") from error
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise DataError(f"{source}: settings are `key: value` lines, not a {type(value).__name__}")
    return value


def load(path: Path) -> Settings:
    """The resolved settings of a run. Raises `DataError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return Settings.model_validate(_add(BEFORE, parse(text, str(path)), DataError, f"{path}: "))


def dump(settings: Settings) -> str:
    return yaml.safe_dump(settings.model_dump(), sort_keys=False, allow_unicode=True)


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _add(values: dict[str, Any], layer: dict[str, Any], kind: type[SeqvaeError], source: str) -> dict[str, Any]:
    """`values` with `layer` over them, checked against the schema."""
    known = dict(fields())
    merged = _merge(values, layer)
    try:
        Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] in ("extra_forbidden", "invalid_key"):
            raise kind(f"{source}no setting {key!r}", _nearest_setting(key, known)) from error
        if key not in known:
            raise kind(f"{source}{key}: is a group of settings, such as {key}.{_first_of(key, known)}") from error
        field = known[key]
        expected = ", ".join(part for part in (_kind(field), _range(field)) if part)
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
    # A long list or a nest of aliases is never written out in full.
    text = reprlib.repr(value) if isinstance(value, list | dict) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest_setting(key: str, known: Mapping[str, FieldInfo]) -> str:
    """Also finds `lr` where `train.lr` is meant."""
    if key in known:
        group, _, name = key.partition(".")
        return f"in a file groups are nested: `{group}: {{{name}: ...}}`"
    for full in known:
        if full.rpartition(".")[2] == key.rpartition(".")[2]:
            return f"did you mean {full!r}?"
    return nearest(key, known)


def _first_of(group: str, known: Mapping[str, FieldInfo]) -> str:
    return next(key.rpartition(".")[2] for key in known if key.startswith(f"{group}."))

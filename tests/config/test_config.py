"""The schema of settings: layers, ranges, YAML in and out, flags."""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from typing import Any, get_origin

import pytest
import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from typer.main import get_command

from seqvae_cli.cli import headings
from seqvae_cli.config import layers, options, presets, schema
from seqvae_cli.config.schema import Settings
from seqvae_cli.errors import DataError, MachineError, SeqvaeError, UsageError

FIELDS = dict(options.fields())
NUMBERS = {key: field for key, field in FIELDS.items() if field.annotation in (int, float)}
SENTINEL = "executed"


def value_of(settings: Settings, key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def bounds_of(field: FieldInfo) -> dict[str, float]:
    return {name: getattr(m, name) for m in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(m, name)}


def within(field: FieldInfo, value: float) -> bool:
    bounds = bounds_of(field)
    return (
        math.isfinite(value)
        and (field.annotation is float or value == int(value))
        and value >= bounds.get("ge", -math.inf)
        and value > bounds.get("gt", -math.inf)
        and value <= bounds.get("le", math.inf)
        and value < bounds.get("lt", math.inf)
    )


def numbers_in(text: str) -> set[float]:
    return {float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])", text)}


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "settings.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def attempt(file: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings | SeqvaeError:
    """The settings, or the typed error in their place."""
    try:
        return layers.resolve(file=file, overrides=overrides)
    except SeqvaeError as error:
        return error


def flag_default(help_text: str) -> str:
    """The default that a help ends with; an empty text for none."""
    match = re.search(r"default ([^];]+)\]$", help_text)
    return match[1] if match else ""


# --- layers


def test_layers_override_each_other_in_order(tmp_path: Path) -> None:
    file = written(tmp_path, "train: {lr: 0.02, clip: 7}\nseed: 5\n")
    settings = layers.resolve("seed", file, {"train.clip": "9", "data": "toy"})
    assert settings.model.dropout == 0.0  # preset over default
    assert settings.train.max_decays == Settings().train.max_decays  # untouched default
    assert settings.train.lr == 0.02  # file over preset
    assert settings.seed == 5  # file over default
    assert settings.train.clip == 9.0  # override over file over preset
    assert settings.train.max_len == 60  # a section in the file keeps the preset's other settings
    assert settings.data == "toy"


@pytest.mark.parametrize("key", [*FIELDS])
def test_every_setting_can_be_set_by_file_and_override(key: str, tmp_path: Path) -> None:
    field = FIELDS[key]
    other: Any = {bool: not field.default, int: 3, float: 0.75}.get(field.annotation)  # type: ignore[arg-type]
    if key == "data":
        other = "ptb"
    elif key == "runtime.device":
        other = "cuda:3"
    elif get_origin(field.annotation) is not None:
        other = next(choice for choice in field.annotation.__args__ if choice != field.default)  # type: ignore[union-attr]
    assert other != field.default
    nested: Any = other
    for part in reversed(key.split(".")):
        nested = {part: nested}
    from_file = layers.resolve(file=written(tmp_path, yaml.safe_dump(nested)))
    assert value_of(from_file, key) == other
    assert layers.resolve(overrides={key: other}) == from_file
    text = {True: "yes", False: "no"}.get(other, str(other)) if isinstance(other, bool) else str(other)
    assert layers.resolve(overrides={key: text}) == from_file  # as a flag gives it


def test_the_default_preset_is_what_the_help_calls_default() -> None:
    assert layers.dump(layers.resolve()).splitlines() == layers.dump(Settings()).splitlines()


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError):
        Settings().train.lr = 1.0  # type: ignore[misc]


# --- unknown keys


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("sed", "seed"),
        ("dat", "data"),
        ("lr", "train.lr"),
        ("bptt_len", None),
        ("train.learning_rate", None),
        ("train.batchsize", "train.batch_size"),
        ("train.batch-size", "train.batch_size"),
        ("train.LR", "train.lr"),
        ("model.lr", "train.lr"),
        ("model.laten_size", "model.latent_size"),
        ("objective.freebits", "objective.free_bits"),
        ("runtime.thread", "runtime.threads"),
        ("train.seed", "seed"),
    ],
)
def test_an_unknown_key_names_the_nearest(key: str, meant: str | None, tmp_path: Path) -> None:
    nested: Any = 1
    for part in reversed(key.split(".")):
        nested = {part: nested}
    file = written(tmp_path, yaml.safe_dump(nested))
    with pytest.raises(UsageError) as flag:
        layers.resolve(overrides={key: 1})
    with pytest.raises(DataError) as from_file:
        layers.resolve(file=file)
    assert (flag.value.exit_code, from_file.value.exit_code) == (2, 4)
    assert str(file) in from_file.value.message
    for error in (flag.value, from_file.value):
        assert repr(key) in error.message
        if meant is not None:
            assert error.hint == f"did you mean {meant!r}?"
        else:
            suggested = re.findall(r"[\w.]+", error.hint)
            assert any(name in FIELDS for name in suggested)


def test_a_key_below_a_setting_is_refused() -> None:
    with pytest.raises(UsageError, match=r"train\.lr"):
        layers.resolve(overrides={"train.lr.x": 1})
    with pytest.raises(UsageError, match=r"no setting 'train\.x'"):
        layers.resolve(overrides={"train.x.y": 1})


@pytest.mark.parametrize("key", ["", ".", "train.", ".lr", "train..lr", "a." * 3000])
def test_malformed_keys_are_typed_errors(key: str) -> None:
    with pytest.raises(UsageError):
        layers.resolve(overrides={key: 1})


@pytest.mark.parametrize("value", ["3", "[]", "text", ""])
def test_a_group_is_no_setting(value: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train: is a group of settings, such as train\.adapt"):
        layers.resolve(file=written(tmp_path, f"train: {value}\n"))


@pytest.mark.parametrize("text", ["train: {1: 2}", "train: {true: 2}", "model: {null: 2}", "1: 2", "1.5: {a: 1}"])
def test_keys_that_are_no_text_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"settings\.yaml"):
        layers.resolve(file=written(tmp_path, text))


def test_a_dotted_key_in_a_file_is_told_how_a_file_has_it(tmp_path: Path) -> None:
    file = written(tmp_path, "train.lr: 0.02\n")
    with pytest.raises(DataError) as caught:
        layers.resolve(file=file)
    assert caught.value.message == f"{file}: no setting 'train.lr'"
    assert caught.value.hint == "in a file groups are nested: `train: {lr: ...}`"


def test_a_group_given_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    # Plain YAML would drop the first one silently.
    with pytest.raises(DataError, match="train"):
        layers.resolve(file=written(tmp_path, "train: {lr: 0.02}\nseed: 1\ntrain: {clip: 3}\n"))


# --- values


TRIED: list[Any] = [math.nan, math.inf, -math.inf, 0, -1, -0.0, 0.5, 1, 1.0, 1.5, 1e9, 10**9, 10**30, 1e-300, -1e-9]
TRIED += [str(value) for value in TRIED] + ["", " ", "one", "1,5", "0x10", "9" * 6000, None, [], [1], {}, {"a": 1}]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default preset without a line: reading its YAML thousands of times would take most of the time."""
    monkeypatch.setattr(presets, "text", lambda _: "")


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("key", [*NUMBERS])
def test_a_number_is_within_its_range_or_refused_with_it(key: str) -> None:
    field = NUMBERS[key]
    for value in TRIED:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        outcome = attempt(overrides={key: value})
        if isinstance(outcome, Settings):
            assert within(field, number), value
            assert value_of(outcome, key) == number
            assert type(value_of(outcome, key)) is field.annotation
        else:
            assert not within(field, number) or (isinstance(value, str) and field.annotation is int)
            assert isinstance(outcome, UsageError)
            assert key in outcome.message
            assert (repr(value) if len(repr(value)) <= 60 else repr(value)[:57]) in outcome.message
            assert set(map(float, bounds_of(field).values())) <= numbers_in(
                outcome.message.rpartition("not allowed")[2]
            )
            assert outcome.hint
            assert len(outcome.message) < 300


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("key", [*NUMBERS])
def test_both_ends_of_a_range_are_exact(key: str) -> None:
    field = NUMBERS[key]
    bounds = bounds_of(field)
    whole = field.annotation is int
    assert {"ge", "gt"} & set(bounds), "no lower bound"
    assert {"le", "lt"} & set(bounds), "no upper bound"
    for name in ("ge", "le"):
        if name in bounds:
            assert value_of(layers.resolve(overrides={key: bounds[name]}), key) == bounds[name]
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    assert low is not None
    assert high is not None
    below = low - 1 if whole else low if "gt" in bounds else math.nextafter(low, -math.inf)
    above = high + 1 if whole else high if "lt" in bounds else math.nextafter(high, math.inf)
    for outside in (below, above):
        with pytest.raises(UsageError):
            layers.resolve(overrides={key: outside})


@pytest.mark.usefixtures("bare")
def test_a_fraction_is_told_that_the_setting_takes_whole_numbers() -> None:
    for key in (key for key, field in NUMBERS.items() if field.annotation is int):
        with pytest.raises(UsageError, match=r"(?i)integer|whole"):
            layers.resolve(overrides={key: 3.5})


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_no_numbers(value: bool) -> None:
    # `word_dropout: yes` would be the inputless decoder, `early_stop: on` one epoch.
    assert not [key for key in NUMBERS if not isinstance(attempt(overrides={key: value}), UsageError)]


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("objective.kl_schedule", "lineal", "none|linear|logistic|cyclical"),
        ("objective.kl_schedule", "", "none|linear|logistic|cyclical"),
        ("runtime.precision", "float16", "auto|float32|bfloat16"),
        ("runtime.device", "tpu", "auto, cpu, cuda, cuda:N or mps"),
        ("runtime.device", "cuda:", "cuda:N"),
        ("runtime.device", "cpu\n", "cuda:N"),
        ("model.tied", "maybe", "BOOLEAN"),
        ("model.tied", 2, "BOOLEAN"),
        ("data", 12, "TEXT"),
        ("data", None, "TEXT"),
        ("data", "x" * 129, "x" * 20),
    ],
)
def test_a_value_that_is_no_choice_is_refused_with_the_choices(key: str, value: Any, shown: str) -> None:
    with pytest.raises(UsageError) as caught:
        layers.resolve(overrides={key: value})
    assert key in caught.value.message
    assert shown in caught.value.message
    assert len(caught.value.message) < 200
    assert "\n" not in caught.value.message


# --- YAML


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "0.001", "'1e-3'", ".001"])
def test_floats_are_floats_however_written(text: str, tmp_path: Path) -> None:
    lr = layers.resolve(file=written(tmp_path, f"train:\n  lr: {text}\n")).train.lr
    assert lr == 0.001
    assert type(lr) is float


@pytest.mark.parametrize(
    "text",
    [
        "data: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{sentinel}']]",
        "!!python/object/apply:os.system ['touch {sentinel}']",
        "data: !!python/object/new:os.system ['touch {sentinel}']",
        "? !!python/object/apply:os.system ['touch {sentinel}']\n: 1",
        "data: !!python/name:os.system",
        "data: !!python/tuple [1]",
    ],
)
def test_python_tags_are_refused_and_not_executed(text: str, tmp_path: Path) -> None:
    sentinel = tmp_path / SENTINEL
    with pytest.raises(DataError, match=r"settings\.yaml, line 1: .*python") as caught:
        layers.resolve(file=written(tmp_path, text.replace("{sentinel}", str(sentinel))))
    assert caught.value.exit_code == 4
    assert not sentinel.exists()


@pytest.mark.parametrize(("text", "kind"), [("- a\n- b", "list"), ("3", "int"), ("words", "str"), ("1.5", "float")])
def test_a_file_that_is_no_mapping_says_what_it_is(text: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"settings\.yaml: settings are `key: value` lines, not a {kind}"):
        layers.resolve(file=written(tmp_path, text))


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "{}", "null", "\ufeff"])
def test_an_empty_file_changes_nothing(text: str, tmp_path: Path) -> None:
    assert layers.resolve(file=written(tmp_path, text)) == layers.resolve()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("train: {lr: [}", 1),
        ("seed: 1\n\ttrain: 2", 2),
        ("seed: 1\ntrain:\n  lr: 1: 2", 3),
        ("seed: 1\n---\nseed: 2", 2),
        ("seed: 1\ndata: *missing", 2),
        ("seed: 1\ndata: 'open", 2),
    ],
)
def test_broken_yaml_names_the_file_and_the_line(text: str, line: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"settings\.yaml, line {line}: ") as caught:
        layers.resolve(file=written(tmp_path, text))
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "text",
    [
        "data: " + "[" * 500,
        "data: " + "{a: " * 1500 + "1" + "}" * 1500,
        "data: " + "{a: " * 100 + "1" + "}" * 100,
        "- " * 1500,
        "a: &a [*a]",
        "train: &t\n  z: *t",
        "seed: " + "9" * 6000,
        "seed: 2020-13-45",
        "\x00",
        "data: !!float x",
        "train: {lr: 2020-01-01}",
        b"\xff\xfe\x00",
        b"\x80\x04\x95pickle",
    ],
    ids=range(13),
)
def test_hostile_files_are_typed_errors(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"settings\.yaml") as caught:
        layers.resolve(file=written(tmp_path, text))
    assert len(caught.value.message) < 1000


def test_files_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such settings file"):
        layers.resolve(file=tmp_path / "missing.yaml")
    with pytest.raises(MachineError, match=re.escape(str(tmp_path))):
        layers.resolve(file=tmp_path)
    with pytest.raises(DataError, match=r"missing\.yaml"):
        layers.load(tmp_path / "missing.yaml")
    with pytest.raises(DataError, match=r"settings\.yaml is not UTF-8: byte 6"):
        layers.resolve(file=written(tmp_path, b"data: \xff"))


# --- dump and load


@pytest.mark.parametrize("name", presets.names())
def test_settings_survive_dump_and_load(name: str, tmp_path: Path) -> None:
    settings = layers.resolve(
        name, overrides={"data": "naïve 日本: #x", "seed": schema.MAX_SEED, "train.lr": 1e-5, "objective.beta": 1e-7}
    )
    path = written(tmp_path, layers.dump(settings))
    assert layers.load(path) == settings
    assert layers.resolve(file=path) == settings  # a run's settings are a settings file
    assert layers.dump(layers.load(path)) == layers.dump(settings)


@pytest.mark.parametrize(
    "character", ["\x85", "\u2028", "\u2029", "\n", "\t", "\x7f", "\xa0", "\ufeff", "\U0001f600"], ids=ascii
)
def test_a_name_with_any_character_survives_dump_and_load(character: str) -> None:
    for name in (
        character,
        f"a{character}b",
        f"{character}a",
        f"a {character}",
        f"'{character}",
        f"{character}{character}",
    ):
        settings = layers.resolve(overrides={"data": name})
        assert layers.resolve(overrides=layers.parse(layers.dump(settings), "again")) == settings


def test_loading_checks_what_it_loads(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no setting 'train\.epoch'"):
        layers.load(written(tmp_path, "train: {epoch: 3}"))
    with pytest.raises(DataError, match=r"train\.epochs: 0 is not allowed"):
        layers.load(written(tmp_path, "train: {epochs: 0}"))


# --- flags


def test_every_setting_has_a_described_flag_of_its_own() -> None:
    flags = list(options.flags())
    assert [flag.key for flag in flags] == [*FIELDS]
    names = [name for flag in flags for pair in flag.names for name in pair.split("/")]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"--[a-z][a-z-]*", name) for name in names)
    for flag in flags:
        description = FIELDS[flag.key].description
        assert description
        assert flag.help.startswith(description)


def test_no_flag_collides_with_another_option_of_train() -> None:
    from seqvae_cli.cli.commands.train import app

    command: Any = get_command(app)
    command.complete()
    names = [name for param in command.params for name in (*param.opts, *param.secondary_opts)]
    assert len(names) == len(set(names))
    assert {"--lr", "--max-len", "--bptt", "--no-tied", "--preset"} <= set(names)


def test_bptt_is_another_name_of_max_len() -> None:
    (flag,) = [flag for flag in options.flags() if "--bptt" in flag.names]
    assert flag.key == "train.max_len"
    assert flag.names == ("--max-len", "--bptt")
    assert set(options.ALIASES) <= set(FIELDS)


def test_every_heading_of_a_setting_is_one_that_help_knows_and_uses() -> None:
    used = {flag.heading for flag in options.flags()}
    assert used == set(options.HEADINGS.values())
    assert used == {headings.DATA_AND_RUN, *headings.SETTINGS, headings.RUNTIME}
    assert {key for key in options.HEADINGS if "." in key} <= set(FIELDS)


@pytest.mark.parametrize("flag", list(options.flags()), ids=lambda flag: flag.key)
def test_help_shows_the_default_and_the_range(flag: options.Flag) -> None:
    field = FIELDS[flag.key]
    shown = flag_default(flag.help).removesuffix(", or from the corpus")
    if field.annotation is bool:
        assert flag.kind == "BOOLEAN"
        assert shown == ("on" if field.default else "off")
        assert flag.names == (f"--{flag.names[0][2:].partition('/')[0]}/--no-{flag.names[0].partition('/--no-')[2]}",)
    elif flag.key in NUMBERS:
        assert float(shown) == field.default
        assert flag.kind == ("INTEGER" if field.annotation is int else "FLOAT")
        assert set(map(float, bounds_of(field).values())) <= numbers_in(flag.help.rpartition("[")[2].partition(";")[0])
    else:
        assert shown == field.default


def test_the_largest_seed_is_shown_exactly() -> None:
    (flag,) = [flag for flag in options.flags() if flag.key == "seed"]
    assert f"0 to {2**63 - 1};" in flag.help
    with pytest.raises(UsageError, match=rf"{2**63} is not allowed \(.*0 to {2**63 - 1}\)"):
        layers.resolve(overrides={"seed": 2**63})


def test_names_in_one_group_are_told_apart_by_their_last_part() -> None:
    # `--lr` and "did you mean" both rest on last parts being unique.
    last = [key.rpartition(".")[2] for key in FIELDS]
    assert len(last) == len(set(last))
    assert not [name for name in last if difflib.get_close_matches(name, set(last) - {name}, cutoff=0.97)]


@pytest.mark.parametrize(
    ("text", "value"),
    [("010", 10), ("-3", -3), ("1e-5", 1e-5), (".5", 0.5), ("2.", 2.0), ("1:30", "1:30"), ("0x10", "0x10"), ("", None)],
)
def test_numbers_are_decimal_in_a_file_as_in_a_flag(text: str, value: object) -> None:
    assert layers.scalar(text) == value
    assert layers.parse(f"seed: {text}\n", "a file") == {"seed": value}


@pytest.mark.parametrize("name", ["08", "1e5", "1E5", "5e-3", "010", "12", "1:30", "yes", "null", "a"])
def test_a_name_that_looks_like_a_number_stays_a_name_in_a_file(tmp_path: Path, name: str) -> None:
    assert layers.load(written(tmp_path, layers.dump(Settings(data=name)))).data == name

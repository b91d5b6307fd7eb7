"""Rows 11, 20 and 21: names of runs, numbers and devices that cannot be, given to every command that takes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from seqvae_cli.cli import app
from seqvae_cli.config import options
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import NAME_RULE, Run
from seqvae_cli.system import runtime
from tests.conftest import SMALL, Seqvae
from tests.faults.matrix import FULL, assert_one_line, snapshot, still_loads
from tests.faults.processes import measured
from tests.preloaded import Preloaded


def every_command() -> Iterator[tuple[str, list[Any]]]:
    """Each command with its parameters, those included that are made when they are asked for."""
    group = app.program()
    for name in app.COMMANDS:
        command: Any = group.get_command(None, name)
        for words, each in [(name, command), *((f"{name} {sub}", one) for sub, one in below(command).items())]:
            if not below(each):
                getattr(each, "complete", lambda: None)()
                yield words, list(each.params)


def below(command: Any) -> dict[str, Any]:
    return dict(getattr(command, "commands", {}))


COMMANDS = dict(every_command())


def call_of(command: str) -> list[str]:
    """The words of a command with what it needs to be called at all."""
    needed = ["nowhere.txt" if command == "prepare" else "the cat" for p in COMMANDS[command] if p.required]
    more = {"interpolate": ["--random"], "traverse": ["--random"], "arithmetic": ["a", "-", "b", "+", "the cat"]}
    return [*command.split(), *needed, *more.get(command, [])]


# Row 11

NAMES = [
    "\x1b[31mred\x1b[0m",
    "nul\0",
    "../x",
    "{outside}",
    "line\nbreak",
    "-x",
    "x" * 300,
    "../../outside",
    "..",
    "a/b",
    "a\\b",
    "\x1b]0;title\x07",
    "\x9b31m",
    "back\x08space",
    "\u202etxt.exe",
    "\udce4",
    "tab\tand return\r",
    "~root",
    "$(id)",
    "tiny-run\n",
    "TINY-RUN",
    "x" * 100_000,
]

READERS = [
    *(["eval", "--"], ["eval", "-r"], ["sample", "--"], ["sample", "--run"], ["interpolate", "--random", "-r"]),
    *(["encode", "a cat", "-r"], ["decode", "-r"], ["reconstruct", "a cat", "-r"], ["score", "a cat", "-r"]),
    ["neighbours", "a cat", "-r"],
    *(["runs", command, "--"] for command in ("show", "path", "rm", "restore", "compare", "plot", "doctor")),
    *(["runs", "tag", "--"], ["runs", "export", "--"], ["runs", "import", "run.tar.gz", "--name"]),
    *(["runs", "push", "--"], ["runs", "pull", "me/sentences", "--name"]),
    *(["train", "--resume"], ["train", "--data", "tiny", *SMALL, "--name"]),
]
"""Commands that take the name of a run as their next word."""

AFTER = {"tag": ["kept"], "export": ["out.tar.gz"], "push": ["me/sentences"]}


@pytest.mark.row(11)
@pytest.mark.parametrize("name", NAMES if FULL else NAMES[:3], ids=lambda name: ascii(name)[:20])
def test_a_hostile_name_of_a_run_is_refused_with_the_rule(
    seqvae: Seqvae, trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "run.tar.gz").write_bytes(b"no archive yet")
    name = name.replace("{outside}", str(tmp_path / "outside"))
    before, paths = snapshot(tmp_path), everything_in(tmp_path)
    for arguments in READERS:
        answer = seqvae(*arguments, name, *AFTER.get(arguments[1], []))
        assert answer.code == 2, (arguments, answer.err)
        assert answer.out == ""
        assert_one_line(answer.err, NAME_RULE)
        assert answer.err.replace("\n", "").isprintable(), "an escape code is echoed"
    assert snapshot(tmp_path) == before
    assert everything_in(tmp_path) == paths
    still_loads(Run(trained_home / "runs" / "tiny-run"))


def everything_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.name.endswith("lock")}


@pytest.mark.row(11)
@pytest.mark.parametrize("arguments", [call[:-1] for call in READERS if call[-1] == "--"], ids=" ".join)
def test_a_name_that_looks_like_an_option_is_none(seqvae: Seqvae, trained_home: Path, arguments: list[str]) -> None:
    before = snapshot(trained_home)
    answer = seqvae(*arguments, "-x")
    assert answer.code == 2
    assert_one_line(answer.err, "-x")
    assert snapshot(trained_home) == before


# Row 20


@dataclass(frozen=True)
class Number:
    """A flag that takes a number, and which."""

    flag: str
    of_setting: bool
    whole: bool
    low: float | None
    high: float | None
    above: bool = False
    """`low` itself is not allowed."""
    below: bool = False

    def takes(self, text: str) -> bool:
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            return False
        assert self.low is not None
        high = math.inf if self.high is None else self.high
        fits = self.low < value if self.above else self.low <= value
        return fits and (value < high if self.below else value <= high)

    def ranges(self) -> set[str]:
        """How a message may write the range."""
        if self.high is None:
            return {f"at least {self.low}"}
        highs = {f"{'below ' if self.below else ''}{high}" for high in (self.high, f"{self.high:.12g}")}
        return {f"{low} to {high}" for low in (self.low, f"{self.low:.12g}") for high in highs}


def numbers(command: str) -> Iterator[Number]:
    """All flags of a command that take numbers; those of settings are text to typer, and have a range of their own."""
    settings = dict(options.fields())
    for parameter in COMMANDS[command]:
        flag, key = max(parameter.opts, key=len), str(parameter.name).removeprefix("setting:")
        if key != parameter.name:
            kind, bounds = settings[key].annotation, {}
            for item in settings[key].metadata:
                bounds |= {
                    name: bound for name in ("ge", "gt", "le", "lt") if (bound := getattr(item, name, None)) is not None
                }
            if kind in (int, float):
                low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
                yield Number(flag, True, kind is int, low, high, "gt" in bounds, "lt" in bounds)
        elif (kind := getattr(getattr(parameter, "type_descriptor", None), "annotation", None)) in (int, float):
            yield Number(flag, False, kind is int, parameter.min, parameter.max)


VALUES = ("0", "nan", "-1", "1000000000", "1e9", "-inf")


@pytest.mark.row(20)
@pytest.mark.parametrize("command", [command for command in COMMANDS if list(numbers(command))])
def test_a_number_is_taken_or_refused_with_its_range_before_any_data_is_read(
    seqvae: Seqvae, home: Path, command: str, count_tries: Callable[[int], None]
) -> None:
    """The home is empty: reading it would end with 3, and the text of `prepare` that is not there with 4."""
    tried = 0
    kinds: set[tuple[bool, ...]] = set()
    for number in numbers(command):
        assert number.low is not None, f"{command} {number.flag} has no range"
        assert number.low >= 0, "sizes, counts, rates and seeds are never negative"
        kind = number.of_setting, number.whole, number.above, number.below
        if number.of_setting and kind in kinds and not FULL:
            continue  # tests/config/test_config.py tries every setting
        kinds.add(kind)
        for value in VALUES if FULL else VALUES[:2]:
            answer = seqvae(*call_of(command), number.flag, value)
            tried += 1
            if number.takes(value):
                assert answer.code == (4 if command == "prepare" else 3), (number, value, answer.err)
                continue
            assert answer.code == 2, (number, value, answer.err)
            assert_one_line(answer.err, number.flag, repr(value))
            assert any(text in answer.err for text in number.ranges()), (number, answer.err)
    assert not list(home.rglob("*"))
    count_tries(tried)


@pytest.mark.row(20)
@pytest.mark.parametrize("flag", ["--embed-size", "--beta", "--seed"])
def test_a_number_of_a_settings_file_has_the_same_range(
    seqvae: Seqvae, home: Path, tmp_path: Path, flag: str, count_tries: Callable[[int], None]
) -> None:
    (number,) = (number for number in numbers("train") if number.flag == flag)
    key = next(key for key, _ in options.fields() if options.flag_name(key) == flag)
    group, _, name = key.rpartition(".")
    for value in ("-1", ".nan", ".inf"):
        file = tmp_path / "settings.yaml"
        file.write_text(f"{group}: {{{name}: {value}}}\n" if group else f"{name}: {value}\n")
        answer = seqvae("train", "--config", str(file))
        assert answer.code == 4
        assert_one_line(answer.err, key, str(file))
        assert any(text in answer.err for text in number.ranges())
        answer = seqvae("train", "--set", f"{key}={value}")
        assert answer.code == 2
        assert_one_line(answer.err, key)
    assert not list(home.rglob("*"))
    count_tries(6)


HUGE = ["--max-len", "1000000000"]


@pytest.mark.row(20)
@pytest.mark.parametrize(
    ("arguments", "megabytes"),
    [
        (["sample", "-n", "3"], 450),
        (["decode"], 450),
        (["reconstruct", "the cat"], 450),
        (["interpolate", "--random"], 450),
        (["prepare", "text.txt"], 150),
        (["train", "--data", "tiny", *SMALL], 450),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_huge_max_len_costs_nothing(
    trained_home: Path,
    forked: Preloaded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    megabytes: int,
) -> None:
    """Where it has no use it is out of range, else it is taken: memory and time do not grow with it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("the cat sees it\na dog likes the sea\n" * 50)
    (number,) = (number for number in numbers(arguments[0]) if number.flag == "--max-len")
    run = measured if arguments[0] == "prepare" else forked.run  # which is without torch in a process of its own
    cost = run(*arguments, *HUGE, stdin=b"[0, 0, 0, 0]\n")
    assert cost.code == (0 if number.takes(HUGE[1]) else 2), cost.err
    assert cost.bytes < megabytes << 20
    assert cost.seconds < 60
    still_loads(Run(trained_home / "runs" / "tiny-run"))


# Row 21

DEVICES = ("cuda", "cuda:9", "tpu")
WITH_DEVICE = [command for command, parameters in COMMANDS.items() if any("--device" in p.opts for p in parameters)]


@pytest.mark.row(21)
@pytest.mark.parametrize(
    ("command", "device"),
    [
        (command, device)
        for turn, command in enumerate(WITH_DEVICE)
        for place, device in enumerate(DEVICES)
        if FULL or turn == 0 or place == turn % len(DEVICES)
    ],
)
def test_a_device_that_is_not_there_is_refused_with_those_that_are_before_any_data_is_read(
    seqvae: Seqvae, home: Path, command: str, device: str
) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    if device == "cuda:9" and torch.cuda.device_count() > 9:
        pytest.skip("this machine has ten CUDA devices")
    answer = seqvae(*call_of(command), "--device", device)
    assert answer.code == (2 if device == "tpu" else 5), answer.err
    assert answer.out == ""
    assert_one_line(answer.err, repr(device), f"devices: {', '.join(runtime.devices())}")
    assert not list(home.rglob("*"))


@pytest.mark.row(21)
def test_a_device_that_is_not_there_makes_no_run(seqvae: Seqvae, trained_home: Path) -> None:
    before = snapshot(trained_home)
    for device in ("cuda:9", "tpu"):
        assert seqvae("train", "--data", "tiny", "--set", f"runtime.device={device}").code in (2, 5)
        assert seqvae("eval", "--device", device).code in (2, 5)
    assert snapshot(trained_home) == before
    still_loads(registry.find("tiny-run"))

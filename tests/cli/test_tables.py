"""Every table in a terminal of 80 columns: numbers and names stand whole, and no line is longer than it must be."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seqvae_cli.cli import boundary, corpus_report, display, eval_tables, tables
from seqvae_cli.config import layers, presets
from seqvae_cli.data import corpus as corpora
from seqvae_cli.evaluation.diagnosis import Diagnosis, Probe
from seqvae_cli.evaluation.disentanglement import Disentanglement, FactorScores
from seqvae_cli.evaluation.evaluate import Evaluation
from seqvae_cli.evaluation.figures import FIGURES
from seqvae_cli.evaluation.path_quality import Paths
from seqvae_cli.evaluation.samples import Quality, TextFigures
from seqvae_cli.runs import registry
from seqvae_cli.system import json_files
from seqvae_cli.training import forecast
from tests.cli.terminal import Terminal, on_terminal

pytestmark = pytest.mark.usefixtures("fresh_display")

LONG = "a-run-of-a-sweep-with-lr-0.0003-hidden-1024-and-a-note-on-it"
"""A name of 60 characters."""


class Shown:
    """A terminal of 80 columns, and the cells of the tables that were drawn on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cells: list[str] = []
        self.screen = Terminal()
        self.patch = monkeypatch
        draw = display.table

        def watched(title: str, columns: Any, rows: Any, **options: Any) -> None:
            kept = [list(row) for row in rows]
            optional = options.get("optional", ())
            for row in kept:
                self.cells += [display._cell(v) for name, v in zip(columns, row, strict=True) if name not in optional]
            draw(title, columns, kept, **options)

        monkeypatch.setattr(display, "table", watched)

    def on(self) -> None:
        """Puts the terminal in place of both streams, as must be done in the test itself."""
        self.screen = on_terminal(self.patch)
        display.settings.color = False

    def see(self, *arguments: str, code: int = 0) -> None:
        self.on()
        assert boundary.main([*arguments, "--no-color"]) == code

    def check(self, *names: str) -> list[str]:
        """Each number and name stands in one line of at most 80 characters; a longer name has its own line."""
        assert self.cells
        lines = self.screen.getvalue().splitlines()
        words = {word for line in lines for word in line.split()}
        for cell in self.cells:
            if cell.count(" ") < 2:
                assert any(cell in line for line in lines), cell
            assert set(cell.split()) <= words
        assert {*names} <= words
        for line in lines:
            assert len(line) <= 80 or max(map(len, line.split())) > 80 - 20, line
        return lines


@pytest.fixture
def shown(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> Shown:
    assert trained_home.is_dir()
    return Shown(monkeypatch)


def copies(count: int) -> list[str]:
    """Copies of `tiny-run` under long names; their metrics hold large numbers."""
    run = registry.find("tiny-run")
    names = [f"{LONG}-{i}" for i in range(count)]
    for name in names:
        shutil.copytree(run.path, run.path.parent / name)
        lines = [
            {key: value * 1e5 if isinstance(value, float) else value for key, value in line.items()}
            for line in run.metrics()
        ]
        (run.path.parent / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return names


# the layout


def test_whatever_the_width_no_word_is_broken_and_lines_are_as_wide_as_asked_for() -> None:
    drawn = random.Random(0)
    for _ in range(300):
        columns = [
            drawn.choice(["a", "val -ELBO", "sentences", "", "what to do"]) + str(i) for i in range(drawn.randint(1, 9))
        ]
        kinds = [drawn.choice(["number", "name", "prose"]) for _ in columns]
        cells = [[_value(kind, drawn) for kind in kinds] for _ in range(drawn.randint(0, 4))]
        optional = drawn.sample(columns[1:], k=min(2, len(columns) - 1))
        for width in (30, 80):
            lines, heading = tables.fitted(columns, cells, width, optional)
            text = "\n".join(lines)
            dropped = " ".join(text.split()).partition("for want of room: ")[2]
            assert 0 <= heading <= len(lines)
            for row in cells:
                for name, value in zip(columns, row, strict=True):
                    whole = [value] if value.count(" ") < 2 else value.split()
                    assert name in dropped or all(part in text for part in whole)
            if heading:
                assert max(map(tables.cell_len, lines)) <= width
        assert len({len(line) for line in tables.plain(columns, [[*map(str, range(len(columns)))]])}) <= 2


def _value(kind: str, drawn: random.Random) -> str:
    if kind == "number":
        return f"{drawn.uniform(-1e9, 1e9):.2f}"
    if kind == "name":
        return "n" * drawn.randint(1, 30)
    letter = drawn.choice(["w", "語"])  # a wide character takes two columns
    return " " * drawn.randint(0, 4) + " ".join(letter * drawn.randint(1, 12) for _ in range(drawn.randint(3, 20)))


COLUMNS = ["run", "loss", "created", "note"]
ROW = ["toy-default-1", "123456.78", "2026-11-26 11:50", "a note of several words"]


def test_prose_is_wrapped_first_then_columns_go_then_rows_become_blocks() -> None:
    natural = tables.plain(COLUMNS, [ROW])
    width = len(natural[1])
    assert tables.fitted(COLUMNS, [ROW], width) == (natural, 1)
    wrapped, _ = tables.fitted(COLUMNS, [ROW], width - 8)
    assert len(wrapped) == 3
    assert wrapped[1].startswith("toy-default-1  123456.78  2026-11-26 11:50  a note")
    without, _ = tables.fitted(COLUMNS, [ROW], 40, ["created", "loss"])
    assert without[0].split() == ["run", "loss", "note"]
    assert without[-1] == "not shown, for want of room: created"
    block, heading = tables.fitted(COLUMNS, [ROW, ROW], 30)
    assert (heading, block[:5]) == (
        0,
        [
            "run toy-default-1",
            "  loss     123456.78",
            "  created  2026-11-26 11:50",
            "  note     a note of several",
            "           words",
        ],
    )
    assert block[5:] == ["", *block[:5]]


def test_headings_are_wrapped_at_spaces_and_stand_level_with_their_columns() -> None:
    lines, heading = tables.fitted(["split", "val -ELBO"], [["a", "1.5"]], 12)
    assert (lines, heading) == (["         val", "split  -ELBO", "a        1.5"], 2)


# the commands


def test_prepare(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "of_default", lambda _: (layers.resolve(), 1e6))  # the sentences are invented
    corpus = corpora.find("tiny")
    counts = dict.fromkeys(("sentences", "tokens", "words", "truncated", "too_long", "empty"), 360000123)
    splits = {
        split: counts | {"unknown": 12_345_678, "lengths": {"p50": 12, "p90": 345, "p99": 67_890, "max": 1_048_576}}
        for split in ("train", "valid", "test")
    }
    info = corpus.info | {"splits": splits, "types": 12_345_678, "name": "n" * 64}
    shown.on()
    corpus_report.report(SimpleNamespace(corpus=corpora.Corpus(corpus.path, info), fresh=True), json=False)
    shown.check("360000123", "720000246", "1048576", "67890", "n" * 64)


def test_corpora(shown: Shown) -> None:
    folder = corpora.find("tiny").path
    for name in ("a" * 64, "news"):
        info = json.loads((folder / "corpus.json").read_text())
        path = folder.parent / f"{name}-{info['hash'][:12]}"
        shutil.copytree(folder, path)
        renamed = json_files.unseal(info, path) | {"name": name}
        json_files.write(path / "corpus.json", renamed, sealed=True)
    shown.see("corpora")
    shown.check("a" * 64, "news", "80/10/10")


@pytest.mark.parametrize("arguments", [["runs", "list"], ["runs", "list", "--trash"]])
def test_runs_list(shown: Shown, arguments: list[str]) -> None:
    names = copies(3)
    if "--trash" in arguments:
        shown.see("runs", "rm", *names)
    else:
        shown.see("runs", "tag", names[0], *(f"tag-{i}" for i in range(9)))
    shown.see(*arguments)
    shown.check(*names)


def test_runs_show(shown: Shown) -> None:
    (name,) = copies(1)
    shown.see("runs", "show", name)
    shown.check(name, str(registry.find(name).path), display._cell(registry.find(name).metrics()[0]["elbo_ppl"]))


@pytest.mark.parametrize("count", [2, 3, 6])
def test_runs_compare(shown: Shown, count: int) -> None:
    names = copies(count)
    shown.see("runs", "compare", *names)
    shown.check(*names)


def test_short_names_stand_side_by_side(shown: Shown) -> None:
    run = registry.find("tiny-run")
    shutil.copytree(run.path, run.path.parent / "other")
    shown.see("runs", "compare", "tiny-run", "other")
    assert any(line.split() == ["run", "tiny-run", "other"] for line in shown.check())


def test_runs_doctor(shown: Shown) -> None:
    for name in copies(2):
        (registry.find(name).path / "config.yaml").write_text("train: {}\n")
    shown.see("runs", "doctor", code=4)
    shown.check(f"{LONG}-0", f"{LONG}-1")


def test_presets(shown: Shown) -> None:
    shown.see("presets")
    assert max(map(len, shown.check(*presets.names()))) <= 80
    for name in presets.names():
        shown.see("presets", name)
        assert max(map(len, shown.screen.getvalue().splitlines())) <= 80, name


HUGE = dict.fromkeys(FIGURES, 123456.789) | {"iw_samples": 1_000_000, "active_units": 1024}


def test_eval(shown: Shown) -> None:
    words = SimpleNamespace(has_words=False, noun="character")
    model: Any = SimpleNamespace(run=SimpleNamespace(name=LONG), latent_size=1024, tokenizer=words)
    shown.on()
    eval_tables.evaluation(model, Evaluation("test", 10**7, 10**9, 0, HUGE, "signature"))
    shown.check("123456.79", "1024")


def test_eval_diagnose(shown: Shown) -> None:
    numbers: dict[str, Any] = dict.fromkeys(("own", "shuffled", "prior", "rate", "mutual_information"), 123_456.789)
    probes = {"a-factor-with-a-name-as-long-as-that": Probe(1.0, 1.0)}
    found = Diagnosis(
        10**7,
        1024,
        rate_by_dimension=(1e5,) * 1024,
        active_units=1024,
        probes=probes,
        left_out={"a-label": "1 value in test"},
        disentanglement=Disentanglement(
            5000, 5000, *(1.0,) * 7, factors=dict.fromkeys(probes, FactorScores(*(1.0,) * 4))
        ),
        **numbers,
    )
    shown.on()
    eval_tables.diagnosis(found, 123_456.789)
    shown.check("123456.79", "100000.00", "1023", "100.00")


def test_eval_samples_quality(shown: Shown) -> None:
    text = TextFigures(658_369.25, 1e6 - 0.01, 1.0, 100.0, 12_345.67)
    shown.on()
    eval_tables.quality(Quality(text, text, 10**7, 10**7, 10**7, 500), "valid")
    paths = Paths(pairs=10**6, steps=10**5, distinct=1e5, ends=1.0, largest_jump=1.0, unchanged=10**6)
    eval_tables.paths(paths, dataclasses.replace(paths, distinct=99_999.5), "valid")
    shown.check("658369.25", "999999.99", "12345.67", "100000.00", "99999.50")

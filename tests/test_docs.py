"""The documents: the README is short, links lead somewhere, and every command, setting and line of Python works."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from benchmarks import quality
from seqvae_cli.cli import app, display, settings
from seqvae_cli.config import layers
from seqvae_cli.data import inspection
from seqvae_cli.data.tokenizer import KINDS
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation.figures import FIGURES
from seqvae_cli.nn.recurrent import CELLS
from seqvae_cli.sweeps import plan
from seqvae_cli.training.schedule import KL_SCHEDULES, LEARNING_RATES
from tests.conftest import SMALL, Seqvae, tiny_text

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]),
]
README, RUNS, LIBRARY = ROOT / "README.md", ROOT / "docs" / "runs.md", ROOT / "docs" / "library.md"
OWN_TEXT = ROOT / "docs" / "own-text.md"

README_BYTES = 9_000
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(page: Path, kind: str) -> list[str]:
    return [body for name, body in FENCE.findall(page.read_text(encoding="utf-8")) if name == kind]


def shown(block: str) -> list[tuple[str, list[str]]]:
    """The command lines of a block, and what it shows as their output. Without any `$ `, every line is a command."""
    lines = block.replace("\\\n", " ").splitlines()
    if not any(line.startswith("$ ") for line in lines):
        return [(line, []) for line in lines]
    pairs: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("$ "):
            pairs.append((line[2:], []))
        elif line and pairs:
            pairs[-1][1].append(line)
    return pairs


def calls(line: str) -> Iterator[list[str]]:
    """The arguments of each call of `seqvae` in a line of shell, up to the end of its words or an ellipsis."""
    substitution = re.compile(r"\$\(([^()]*)\)")
    for inner in substitution.findall(line):
        yield from calls(inner)
    words = shlex.shlex(substitution.sub("RUN", line), posix=True, punctuation_chars=True)
    words.whitespace_split = True
    call: list[str] | None = None
    for word in words:
        if re.fullmatch("[|&;<>()…]+", word):
            if call is not None:
                yield call
            call = None
        elif call is not None:
            call.append(word)
        elif word == "seqvae":
            call = []
    if call is not None:
        yield call


def command_lines(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    for kind, body in FENCE.findall(text):
        if kind in ("", "sh", "console"):
            yield from (line for line, _ in shown(body))
    for code in INLINE.findall(FENCE.sub("", text)):
        yield " ".join(code.replace("\\|", "|").split())


CALLS = [
    (f"{page.relative_to(ROOT)}: {' '.join(call)}", call)
    for page in PAGES
    for line in command_lines(page)
    if re.search(r"(?<![\w/'-])seqvae (?!=)", line)
    for call in calls(line)
]


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= README_BYTES


def test_the_readme_links_every_page_once() -> None:
    links = [link.partition("#")[0] for link in LINK.findall(README.read_text(encoding="utf-8"))]
    pages = [str(page.relative_to(ROOT)) for page in PAGES if page.parent != ROOT]
    assert len(pages) >= 8
    assert {page: links.count(page) for page in pages} == dict.fromkeys(pages, 1)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = {link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link}
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_code_has_an_end(page: Path) -> None:
    fences = re.findall(r"^ *```(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert not any(fences[1::2])
    assert len(fences) % 2 == 0


def test_the_readme_lists_every_command() -> None:
    rows = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("| `seqvae ")]
    listed = {row.split("`")[1].split()[1] for row in rows}
    assert listed >= set(app.COMMANDS)


def test_the_tree_of_contributing_names_every_folder_and_no_other() -> None:
    (tree,) = [block for block in blocks(ROOT / "CONTRIBUTING.md", "") if block.startswith("seqvae_cli/")]
    named = {line.split()[0] for line in tree.splitlines() if line.startswith("  ")}
    package = ROOT / "seqvae_cli"
    there = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert {name for name in named if name.endswith("/")} == there
    assert {name for name in named if name.endswith(".py")} <= {path.name for path in package.glob("*.py")}
    assert all((ROOT / line.split()[0]).is_dir() for line in tree.splitlines() if not line.startswith("  "))


def test_the_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## How to add")[2].partition("\n## ")[0]
    files = set(
        re.findall(r"`([\w/.]+\.(?:py|md|yaml))`", text.replace("NAME.yaml", "default.yaml").replace("NAME", "sample"))
    )
    assert len(files) >= 10
    missing = {name for name in files if not (ROOT / name).exists() and not (ROOT / "seqvae_cli" / name).exists()}
    assert not missing


@lru_cache
def command(*path: str) -> Any:
    """The command at `path`; no words: the program itself. Raises `AssertionError` where there is none."""
    if not path:
        return app.program()
    group = command(*path[:-1])
    with group.make_context("seqvae", [], resilient_parsing=True) as context:
        found = group.get_command(context, path[-1])
    assert found is not None, f"no command {path[-1]!r}"
    return found


def parse(words: list[str]) -> None:
    """Parses a command line as the program does, without calling the command. Raises what the program would.

    A command without its arguments is a mention of it. Of a group's options only the names are read: one of them
    installs the completion of the shell.
    """
    path: list[str] = []
    while isinstance(command(*path), TyperGroup) and words[len(path) :] and not words[len(path)].startswith("-"):
        path.append(words[len(path)])
    called, rest = command(*path), words[len(path) :]
    if isinstance(called, TyperGroup):
        assert set(rest) <= {name for option in called.params for name in option.opts}
    elif rest:
        with suppress(typer.Exit), called.make_context(" ".join(path), rest) as context:  # --help exits
            layers.resolve(context.params.get("preset") or "default", overrides=settings.given(context))


def test_the_check_of_command_lines_finds_what_is_wrong() -> None:
    assert list(calls("seqvae encode a.txt | seqvae decode > b; x")) == [["encode", "a.txt"], ["decode"]]
    assert list(calls('seqvae eval "$(seqvae runs best)" --json')) == [["runs", "best"], ["eval", "RUN", "--json"]]
    assert list(calls("seqvae runs …")) == [["runs"]]
    for wrong in (
        "nothing",
        "runs nothing",
        "sample --nothing",
        "sample -n many",
        "--nothing",
        "train --kl-schedule never",
    ):
        with pytest.raises((AssertionError, typer.TyperException, UsageError)):
            parse(wrong.split())


def test_every_command_line_is_one_of_the_program() -> None:
    assert len(CALLS) > 200
    wrong = {}
    for line, call in CALLS:
        try:
            parse(call)
        except (AssertionError, typer.TyperException, UsageError) as error:
            wrong[line] = error
    assert not wrong


def test_the_settings_files_are_valid(tmp_path: Path) -> None:
    files = [block for page in PAGES for block in blocks(page, "yaml")]
    assert files
    for text in files:
        if "space:" in text:
            (tmp_path / "plan.yaml").write_text(text)
            assert plan.read(tmp_path / "plan.yaml").trials > 1
            continue
        layers.resolve(overrides=dict(flat(layers.parse(text, "a document"))))


def flat(values: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@pytest.mark.usefixtures("small_toy")
def test_the_readme_runs_as_it_stands(seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tiny models and other sentences: each command succeeds and prints lines of the shape that is shown."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    smaller = {"prepare toy": ["--sentences", "200"], "train": [*SMALL, "--epochs", "2"], "eval": ["--samples", "2"]}
    done = []
    for line, output in (pair for block in blocks(README, "") for pair in shown(block)):
        if not line.startswith("seqvae "):
            continue
        (words,) = calls(line)
        if "plot" in words and not find_spec("matplotlib"):
            continue
        extra = next((more for start, more in smaller.items() if line.startswith(f"seqvae {start}")), [])
        answer = seqvae(*words, *extra)
        assert answer.code == 0, line + answer.err
        done.append(words[0])
        if words[0] in ("sample", "interpolate") and output:
            assert len(answer.lines) == len(output), line
        if words[0] == "eval":
            made = iter(labels(answer.lines))
            assert all(label in made for label in labels(output)), "rows that eval does not print, or in another order"
    assert done.count("interpolate") >= 2
    assert done.count("train") == 2


def labels(table: list[str]) -> list[str]:
    """The first column of a table, without the K of a bound."""
    return [re.split("  +|, K", line.strip())[0] for line in table if "  " in line]


def test_the_figures_of_the_readme_are_measured() -> None:
    rows = json.loads(quality.RESULTS.read_text(encoding="utf-8"))
    (row,) = [row for row in rows if (row["data"], row["preset"], row["seed"]) == ("toy", "default", 0)]
    (table,) = [
        output for block in blocks(README, "") for line, output in shown(block) if line.startswith("seqvae eval")
    ]
    shown_rows = [re.split("  +", line.strip()) for line in table if re.search(r"  +[\d.?]+  ", line)]
    assert len(shown_rows) >= 8
    for label, value, _ in shown_rows:
        (figure,) = [one for one in FIGURES.values() if one.label and one.label.format(**row) == label]
        assert value == display._cell(figure.shown(row)), label


def test_every_choice_of_a_setting_that_has_a_table_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [
        name for table in (KINDS, KL_SCHEDULES, LEARNING_RATES, CELLS) for name in table if name not in text.lower()
    ]
    assert not missing


def test_the_page_about_runs_runs(
    trained_home: Path, seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert trained_home.is_dir()
    assert seqvae("eval", "--samples", "2").code == 0
    assert seqvae("runs", "export", "tiny-run", "tiny.tar.gz").code == 0
    for name in ("toy-bowman-0", "toy-mixture-0"):
        assert seqvae("runs", "import", "tiny.tar.gz", "--name", name).code == 0
    assert seqvae("runs", "rm", "tiny-run").code == 0
    (sizes,) = (block for block in blocks(RUNS, "yaml") if "space:" in block)
    for shown_size, tiny in (
        ("toy", "tiny"),
        ("[8, 16, 32]", "[2, 3]"),
        ("64", "16"),
        ("192", "32"),
        ("trials: 6", "trials: 1"),
    ):
        sizes = sizes.replace(shown_size, tiny)
    (tmp_path / "sizes.yaml").write_text(sizes)
    done = 0
    for line in (line for block in blocks(RUNS, "") for line, _ in shown(block)):
        (words,) = calls(line.replace("--data toy", "--data tiny"))
        if "plot" in words and not find_spec("matplotlib"):
            continue
        answer = seqvae(*words)
        assert answer.code == 0, line + answer.err
        done += 1
    assert done >= 9
    assert "carried" in answer.out


def test_what_the_page_about_your_own_text_says_of_prepare_is_so(
    seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.txt").write_text("\n".join(["I do not know."] * 3 + tiny_text() * 2))
    page = "\n\n".join(" ".join(f"{text.capitalize()}." for text in tiny_text()[i:]) for i in range(0, 100, 10))
    (tmp_path / "novel.txt").write_text("\n\n".join(textwrap.fill(part, 70) for part in page.split("\n\n")))
    text = OWN_TEXT.read_text(encoding="utf-8")
    titles = ("What `prepare` tells", "Repeated sentences", "Documents and paragraphs")
    section = "\n".join(part for part in text.split("\n## ") if part.startswith(titles))
    done = 0
    for line, output in (pair for _, body in FENCE.findall(section) for pair in shown(body)):
        (words,) = calls(line)
        answer = seqvae(*words)
        assert answer.code == 0, line + answer.err
        assert all(told in answer.err.splitlines() for told in output), line + answer.err
        done += 1
    assert done == 5
    assert set(inspection.KINDS) == {name for name in inspection.KINDS if f"`{name}`" in section}


@pytest.mark.usefixtures("small_toy")
def test_the_page_about_the_library_runs(trained_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trained_home.is_dir()
    for package in ("pandas", "sklearn"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    code = "".join(blocks(LIBRARY, "python"))
    tiny = 'settings={"model.hidden_size": 16, "runtime.threads": 1}'
    smaller = {
        "sentences=2000": "sentences=200",
        '"train.epochs": 3': '"train.epochs": 1, "model.hidden_size": 16, "model.embed_size": 12, "runtime.threads": 1',
        '"train.epochs": 2': '"train.epochs": 1, "model.hidden_size": 16, "model.embed_size": 12, "runtime.threads": 1',
        "latent_size=8, epochs=3": f"latent_size=8, samples=2, epochs=1, {tiny}",
    }
    for text, replaced in smaller.items():
        assert code.count(text) == 1
        code = code.replace(text, replaced)
    space: dict[str, object] = {}
    exec(compile(code, "library.md", "exec"), space)
    assert "EvalEvent" in capsys.readouterr().out
    assert space["codes"].shape == (2, 32)  # type: ignore[attr-defined]


def test_the_pictures_are_small() -> None:
    starts = {".png": b"\x89PNG", ".gif": b"GIF89a"}
    links = {(page.parent / link) for page in PAGES for link in LINK.findall(page.read_text(encoding="utf-8"))}
    pictures = [link for link in links if link.suffix in starts]
    assert {picture.suffix for picture in pictures} == starts.keys()
    for picture in pictures:
        assert picture.stat().st_size <= (150_000 if picture.suffix == ".png" else 300_000)
        assert picture.read_bytes().startswith(starts[picture.suffix])

"""The documents as a site, and the files for GitHub and uv: they agree with each other and with the package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqvae_cli.api import Model
from seqvae_cli.runs import registry
from tests.test_docs import FENCE, LINK, PAGES, ROOT, blocks

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GITHUB = [*sorted((ROOT / ".github").rglob("*.yml")), ROOT / ".pre-commit-config.yaml"]
TESTED = [
    words[-1]
    for words in (text.split(" :: ") for text in PROJECT["project"]["classifiers"])
    if re.fullmatch(r"3\.\d+", words[-1])
]


class Settings(yaml.SafeLoader):
    """Reads mkdocs.yml, which names a function of Python as a tag."""


Settings.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
SITE: dict[str, Any] = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Settings)


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    found: Counter[str] = Counter()
    names = set()
    for title in re.findall(r"^#{1,6} (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return names


def test_the_anchors_of_links_are_headings() -> None:
    wrong, links = [], 0
    for page in [*PAGES, *ROOT.glob("docs/*/*.md")]:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            file, _, anchor = link.partition("#")
            if anchor and "://" not in link:
                links += 1
                target = page.parent / file if file else page
                if anchor not in anchors(target):
                    wrong.append(f"{page.name}: {link}")
    assert links >= 20
    assert not wrong


def test_what_pages_link_to_is_on_the_site() -> None:
    """What MkDocs would warn of, which the tests do not need."""
    places, missing, links = set(SITE["extra"]["places"]), [], 0
    for page in [*PAGES, *ROOT.glob("docs/*/*.md")]:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            file = link.partition("#")[0]
            if file and ":" not in file:
                links += 1
                target = (page.parent / file).resolve().relative_to(ROOT).as_posix()
                on_site = target in places or (target.startswith("docs/") and (ROOT / target).is_file())
                missing += [] if on_site else [f"{page.name}: {link}"]
    assert links >= 40
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lists_and_tables_read_alike_on_github_and_on_the_site(page: Path) -> None:
    """Python-Markdown, which makes the site, takes a list or a table right below a line of prose for more of it."""
    previous = ""
    for line in FENCE.sub("", page.read_text(encoding="utf-8")).splitlines():
        begins = re.match(r"(?:[-*] |\d+\. |\|)", line)
        if begins and previous and not re.match(r"(?:[-*] |\d+\. |\||  )", previous):
            pytest.fail(f"no empty line before {line!r}")
        previous = line


def test_the_menu_has_every_page_once() -> None:
    def pages(menu: list[Any]) -> list[str]:
        return [
            page
            for entry in menu
            for value in entry.values()
            for page in (pages(value) if isinstance(value, list) else [value])
        ]

    places = SITE["extra"]["places"]
    assert all((ROOT / source).is_file() for source in places)
    written = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert Counter(pages(SITE["nav"])) == Counter(written + [page for page in places.values() if page.endswith(".md")])


def test_the_page_of_the_api_names_what_there_is() -> None:
    named = re.findall(
        r"^::: ([\w.]+)$", (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(named) >= 10
    for name in named:
        module, _, value = name.rpartition(".")
        assert find_spec(name) if value.islower() else value in dir(__import__(module, fromlist=[value])), name


@pytest.mark.skipif(not find_spec("mkdocs"), reason="mkdocs is missing: make docs brings it")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "api" / "index.html").read_text(encoding="utf-8")
    assert " ".join((Model.traverse.__doc__ or "").split()[:6]) in api
    for page in PAGES:
        place = SITE["extra"]["places"].get(page.relative_to(ROOT).as_posix(), page.name)
        made = (tmp_path / place).with_suffix(".html").read_text(encoding="utf-8")
        assert anchors(page) <= set(re.findall(r'<h[1-6] id="([^"]*)"', made)), page.name


def test_the_page_about_the_run_folder_reads_one(trained_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trained_home.is_dir()
    run = registry.find("latest")
    (code,) = blocks(ROOT / "docs" / "run-folder.md", "python")
    assert code.count("RUN_FOLDER") == 1
    space: dict[str, Any] = {}
    exec(compile(code.replace("RUN_FOLDER", str(run.path)), "run-folder.md", "exec"), space)
    step, size = map(int, capsys.readouterr().out.split())
    assert step > 0
    assert size == sum(array.size for array in space["weights"].values()) > 0
    assert {"encoder.mean.weight", "decoder.first_cell.weight"} <= space["weights"].keys()
    page = (ROOT / "docs" / "run-folder.md").read_text(encoding="utf-8")
    assert [key for key in run.info if f"`{key}`" not in page] == []


@pytest.mark.parametrize("file", GITHUB, ids=lambda file: file.name)
def test_the_files_for_github_are_yaml(file: Path) -> None:
    assert isinstance(yaml.safe_load(file.read_text(encoding="utf-8")), dict)


def test_the_workflow_tests_the_versions_that_the_package_names() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "check.yml").read_text(encoding="utf-8"))
    assert len(TESTED) >= 3
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == TESTED
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    calls = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    targets = [target for call in calls if call.startswith("make ") for target in call.split()[1:]]
    assert targets
    assert all(f"\n{target}:" in makefile for target in targets)


def test_every_action_is_pinned_by_a_version() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in (ROOT / ".github" / "workflows").glob("*.yml"))
    used = re.findall(r"uses: (\S+)", text)
    assert len(used) >= 6
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v[\d.]+", action) for action in used)


def test_uv_takes_torch_without_cuda_on_linux() -> None:
    uv = PROJECT["tool"]["uv"]
    assert uv["sources"]["torch"] == [{"index": "pytorch-cpu", "marker": "sys_platform == 'linux'"}]
    (index,) = uv["index"]
    assert index["name"] == "pytorch-cpu"
    assert index["url"].endswith("/cpu")
    assert index["explicit"], "other packages would be looked for there, too"

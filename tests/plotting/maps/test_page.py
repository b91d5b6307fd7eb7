"""A map as a page: one file that loads nothing, and in which no text is HTML."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae_cli.data.labels import Label
from seqvae_cli.plotting.maps.page import page
from tests.faults.matrix import FULL
from tests.plotting.maps.test_map import made

HOSTILE = (
    "</script><script>document.title = 'taken'</script>",
    '"><img src=x onerror="document.title = `taken`"> {{data}} & <!--',
    "turned \u202e round \u2066 and \x1b[31m steered",
)


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text of its scripts and style."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.found[-1] if self.found else ("", {})
        if tag in ("script", "style", "title"):
            self.texts.setdefault(str(attributes.get("id") or tag), data)


def hostile_page() -> str:
    label = Label(HOSTILE, np.array([0, 1, 2]))
    found = made(sentences=HOSTILE, labels={HOSTILE[0]: label}, color=HOSTILE[0], source=HOSTILE[1], split="")
    return page(HOSTILE[0], found).decode()


def test_hostile_sentences_add_no_element() -> None:
    plain, hostile = Elements(page("run", made()).decode()), Elements(hostile_page())
    assert [tag for tag, _ in hostile.found] == [tag for tag, _ in plain.found]
    assert hostile.texts["script"] == plain.texts["script"]
    data = json.loads(hostile.texts["data"])
    assert data["sentences"] == [*HOSTILE[:2], "turned \ufffd round \ufffd and \ufffd[31m steered"]
    assert data["colors"][1]["values"][1] == HOSTILE[1]
    assert html.escape(HOSTILE[0]) in hostile_page()
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", hostile_page())


def test_the_policy_allows_the_script_of_the_page_alone() -> None:
    elements = Elements(page("run", made()).decode())
    (policy,) = [one["content"] for tag, one in elements.found if tag == "meta" and "http-equiv" in one]
    hashes = {
        kind: base64.b64encode(hashlib.sha256(elements.texts[kind].encode()).digest()).decode()
        for kind in ("script", "style")
    }
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "base-uri 'none'"
    )


def test_the_page_loads_nothing_and_makes_no_html_of_text() -> None:
    content = page("run", made()).decode()
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import", content)
    assert not [one for _, one in Elements(content).found if {"src", "href", "srcset"} & one.keys()]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", content)


def test_every_colouring_and_point_is_there() -> None:
    numbers = Label(tuple(map(str, range(12))), np.array([0, 5, 11]))
    found = made(labels=made().labels | {"number": numbers})
    data: dict[str, Any] = json.loads(Elements(page("run", found).decode()).texts["data"])
    assert data["points"] == [[0.5, -1.0], [0.3333, 2.0], [1e-09, 3.0]]
    length, mood, number = data["colors"]
    assert (data["color"], length["title"], length["of"]) == (1, "length (tokens)", [3.0, 2.0, 1.0])
    assert (mood["values"], mood["of"]) == (["bad", "good", "(none)"], [1, 2, 0])
    assert len(mood["palette"]) == 3
    assert number["of"] == [0.0, 5.0, 11.0]
    assert number["low"] < number["high"]
    assert page("run", found) == page("run", found)


@pytest.mark.skipif(not FULL, reason="a browser takes seconds to start: make faults")
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_browser_lists_hostile_sentences_as_text(tmp_path: Path) -> None:
    path = tmp_path / "map.html"
    path.write_text(hostile_page(), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--virtual-time-budget=2000", "--dump-dom", path.as_uri()]
    drawn = subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode()
    options = re.findall(r'<option value="\d" dir="auto">(.*?)</option>', drawn)
    assert [html.unescape(text) for text in options] == json.loads(Elements(hostile_page()).texts["data"])["sentences"]
    assert "taken</title>" not in drawn
    assert "3 of 3 sentences" in drawn

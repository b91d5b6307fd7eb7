"""Who can use the page: axe-core at three widths, light and dark; colours that everyone tells apart; the focus."""

from __future__ import annotations

import itertools
import re
from importlib import resources
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.faults.matrix import FULL
from tests.play.browsing import Page, needs_browser, text_of

SERIOUS = {"serious", "critical"}
WIDTHS = {360: 780, 1280: 900, 2560: 1300}
TABS = ("path", "sliders", "arithmetic", "samples", "score", "run")

SIGHTS = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""Linear RGB as it is seen (Machado, Oliveira and Fernandes 2009, severity 1)."""
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


OF_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""The rules that may find more in another theme."""


def faults(axe: Any, page: Any, context: str | None = None, **options: Any) -> list[str]:
    """The serious and critical violations that axe-core finds: rule, and elements."""
    # Playwright evaluates the script beside the page: its Content-Security-Policy lets no script tag in.
    found = axe.run(page, context, {"resultTypes": ["violations"], **options}).response["violations"]
    return [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found if one["impact"] in SERIOUS]


class TestInTheBrowser:
    pytestmark = needs_browser

    def test_axe_finds_no_serious_fault_at_three_widths_light_and_dark(self, opened: Page) -> None:
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is missing").Axe()
        page = opened.open("#search=dog&seed=1.5&texts=the zebra")
        text_of(page, "#path-now")
        for name in TABS[1:]:
            page.locator(f"#tab-{name}").click()
            answers = ("Decoded without", "Nearest", "seed is", "read as", "unused|used|collapsed")
            text_of(page, f"#panel-{name}", "|".join(answers))
        for name in TABS:  # all at once: a look at each tab would cost six times as much
            page.evaluate("name => { document.getElementById(`panel-${name}`).hidden = false; }", name)
        views = [(width, ("light", "dark")[turn % 2]) for turn, width in enumerate(WIDTHS)]
        for width, theme in itertools.product(WIDTHS, ("light", "dark")) if FULL else views:
            page.set_viewport_size({"width": width, "height": WIDTHS[width]})
            page.emulate_media(color_scheme=theme)
            assert faults(axe, page, **(OF_COLOURS if theme == "dark" else {})) == [], (width, theme)
        page.get_by_role("button", name="Copy as Python").click()
        assert faults(axe, page, "#snippet") == []
        page.evaluate("() => { document.querySelector('#snippet pre').style.color = '#888'; }")
        assert "color-contrast" in faults(axe, page, "#snippet")[0]
        assert "color-contrast" in faults(axe, page, "#snippet", **OF_COLOURS)[0]


def seen(color: str, sight: NDArray[np.float64]) -> NDArray[np.float64]:
    """`#rrggbb` in CIELAB."""
    shares = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    relative = XYZ @ np.clip(sight @ linear, 0, 1) / XYZ.sum(1)
    x, y, z = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colours_of_values_differ_for_every_sight(theme: str, sight: str) -> None:
    source = resources.files("seqvae_cli.play").joinpath("page/colors.js").read_text()
    colors = re.findall(r"#\w{6}", re.search(rf"VALUES = .*?{theme}: (\[.*?\])", source, re.DOTALL)[1])  # type: ignore[index]
    assert len(colors) == 8
    for one, other in itertools.combinations(colors, 2):
        assert np.linalg.norm(seen(one, SIGHTS[sight]) - seen(other, SIGHTS[sight])) > 24.5, (one, other)

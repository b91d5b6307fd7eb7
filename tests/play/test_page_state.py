"""The state of the page: its address, its history, what it copies, answers that come late, where the focus stays."""

from __future__ import annotations

import ast
import re
import shlex
from typing import Any

from tests.play.browsing import Page, needs_browser, text_of

pytestmark = needs_browser

NASTY = (
    "it's",
    "-x",
    "--run",
    "a\nb",
    '"\\" $(rm -rf /) `x` \\',
    "é 日本 \U0001f600",
    "\u2028",
    "",
    "*",
    "#",
    "~",
    "!",
)


def test_what_is_copied_is_one_word_of_a_shell_and_one_string_of_python(opened: Page) -> None:
    page = opened.open()
    for function, back in (("shell", lambda text: shlex.split(text)[0]), ("quoted", ast.literal_eval)):
        script = f"texts => import('/snippets.js').then(found => texts.map(found.{function}))"
        assert [back(made) for made in page.evaluate(script, list(NASTY))] == list(NASTY)
    line = "given => import('/snippets.js').then(({ line }) => line('seqvae score', given, ['--samples 9']))"
    assert shlex.split(page.evaluate(line, ["a b", "-x"])) == ["seqvae", "score", "--samples", "9", "--", "a b", "-x"]
    assert shlex.split(page.evaluate(line, ["a b", "c"])) == ["seqvae", "score", "a b", "c", "--samples", "9"]


def test_an_address_cannot_write_python_or_commands(opened: Page) -> None:
    bad = "__import__('os')"
    page = opened.open()
    text_of(page, "#map-note", "Neighbourhoods")
    for tab in ("path", "sliders", "samples", "arithmetic"):
        fragment = "&".join(
            f"{name}={bad}" for name in ("steps", "path", "even", "seed", "count", "beam", "scale", "temperature")
        )
        fragment += f"&sentence=a dog&moves=0:{bad},9:1,-1:1&seed=007"
        page.evaluate("fragment => { location.hash = fragment; }", f"tab={tab}&{fragment}")
        assert page.locator(f"#tab-{tab}[aria-selected=true]").inner_text()
        for name in ("Python", "command"):
            page.get_by_role("button", name=f"Copy as {name}").click()
            found = text_of(page, "#snippet pre")
            assert not re.search(r"__import__|code\[|007", found), found
            if name == "Python":
                ast.parse(found)
            page.get_by_role("button", name="Close").click()


def test_back_and_forward_go_through_tabs_and_colours(opened: Page) -> None:
    page = opened.open("#split=all")
    text_of(page, "#list-count", "1 to 50 of 100")
    page.locator("#color").select_option("split")
    page.locator("#legend button", has_text="valid").click()
    text_of(page, "#list-count", "1 to 10 of 10, 100 in all")
    page.get_by_role("tab", name="Sliders").click()
    text_of(page, "#slider-answer")
    page.go_back()
    assert page.get_by_role("tab", name="Path").get_attribute("aria-selected") == "true"
    page.go_back()
    assert page.locator("#color").input_value() == "length"
    text_of(page, "#list-count", "1 to 50 of 100")
    page.go_forward()
    page.go_forward()
    assert page.get_by_role("tab", name="Sliders").get_attribute("aria-selected") == "true"
    text_of(page, "#list-count", "1 to 10 of 10, 100 in all")
    assert opened.faults == []
    page.evaluate("() => { location.hash = 'run=nothing&tab=run&color=constructor'; }")
    text_of(page, "#map-note", "no run")
    assert page.locator("#legend li").count() == 0
    assert page.locator("#map").get_attribute("aria-label") == "Map of the sentences"
    assert "no run" in page.inner_text("#verdict"), "it says why there is none"
    page.get_by_role("tab", name="Sliders").click()
    assert page.inner_text("#slider-answer") == ""
    page.evaluate("() => { location.hash = 'run=latest&color=constructor'; }")
    text_of(page, "#path-now")
    assert page.locator("#run").input_value() == "tiny-run"
    assert page.locator("#color").input_value() == "length"


def test_a_map_that_comes_late_is_not_shown(opened: Page) -> None:
    """The map of the training sentences arrives while those of validation are read."""
    page = opened.open("#split=train&kind=pca")
    text_of(page, "#map-note", "Principal")
    held: list[Any] = []
    page.route("**/api/map", lambda route: held.append(route))
    page.locator("#kind").select_option("neighbours")
    page.wait_for_timeout(100)
    page.route("**/api/run", lambda route: held.append(route))
    page.locator("#split").select_option("valid")
    text_of(page, "#map-note", "reading the sentences")
    late, run = held
    late.continue_()
    page.wait_for_timeout(300)
    assert page.inner_text("#map-note") == "reading the sentences"
    page.unroute("**/api/map")
    run.continue_()
    page.unroute("**/api/run")
    text_of(page, "#map-note", "Neighbourhoods")
    text_of(page, "#list-count", "1 to 10 of 10")
    text_of(page, "#path-now")

    def other(route: Any) -> None:
        """An answer of weights that were saved since the sentences were read."""
        found = route.fetch()
        route.fulfill(response=found, json=found.json() | {"step": -1, "sentences": []})

    page.route("**/api/interpolate", other, times=1)
    with page.expect_response("**/api/points"):
        page.get_by_label("Steps", exact=True).fill("3")
    from playwright.sync_api import expect

    expect(page.locator(".steps button")).to_have_count(3)
    assert opened.faults == []


def test_the_focus_stays_and_a_click_says_what_it_sets(opened: Page) -> None:
    page = opened.open("#split=train")
    text_of(page, "#list-count", "1 to 50 of 80")
    forward = page.get_by_role("button", name="Next")
    forward.press("Enter")
    text_of(page, "#list-count", "51 to 80 of 80")
    assert forward.get_attribute("aria-disabled") == "true"
    assert page.evaluate("() => document.activeElement.id") == "list-on"
    forward.press("Enter")
    text_of(page, "#list-count", "51 to 80 of 80")
    for label in ("From", "To"):
        assert f"the next click sets {label}." in page.inner_text("#panel-path")
        row = page.locator("#list button").nth(7 if label == "From" else 9)
        row.click()
        assert page.get_by_label(label, exact=True).input_value() == row.inner_text()
    page.get_by_label("To", exact=True).fill("")
    text_of(page, "#path-now", "^$")
    steps = page.get_by_label("Steps", exact=True)
    steps.fill("500")
    steps.press("Enter")
    assert steps.input_value() == "101"
    assert opened.faults == []


def test_points_move_unless_the_reader_wants_calm(opened: Page) -> None:
    page = opened.open()
    moved = """() => import('/map.js').then(({ SentenceMap }) => {
        const map = new SentenceMap(document.createElement('canvas'), {});
        map.show([[0, 0], [1, 1]]);
        map.show([[0, 1], [1, 0]]);
        return map.from !== null;
    })"""
    assert page.evaluate(moved)
    page.emulate_media(reduced_motion="reduce")
    assert not page.evaluate(moved)

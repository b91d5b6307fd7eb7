"""The page in a real browser: headless Chromium, driven by Playwright."""

from __future__ import annotations

import io
import re
import shlex
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY, Seqvae
from tests.play.browsing import Page, needs_browser, text_of
from tests.play.conftest import TOKEN, Client

pytestmark = needs_browser

FIRST, LAST = "the cat sees the sea", "a dog likes it"
ONE_THREAD = ["--threads", "1"]


def test_the_page_shows_its_map_and_asks_its_own_server_alone(opened: Page) -> None:
    page = opened.open("#split=train")
    text_of(page, "#list-count", "1 to 50 of 80")
    text_of(page, "#map-note", "Neighbourhoods")
    text_of(page, "#path-now")
    assert page.locator("#list button").count() == 50
    assert page.url == f"{opened.origin}/{page.url.partition('/#')[2] and '#' + page.url.partition('#')[2]}"
    assert TOKEN not in page.url
    drawn = page.evaluate(
        "() => { const map = document.getElementById('map');"
        "const pixels = map.getContext('2d').getImageData(0, 0, map.width, map.height).data;"
        "return pixels.filter((value, index) => index % 4 === 3 && value > 0).length; }"
    )
    assert drawn > 500
    assert all(url.startswith((f"{opened.origin}/", "data:")) for url in opened.asked), opened.asked
    assert len(opened.asked) > 20
    assert opened.faults == []


def test_a_path_between_two_typed_sentences_and_its_slider(opened: Page, client: Client) -> None:
    page = opened.open()
    page.get_by_label("From").fill(FIRST)
    page.get_by_label("To", exact=True).fill(LAST)
    page.get_by_label("Steps", exact=True).fill("5")
    expected = client.post("interpolate", {"first": FIRST, "last": LAST, "steps": 5}).json["sentences"]
    from playwright.sync_api import expect

    steps = page.locator(".steps button")
    expect(steps).to_have_count(5, timeout=30_000)
    texts = [one["text"] for one in expected]
    expect(steps).to_contain_text(texts, timeout=30_000)  # waits: an earlier answer may still be replaced
    slider = page.get_by_label("Step along the path")
    slider.focus()
    slider.press("End")
    assert text_of(page, "#path-now", re.escape(expected[-1]["text"]))
    assert "step=4" in page.url
    # The address holds it all: a page opened anew shows the same.
    page.reload()
    assert text_of(page, "#path-now", re.escape(expected[-1]["text"]))
    assert page.get_by_label("From").input_value() == FIRST
    page.get_by_role("button", name="Copy as command").click()
    command = text_of(page, "#snippet pre")
    assert command == f"seqvae interpolate '{FIRST}' '{LAST}' --steps 5 --run tiny-run"
    page.get_by_role("button", name="Close").click()
    page.get_by_label("From").fill("<img src=x onerror=alert(1)> zebra")
    text_of(page, "#panel-path", "read as <unk>: .*zebra")
    assert page.locator("#panel-path img").count() == 0
    assert opened.faults == []


def test_the_keyboard_reaches_the_tabs_the_list_and_the_sliders(opened: Page) -> None:
    page = opened.open("#split=train&search=dog")
    text_of(page, "#list-count", "1 to 17 of 17, 80 in all")
    page.get_by_role("tab", name="Path").press("ArrowRight")
    assert page.get_by_role("tab", name="Sliders").get_attribute("aria-selected") == "true"
    page.locator("#list button").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    chosen = page.locator("#list button").nth(1).inner_text()
    assert page.get_by_label("Sentence", exact=True).input_value() == chosen
    before = text_of(page, "#slider-answer")
    slider = page.locator(".sliders input").first
    slider.focus()
    for _ in range(60):
        slider.press("ArrowRight")
    assert float(slider.input_value()) == pytest.approx(float(slider.get_attribute("max") or 0))
    assert "moves=" in page.url
    page.get_by_role("button", name="Back to the sentence").click()
    text_of(page, "#slider-answer", rf"^\s*{re.escape(before)}\s*$")  # once it is decoded again
    assert "moves=" not in page.url
    assert opened.faults == []


def copied(page: Any, name: str) -> str:
    page.get_by_role("button", name=f"Copy as {name}").click()
    found = text_of(page, "#snippet pre")
    page.get_by_role("button", name="Close").click()
    return found


def printed(python: str) -> str:
    """What lines of Python print."""
    with redirect_stdout(io.StringIO()) as out:
        exec(python, {})
    return out.getvalue().strip()


def uncut(shown: str) -> str:
    """A shown sentence without the mark of one that was cut."""
    return shown.removesuffix(" …")


def test_each_tool_answers_as_the_python_and_the_command_that_it_gives(opened: Page, seqvae: Seqvae) -> None:
    page = opened.open(f"#tab=arithmetic&a={FIRST}&b={LAST}&c={FIRST}&scale=2")
    assert printed(copied(page, "Python")) == uncut(text_of(page, "#arithmetic-answer"))
    opened.open(f"#tab=sliders&sentence={FIRST}&moves=1:0.5,0:-1")
    from playwright.sync_api import expect

    expect(page.locator(".sliders input").first).to_be_enabled(timeout=30_000)
    text_of(page, "#slider-answer")
    python, line = copied(page, "Python"), copied(page, "command")
    assert printed(python) == uncut(text_of(page, "#slider-answer"))
    echo, given, *_ = shlex.split(line)
    assert echo == "echo"
    decoded = seqvae(*shlex.split(line.partition("| seqvae ")[2]), *ONE_THREAD, stdin=given.encode())
    assert (decoded.code, decoded.out.strip()) == (0, printed(python)), decoded.err
    page.get_by_role("tab", name="Samples").click()
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Start words").fill("the")
    page.get_by_role("button", name="Draw others").click()
    expected = printed(copied(page, "Python")).splitlines()
    assert len(expected) == 10
    assert all(line.startswith("the") for line in expected)
    expect(page.locator("#samples button")).to_have_text(expected, timeout=30_000)
    assert seqvae(*shlex.split(copied(page, "command"))[1:], *ONE_THREAD).lines == expected
    page.get_by_label("Beam").fill("2")
    page.get_by_role("button", name="Draw others").click()
    expect(page.get_by_label("Temperature")).to_be_disabled()
    expected = printed(copied(page, "Python")).splitlines()
    shown = [re.compile(f"{re.escape(one)}( …)?") for one in expected]  # the page tells where one is cut
    expect(page.locator("#samples button")).to_have_text(shown, timeout=30_000)
    assert seqvae(*shlex.split(copied(page, "command"))[1:], *ONE_THREAD).lines == expected, "a beam draws no words"
    page.get_by_role("tab", name="Score").click()
    assert "nats a token" in text_of(page, "#scores")
    assert len(printed(copied(page, "Python")).splitlines()) == 2
    page.get_by_role("tab", name="Run").click()
    text_of(page, "#verdict", "collapsed|used|unused")
    assert page.locator(".curves figure > svg").count() == 4
    assert opened.faults == []


def never_ready(route: Any) -> None:
    """Neighbourhood maps that take longer than a training."""
    if route.request.post_data_json["map"] == "neighbours":
        route.fulfill(json={"ready": False})
    else:
        route.fallback()


def test_a_training_is_followed_though_a_map_is_being_computed(opened: Page, client: Client, in_home: Path) -> None:
    from seqvae_cli.config import layers
    from seqvae_cli.data import corpus
    from seqvae_cli.training import session

    data = corpus.find("tiny")
    run = session.start(layers.resolve(overrides=TINY | {"train.epochs": 3}), data, name="followed")
    events = session.fit(run, data)
    try:
        while not run.metrics():
            next(events)
        page = opened.open()
        page.route("**/api/map", never_ready)
        page.goto(f"{opened.origin}/#run=followed&tab=run")
        text_of(page, "#run-status", "followed is running: epoch 1 of 3")
        text_of(page, "#map-note", "is being computed")
        row = page.locator("#list button").nth(3)
        row.focus()
        while len(run.metrics()) < 2:
            next(events)
        with page.expect_response("**/api/points"):  # of the better weights
            text_of(page, "#run-status", "followed is running: epoch 2 of 3")
        for _ in events:
            pass
        with page.expect_response("**/api/points"):
            text_of(page, "#run-status", "followed is finished: epoch 3 of 3")
        text_of(page, "#verdict", "collapsed|used|unused")
        assert page.evaluate("() => document.activeElement.textContent") == row.inner_text()
        assert page.locator("#run option[value=followed]").inner_text() == "followed"
    finally:
        events.close()
        shutil.rmtree(in_home / "runs" / "followed")
    assert client.post("runs", {}).json["runs"][0]["name"] == "tiny-run"


def test_it_is_dark_where_the_system_or_the_reader_asks_for_it(browser: Any, client: Client) -> None:
    found = Page(browser, client, color_scheme="dark")
    try:
        page = found.open()
        color = "() => getComputedStyle(document.documentElement).backgroundColor"
        dark = page.evaluate(color)
        page.get_by_label("Theme").select_option("light")
        light = page.evaluate(color)
        page.reload()
        assert page.evaluate(color) == light

        def brightness(given: str) -> int:
            return sum(map(int, re.findall(r"\d+", given)[:3]))

        assert brightness(dark) < 150 < 600 < brightness(light)
        for width in (360, 1280, 2560):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    finally:
        found.context.close()


def test_a_wrong_token_shows_how_to_get_the_right_one(opened: Page) -> None:
    page = opened.open(token="?token=wrong")
    assert "open the address that seqvae play printed" in page.inner_text("body")
    assert page.locator("script").count() == 0

"""A page of the playground in headless Chromium, driven by Playwright."""

from __future__ import annotations

import importlib.util
import re
import shutil
from typing import Any

import pytest

from tests.play.conftest import TOKEN, Client

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = [
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="the package playwright is missing"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


class Page:
    """The playground in a browser of its own: what it asked for, and what went wrong on it."""

    def __init__(self, browser: Any, client: Client, **options: Any) -> None:
        self.origin = f"http://127.0.0.1:{client.guard.port}"
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        self.context.set_default_timeout(30_000)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)

    def open(self, fragment: str = "", token: str = f"?token={TOKEN}") -> Any:
        self.page.goto(f"{self.origin}/{token}{fragment}")
        return self.page


def text_of(page: Any, selector: str, pattern: str = r"\S") -> str:
    """The text of an element, once it matches."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_text(re.compile(pattern), timeout=30_000)
    return str(page.locator(selector).inner_text())

"""The site of the documents, read from a folder: the search works, and no other host is asked for anything."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from scripts import docs
from tests.browser.conftest import Pages


def test_the_site_needs_no_server_and_no_other_host(pages: Pages, tmp_path: Path) -> None:
    site = docs.build(tmp_path)
    page = pages.open("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("backup")
    expect(page.get_by_text(re.compile(r"^\d+ results$"))).to_be_visible()
    assert {"file"} == {url.partition(":")[0] for url in asked}

"""`make docs`: the documents as a site, in build/site/html.

Every page stands in the site where it stands in the repository, so each link leads to the same place in both. The build
fails if a link or an anchor leads nowhere, if a page would ask another host for anything, or if a page is left out of
the navigation (docs/zensical.toml).
"""

from __future__ import annotations

import html.parser
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "docs" / "zensical.toml"
AT_ROOT = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
SHIM = "https://unpkg.com/iframe-worker/shim"  # the one thing that Zensical has browsers load from elsewhere
COLOURS = re.compile(r"\x1b\[[\d;]*m")
OUR_SHIM = Path("docs/offline/iframe-worker.js")
# What a browser gets by itself, as against what a reader follows.
LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("object", "data")}


class Broken(Exception):
    """The site cannot be built as it should be. The text says all that is wrong."""


class Page(html.parser.HTMLParser):
    """What a page of the site refers to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif (tag, name) in LOADED or (tag, name) == ("link", "href"):
                self.loads.append(value or "")
            elif name == "href":
                self.links.append(value or "")


def build(folder: Path) -> Path:
    """Build the site under the folder, which is emptied. Returns the folder of its pages. Raises `Broken`."""
    if missing := sorted(
        set(pages()) - set(named(tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]["nav"]))
    ):
        raise Broken("\n".join(f"docs/zensical.toml does not name {path}" for path in missing))
    shutil.rmtree(folder, ignore_errors=True)
    for path in files():
        target = folder / "pages" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target)
    shutil.copy2(CONFIG, folder / CONFIG.name)
    generate(folder)
    site = folder / "html"
    keep_to_this_host(site)
    if wrong := list(dangling(site)):
        raise Broken("\n".join(wrong))
    return site


def files() -> Iterator[Path]:
    """What the site is made of, relative to the root."""
    yield from map(Path, AT_ROOT)
    for room in ("docs", "deploy"):
        yield from sorted(path.relative_to(ROOT) for path in (ROOT / room).rglob("*") if path.is_file())


def pages() -> Iterator[str]:
    yield from (path.as_posix() for path in files() if path.suffix == ".md")


def named(nav: list[dict[str, Any]]) -> Iterator[str]:
    """The pages that the navigation names."""
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else named(value)


def generate(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        said, _, _ = (done.stdout + done.stderr).partition("Traceback")  # of its own, under the list of what is wrong
        raise Broken(COLOURS.sub("", said))


def keep_to_this_host(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(SHIM, os.path.relpath(site / OUR_SHIM, path.parent)), encoding="utf-8")


def dangling(site: Path) -> Iterator[str]:
    """References to what the site does not have: a page, an anchor, a picture, or anything of another host."""
    found = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in found.items():
        if path.name != "404.html":  # for a server, which shows it at any place
            yield from (f"{path.relative_to(site)}: loads {url}" for url in page.loads if urlsplit(url).netloc)
            for url in unresolved(path, (*page.links, *page.loads), found):
                yield f"{path.relative_to(site)}: nothing is at {url}"


def unresolved(path: Path, urls: Iterable[str], pages: dict[Path, Page]) -> Iterator[str]:
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        page = pages.get(target)
        if not target.exists() or (page and parts.fragment and unquote(parts.fragment) not in page.anchors):
            yield url


def main() -> int:
    try:
        site = build(ROOT / "build" / "site")
    except Broken as error:
        print(error, file=sys.stderr)
        return 1
    print(site / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())

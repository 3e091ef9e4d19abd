"""The documents make a whole site: each page is found, each link leads somewhere, nothing comes from another host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import docs


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return docs.build(tmp_path_factory.mktemp("site"))


def test_the_site_is_whole(site: Path) -> None:
    """`build` fails if it is not."""
    assert {"index.html", "docs", "assets"} <= {path.name for path in site.iterdir()}


def test_no_list_or_table_of_the_documents_is_taken_for_words(site: Path) -> None:
    """The site's Markdown wants an empty line before a list, where others do without."""
    swallowed = [
        f"{path.relative_to(site)}: {found[0].strip()}"
        for path in site.rglob("*.html")
        for words in re.findall(r"<p>(.*?)</p>", path.read_text(encoding="utf-8"), re.S)
        if (found := re.search(r"^(?:[-*]|\d+\.|\||```) .*", words, re.M))
    ]
    assert [] == swallowed


def test_what_leads_nowhere_is_found(tmp_path: Path) -> None:
    pages = {
        "index.html": '<a href="a.html">1</a> <a href="a.html#there">2</a> <a href="#here">3</a> <b id="here"></b>',
        "a.html": '<b id="there"></b> <a href="https://quorate.example/">fine</a> <img src="index.html">',
        "b.html": '<a href="c.html">no page</a> <a href="a.html#here">no anchor</a> <img src="picture.svg">'
        '<link rel="stylesheet" href="https://fonts.example/a.css"> <script src="//cdn.example/a.js"></script>',
    }
    for name, text in pages.items():
        (tmp_path / name).write_text(text)
    assert [
        "b.html: loads https://fonts.example/a.css",
        "b.html: loads //cdn.example/a.js",
        "b.html: nothing is at c.html",
        "b.html: nothing is at a.html#here",
        "b.html: nothing is at picture.svg",
    ] == sorted(docs.dangling(tmp_path), key=lambda line: (line.split()[1] != "loads", "picture" in line, "#" in line))


def test_a_page_that_the_navigation_leaves_out_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = [*docs.pages(), "docs/new.md"]
    monkeypatch.setattr(docs, "pages", lambda: known)
    with pytest.raises(docs.Broken, match=r"docs/zensical.toml does not name docs/new.md"):
        docs.build(tmp_path)


def test_a_link_that_the_site_would_break_fails_the_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def laid_out(folder: Path) -> None:
        home = folder / "pages" / "README.md"
        home.write_text(home.read_text(encoding="utf-8") + "\n[gone](docs/client.md#no-such-heading)\n")
        generate(folder)

    generate = docs.generate
    monkeypatch.setattr(docs, "generate", laid_out)
    with pytest.raises(docs.Broken, match="no-such-heading"):
        docs.build(tmp_path)

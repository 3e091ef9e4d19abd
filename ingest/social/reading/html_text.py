"""The text of a little HTML, as people see it: what they wrote in a post, or in the comment to a change."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

BREAKS = {
    *("p", "br", "div", "li", "ul", "ol", "dd", "dt", "blockquote", "pre", "hr", "table", "tr", "td", "th"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "figure", "figcaption", "section", "article"),
}
HIDDEN = {"script", "style", "template", "noscript", "iframe"}
SOURCE_MAX = 20_000  # characters; html.parser takes a time that grows with their square for what nobody writes
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")


def html_text(source: str) -> str:
    """A block begins a new line, and nothing else parts words: `#<span>happy</span>` is one."""
    source = source[:SOURCE_MAX]
    if "<" not in source:
        return html.unescape(source).strip() if "&" in source else source.strip()
    parser = _SeenText()
    parser.feed(source)
    parser.close()
    return parser.text


class _SeenText(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._hidden = 0

    @property
    def text(self) -> str:
        return _LINES.sub("\n", _BLANKS.sub(" ", "".join(self._parts))).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in HIDDEN
        if tag in BREAKS:
            self._parts.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BREAKS:
            self._parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in HIDDEN))
        if tag in BREAKS:
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(data)

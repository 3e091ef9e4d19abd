"""What all pictures are made of: an axis of time, rows with a label beside a plot, and text that is safe in a page.

A plot is stretched to the width that there is, so texts stand beside it and never in it. Everything that comes from a
history goes through `safe`.
"""

from __future__ import annotations

import html
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence

from quorate import shown

WIDTH = 1000  # of each plot, in its own units
PICTURE, TEXT = '<svg role="img"', "<desc"
NARROWEST = 1.5  # so wide is drawn what is too short to be seen
TICKS_MAX = 6
TICK_STEPS_S = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    20,
    30,
    60,
    120,
    300,
    600,
    1800,
    3600,
)


def safe(text: object, most: int = shown.NAME_MAX) -> str:
    """A name or words that others gave, as text or in an attribute: cut, and nothing in it acts on the page."""
    return html.escape(shown.line(str(text), most))


def seconds(number: float) -> str:
    """`12.3 s`, `0.14 s`, `1,204 s`, which no line breaks."""
    digits = 0 if number >= 100 else 1 if number >= 10 else 2
    return f"{number:,.{digits}f}\N{NO-BREAK SPACE}s"


def clock(at: float) -> str:
    """A moment of the run: `0:07.3`."""
    minutes, rest = divmod(max(0.0, round(at, 1)), 60)
    return f"{minutes:.0f}:{rest:04.1f}"


class Axis:
    """A span of time, from the left edge of a plot to the right one."""

    def __init__(self, begun: float, ended: float) -> None:
        self.begun, self.ended = begun, max(ended, begun + 0.001)

    def x(self, at: float) -> float:
        share = (at - self.begun) / (self.ended - self.begun)
        return round(WIDTH * min(max(share, 0.0), 1.0), 1)

    def width(self, begun: float, ended: float) -> float:
        return round(max(self.x(ended) - self.x(begun), NARROWEST), 1)

    def has(self, begun: float, ended: float) -> bool:
        return ended >= self.begun and begun <= self.ended

    def ticks(self) -> Iterator[float]:
        span = self.ended - self.begun
        step = next((step for step in TICK_STEPS_S if span / step <= TICKS_MAX), span / TICKS_MAX)
        first = math.ceil(self.begun / step)
        return (number * step for number in range(first, math.floor(self.ended / step) + 1))

    def grid(self, height: float) -> str:
        lines = "".join(f"M{self.x(at):g} 0V{height:g}" for at in self.ticks())
        return f'<path class="grid" d="{lines}"/>'

    def labels(self) -> str:
        """A row below the plots."""
        span = self.ended - self.begun
        shown_ones = [at for at in self.ticks() if self.x(at) <= 0.96 * WIDTH]
        marks = "".join(
            f'<span{" class=alt" if place % 2 else ""} style="left:{self.x(at) / WIDTH:.1%}">{_tick(at, span)}</span>'
            for place, at in enumerate(shown_ones)
        )
        return f'<div class="row axis" aria-hidden="true"><div class="side"></div><div class="plot">{marks}</div></div>'


def _tick(at: float, span: float) -> str:
    if span < 10:
        return f"{at:.3f}".rstrip("0").rstrip(".") + " s"
    return f"{at:.0f} s" if span <= 100 else f"{at // 60:.0f}:{at % 60:02.0f}"


def marker(axis: Axis, at: float | None, height: float) -> str:
    """A line through a plot, where the first violation is."""
    if at is None:
        return ""
    return f'<path class="mark" d="M{min(max(axis.x(at), 1), WIDTH - 1):g} 0V{height:g}"/>'


def picture(title: str, about: str, body: str, height: float) -> str:
    """An SVG as wide as its place, with a name and a text for those who do not see it. Both are safe already."""
    return (
        f'{PICTURE} viewBox="0 0 {WIDTH} {height:g}" preserveAspectRatio="none" style="height:{height:g}px">'
        f"<title>{title}</title>{TEXT}>{about}</desc>{body}</svg>"
    )


def numbered(page: str) -> str:
    """The page, with each picture bound to its text by an id. Nothing that is safe has a `<` in it."""
    texts, pictures = itertools.count(1), itertools.count(1)
    page = re.sub(PICTURE, lambda _: f'{PICTURE} aria-describedby="text-{next(pictures)}"', page)
    return re.sub(TEXT, lambda _: f'{TEXT} id="text-{next(texts)}"', page)


def row(side: str, plot: str, *, name: str = "row") -> str:
    return f'<div class="{name}"><div class="side">{side}</div><div class="plot">{plot}</div></div>'


def block(x: float, y: float, width: float, height: float) -> str:
    """As a part of a path."""
    return f"M{x:g} {y:g}h{width:g}v{height:g}h{-width:g}z"


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Pairs of a class and words."""
    shown_ones = "".join(f'<span><i class="key {name}"></i>{words}</span>' for name, words in entries)
    return f'<p class="legend">{shown_ones}</p>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, name: str, label: str) -> str:
    """Cells are safe already. Wider than the screen, it scrolls in itself."""
    top = "".join(f'<th scope="col">{head}</th>' for head in heads)
    body = "".join(
        f'<tr><th scope="row">{cells[0]}</th>{"".join(f"<td>{cell}</td>" for cell in cells[1:])}</tr>' for cells in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table class="{name}"><thead><tr>{top}'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(title: str, body: str, *, id: str = "") -> str:
    place = f' id="{id}"' if id else ""
    return f"<figure{place}><figcaption>{title}</figcaption>{body}</figure>"


def details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>{body}</details>"

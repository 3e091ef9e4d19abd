"""Draws throughput and p99 of single votes as clients grow, a line for each system, as an SVG that any browser shows.

Both axes are logarithmic, since ratios are what a run can tell. A line begins at its fewest clients and ends at its
most, where its name stands.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.systems import OURS, Row

WIDTH, HEIGHT = 1180, 640
LEFT, RIGHT, TOP, BOTTOM = 84, 220, 96, 76  # around the plot; names may stand at its right
COVERED = 3  # so many places further away are better than one thing more that is covered
LETTER, LINE = 8.6, 17  # of a name: the width of a letter where fonts are wide, and the height of its line
ROUND = (1, 2, 5)  # what ticks begin with
STYLE = """
text { font: 14px system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; fill: #333 }
.title { font-size: 21px; font-weight: 600; fill: #111 } .about, .tick, .count { fill: #666 } .count { font-size: 12px }
.name { font-weight: 600; paint-order: stroke; stroke: #fff; stroke-width: 4px; stroke-linejoin: round }
.grid { stroke: #e6e6e6 } .axis { stroke: #999 } polyline { fill: none; stroke-linejoin: round }
"""


@dataclass(frozen=True, slots=True)
class Look:
    name: str
    colour: str  # of those that colour-blind people tell apart (Okabe and Ito)
    width: float = 2


LOOKS = {
    "vote": Look("Quorate, HTTP", "#0072b2", 3.5),
    "resp": Look("Quorate, RESP", "#56a0d3", 3.5),
    "etcd-put": Look("etcd, HTTP", "#d55e00"),
    "etcd-grpc": Look("etcd, gRPC", "#e69f00"),
    "nats": Look("NATS JetStream, sync always", "#009e73"),
    "redis": Look("Redis, AOF always + WAIT 1", "#c2559d"),
    "stock-vote": Look("PySyncObj, in memory", "#7a7a7a"),
}


@dataclass(frozen=True, slots=True)
class Box:
    left: float
    top: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        return (
            abs(2 * (self.left - other.left) + self.width - other.width) < self.width + other.width
            and abs(2 * (self.top - other.top) + self.height - other.height) < self.height + other.height
        )

    def is_inside(self) -> bool:
        return self.left >= LEFT and self.left + self.width <= WIDTH - 4 and TOP <= self.top <= HEIGHT - BOTTOM - LINE


class Scale:
    """From values to places, by their logarithms."""

    def __init__(self, values: Iterable[float], begin: float, end: float) -> None:
        found = [value for value in values if value > 0] or [1.0]
        # A little more than there is. Two ticks are there at least.
        self.low, self.high = math.log10(min(found)) - 0.12, math.log10(max(found)) + 0.12
        self.low, self.high = min(self.low, self.high - 0.8), max(self.high, self.low + 0.8)
        self.begin, self.end = begin, end

    def place(self, value: float) -> float:
        share = (math.log10(max(value, 1e-9)) - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    def ticks(self) -> Iterator[float]:
        for power in range(math.floor(self.low), math.ceil(self.high) + 1):
            yield from (v for v in (first * 10.0**power for first in ROUND) if self.low <= math.log10(v) <= self.high)


def drawn(rows: Sequence[Row]) -> str:
    """Of these rows, those of single votes by our own client."""
    curves = {name: _ordered(rows, name) for name in LOOKS}
    curves = {name: found for name, found in curves.items() if found}
    all_rows = [row for found in curves.values() for row in found]
    x = Scale((row.rate for row in all_rows), LEFT, WIDTH - RIGHT)
    y = Scale((row.figures.p99_ms for row in all_rows), HEIGHT - BOTTOM, TOP)
    places = {
        name: [(x.place(row.rate), y.place(row.figures.p99_ms)) for row in found] for name, found in curves.items()
    }
    counts = sorted({row.figures.clients for row in all_rows})
    parts = [*_frame(x, y, counts)]
    for name, found in curves.items():
        parts += _line(LOOKS[name], found, places[name])
    parts += _names(places)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>Throughput and p99 as clients grow</title><desc>{html.escape(_in_words(curves))}</desc>"
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _ordered(rows: Sequence[Row], workload: str) -> list[Row]:
    found = [row for row in rows if row.figures.workload == workload and row.client == OURS and row.figures.requests]
    return sorted(found, key=lambda row: row.figures.clients)


def _in_words(curves: dict[str, list[Row]]) -> str:
    return "; ".join(
        f"{LOOKS[name].name}: "
        + ", ".join(f"{r.figures.clients} clients {r.rate:,.0f}/s {r.figures.p99_ms:.1f} ms" for r in found)
        for name, found in curves.items()
    )


def _frame(x: Scale, y: Scale, counts: Sequence[int]) -> Iterator[str]:
    """Axes, their ticks and units, and what the picture is about."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    yield _text(LEFT, 36, "Throughput and p99 as clients grow", "title")
    along = ", ".join(map(str, counts))
    about = f"One vote a request, three nodes and the client on one machine. Dots along a line: {along} clients"
    yield _text(LEFT, 62, about, "about")
    for value in x.ticks():
        at = x.place(value)
        yield f'<path class="grid" d="M{at} {TOP}V{bottom}"/>' + _text(
            at, bottom + 22, _number(value), "tick", "middle"
        )
    for value in y.ticks():
        at = y.place(value)
        yield f'<path class="grid" d="M{LEFT} {at}H{right}"/>'
        yield _text(LEFT - 10, at + 5, _number(value), "tick", "end")
    yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}" fill="none"/>'
    yield _text((LEFT + right) / 2, HEIGHT - 22, "votes a second (more is better)", "", "middle")
    middle = (TOP + bottom) / 2
    upward = _text(26, middle, "p99, milliseconds (less is better)", "", "middle")
    yield f'<g transform="rotate(-90 26 {middle})">{upward}</g>'


def _line(look: Look, rows: Sequence[Row], places: Sequence[tuple[float, float]]) -> Iterator[str]:
    points = " ".join(f"{at_x},{at_y}" for at_x, at_y in places)
    yield f'<polyline points="{points}" stroke="{look.colour}" stroke-width="{look.width}"/>'
    for row, (at_x, at_y) in zip(rows, places, strict=True):
        told = f"{look.name}, {row.figures.clients} clients: {row.rate:,.0f}/s, p99 {row.figures.p99_ms:.1f} ms"
        yield (
            f'<circle cx="{at_x}" cy="{at_y}" r="{look.width + 2}" fill="{look.colour}" stroke="#fff">'
            f"<title>{html.escape(told)}</title></circle>"
        )


def _names(places: dict[str, list[tuple[float, float]]]) -> Iterator[str]:
    """Each beside the end of its line, where it covers no other name and the fewest lines."""
    lines = [Box(at_x - 6, at_y - 6, 12, 12) for points in places.values() for at_x, at_y in points]
    lines += [box for points in places.values() for box in _along(points)]
    taken: list[Box] = []
    for name, points in sorted(places.items(), key=lambda item: -item[1][-1][0]):
        look, (at_x, at_y) = LOOKS[name], points[-1]
        around = list(_around(at_x, at_y, LETTER * len(look.name) + 4))
        free = [box for box in around if box.is_inside() and not any(box.overlaps(other) for other in taken)] or around
        costs = [sum(box.overlaps(each) for each in lines) * COVERED + far for far, box in enumerate(free)]
        box = free[costs.index(min(costs))]
        taken.append(box)
        yield _text(box.left + 2, box.top + 13, look.name, "name", fill=look.colour)


def _around(x: float, y: float, width: float) -> Iterator[Box]:
    """Places for a name: the nearest first."""
    for far in (0, LINE, 2 * LINE, 3 * LINE):
        for left in (x + 10, x - width / 2, x - width - 10):
            for top in (y - LINE / 2 - far, y - LINE / 2 + far):
                if far or left != x - width / 2:
                    yield Box(left, top, width, LINE)


def _along(points: Sequence[tuple[float, float]]) -> Iterator[Box]:
    """A line as small boxes."""
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        steps = max(int(math.hypot(x2 - x1, y2 - y1) / 6), 1)
        for step in range(steps + 1):
            yield Box(x1 + (x2 - x1) * step / steps - 2, y1 + (y2 - y1) * step / steps - 2, 4, 4)


def _text(x: float, y: float, text: str, name: str = "", anchor: str = "start", fill: str = "") -> str:
    colour = f' style="fill:{fill}"' if fill else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{name}" text-anchor="{anchor}"{colour}>{html.escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"

"""The charts over time: throughput, unknown outcomes, latency, votes that wait, and sinks that are behind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from quorate.chaos.figures import RunFigures
from quorate.chaos.report.drawing import (
    WIDTH,
    Axis,
    clock,
    details,
    figure,
    legend,
    marker,
    picture,
    row,
    safe,
    seconds,
    table,
)
from quorate.chaos.report.story import Levels, RunStory, SinkStory
from quorate.words import count

HIGH, LOW = 120, 46  # of a plot
LATENCIES_MS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)
ROWS_MAX = 24  # of a table beside a chart

Values = Sequence[float | None]


def over_time(story: RunStory, figures: RunFigures, axis: Axis, mark: float | None) -> str:
    return "".join((_throughput(story, figures, axis, mark), _latency(story, axis, mark), _numbers(story)))


def queues_and_sinks(story: RunStory, axis: Axis, mark: float | None) -> str:
    levels = story.waiting_bytes
    rows = ""
    if any(levels.values):
        most = max(value or 0 for value in levels.values)
        words = f"At most {most / 1024:,.0f} KiB of votes waited in the nodes at one moment."
        rows = _level(levels, axis, mark, "Votes waiting in the nodes", f"{most / 1024:,.0f} KiB", words, "queue")
    rows += "".join(_sink(name, sink, axis, mark) for name, sink in story.sinks.items())
    if not rows:
        return ""
    keys = [("queue", "votes that wait"), ("sink", "versions that a sink is behind"), ("writer", "a new leader writes")]
    return figure("Queues and sinks, on logarithmic scales", legend(keys) + rows + axis.labels(), id="sinks")


def _throughput(story: RunStory, figures: RunFigures, axis: Axis, mark: float | None) -> str:
    line = story.timeline
    rates = [[number / line.bucket_s for number in each] for each in (line.operations, line.acknowledged, line.unknown)]
    top = _round_up(max(*rates[0], 1.0))
    body = (
        axis.grid(HIGH)
        + _levels_at(0.5, 1.0)
        + _settling(story, axis)
        + _gap(figures, axis)
        + f'<path class="operations" d="{_steps(rates[0], line.bucket_s, axis, top, HIGH)}"/>'
        + f'<path class="acks" d="{_area(rates[1], line.bucket_s, axis, top, HIGH)}"/>'
        + marker(axis, mark, HIGH)
    )
    about = f"{count(sum(line.operations), 'operation')}, {count(sum(line.acknowledged), 'acknowledged request')}"
    main = row(_side("Requests a second", _ticks(top)), picture("Throughput over time", about, body, HIGH))
    keys = [
        ("acks", "acknowledged requests of votes"),
        ("operations", "all operations"),
        ("unknown", "unknown outcomes"),
    ]
    if figures.longest_gap_s:
        keys.append(("gap", f"longest time without a counted vote, {seconds(figures.longest_gap_s)}"))
    if _is_settling(story):
        keys.append(("settling", "all is mended, and open questions are asked again"))
    return figure("Throughput", legend(keys) + main + _unknowns(rates[2], story, axis, mark) + axis.labels())


def _unknowns(rates: Sequence[float], story: RunStory, axis: Axis, mark: float | None) -> str:
    top = _round_up(max(*rates, 1.0))
    body = f'<path class="unknown" d="{_area(rates, story.timeline.bucket_s, axis, top, LOW)}"/>'
    about = f"{count(sum(story.timeline.unknown), 'operation')} with an unknown outcome"
    drawn = picture("Unknown outcomes over time", about, axis.grid(LOW) + body + marker(axis, mark, LOW), LOW)
    return row(_side("Unknown a second", [(1.0, "0"), (0.0, f"{top:g}")]), drawn)


def _is_settling(story: RunStory) -> bool:
    return 0 < story.run.planned_s < story.run.span_s


def _settling(story: RunStory, axis: Axis) -> str:
    if not _is_settling(story):
        return ""
    begun, ended = story.run.planned_s, story.run.span_s
    place = f'x="{axis.x(begun):g}" y="0" width="{axis.width(begun, ended):g}"'
    return f'<rect class="settling" {place} height="{HIGH}"/>'


def _gap(figures: RunFigures, axis: Axis) -> str:
    if not figures.longest_gap_s:
        return ""
    begun, ended = figures.longest_gap_at, figures.longest_gap_at + figures.longest_gap_s
    return f'<rect class="gap" x="{axis.x(begun):g}" y="0" width="{axis.width(begun, ended):g}" height="{HIGH}"/>'


def _latency(story: RunStory, axis: Axis, mark: float | None) -> str:
    line = story.timeline
    known = [value for value in (*line.p50_ms, *line.p99_ms) if value is not None]
    if not known:
        return ""
    low, high = _bounds(min(known), max(known))
    heights = [[_log_share(value, low, high) for value in values] for values in (line.p50_ms, line.p99_ms)]
    marks = [(1 - share, _latency_words(at)) for at in LATENCIES_MS if (share := _log_share(at, low, high)) is not None]
    body = (
        axis.grid(HIGH)
        + _levels_at(*(1 - share for share, _ in marks))
        + "".join(
            f'<path class="{name}" d="{_steps(values, line.bucket_s, axis, 1.0, HIGH)}"/>'
            for name, values in zip(("p99", "p50"), reversed(heights), strict=True)
        )
    )
    about = f"From {min(known):,.3g} ms to {max(known):,.3g} ms; the scale is logarithmic."
    drawn = picture("Latency over time", about, body + marker(axis, mark, HIGH), HIGH)
    keys = [("p50", "half of the acknowledged requests were faster (p50)"), ("p99", "99 of 100 were faster (p99)")]
    return figure("Latency, by the moment of sending", legend(keys) + row(_side("", marks), drawn) + axis.labels())


def _bounds(least: float, most: float) -> tuple[float, float]:
    low = max((at for at in LATENCIES_MS if at <= least), default=least)
    return low, max(min((at for at in LATENCIES_MS if at >= most), default=most), 10 * low)


def _log_share(value: float | None, low: float, high: float) -> float | None:
    if value is None or not low <= value <= high:
        return None
    return math.log(value / low) / math.log(high / low)


def _latency_words(at_ms: float) -> str:
    return f"{at_ms:g} ms" if at_ms < 1000 else f"{at_ms / 1000:g} s"


def _sink(name: str, sink: SinkStory, axis: Axis, mark: float | None) -> str:
    most = max((value or 0 for value in sink.behind.values), default=0)
    words = f"At most {count(most, 'version')} behind. A new leader wrote {count(len(sink.writers), 'time')}."
    marks = "".join(f"M{axis.x(at):g} 0V{LOW}" for at in sink.writers)
    ticks = f'<path class="writer" d="{marks}"/>'
    return _level(sink.behind, axis, mark, f"Sink {safe(name)}", f"{most:,}", words, "sink", ticks)


def _level(
    levels: Levels, axis: Axis, mark: float | None, title: str, top: str, about: str, name: str, more: str = ""
) -> str:
    most = math.log1p(max(max((value or 0 for value in levels.values), default=0), 1))
    body = f'<path class="{name}" d="{_area(_held(levels.values), levels.bucket_s, axis, most, LOW)}"/>'
    drawn = picture(title, about, axis.grid(LOW) + body + more + marker(axis, mark, LOW), LOW)
    return row(_side(title, [(0.0, top), (1.0, "0")]), drawn)


def _held(values: Sequence[int | None]) -> Iterator[float]:
    """As logarithms. What was not looked at is as it was before."""
    last = 0
    for value in values:
        last = last if value is None else value
        yield math.log1p(last)


def _numbers(story: RunStory) -> str:
    """The charts as a table, for those who do not see them."""
    line = story.timeline
    every = max(1, math.ceil(len(line.operations) / ROWS_MAX))
    rows = []
    for first in range(0, len(line.operations), every):
        part = slice(first, first + every)
        slowest = max((value for value in line.p99_ms[part] if value is not None), default=None)
        halves = sorted(value for value in line.p50_ms[part] if value is not None)
        numbers = [f"{sum(each[part]):,}" for each in (line.operations, line.acknowledged, line.unknown)]
        latencies = [_ms(halves[len(halves) // 2] if halves else None), _ms(slowest)]
        rows.append([clock(first * line.bucket_s), *numbers, *latencies])
    heads = ["From", "Operations", "Acknowledged", "Unknown", "p50", "Highest p99"]
    return details("The charts as a table", table(heads, rows, name="numbers", label="The charts as a table"))


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g} ms" if value < 1000 else f"{value / 1000:,.3g} s"


# ---- paths ----------------------------------------------------------------------------------------------------------


def _area(values: Iterable[float], bucket_s: float, axis: Axis, top: float, height: float) -> str:
    points = [f"M0 {height:g}"]
    end = 0.0
    for place, value in enumerate(values):
        end = axis.x((place + 1) * bucket_s)
        points.append(f"V{height - 0.96 * height * value / top:.1f}H{end:g}")
    return "".join([*points, f"V{height:g}z"]) if end else ""


def _steps(values: Values, bucket_s: float, axis: Axis, top: float, height: float) -> str:
    """A line that ends where a value is missing."""
    points, is_drawing = [], False
    for place, value in enumerate(values):
        if value is not None:
            y, x = height - 0.96 * height * value / top, axis.x(place * bucket_s)
            points.append(f"{f'V{y:.1f}' if is_drawing else f'M{x:g} {y:.1f}'}H{axis.x((place + 1) * bucket_s):g}")
        is_drawing = value is not None
    return "".join(points)


def _levels_at(*shares: float) -> str:
    """Lines across a plot, where numbers stand beside it."""
    lines = "".join(f"M0 {HIGH - 0.96 * HIGH * share:.1f}H{WIDTH}" for share in shares)
    return f'<path class="grid" d="{lines}"/>'


def _side(title: str, ticks: Sequence[tuple[float, str]]) -> str:
    """`ticks`: shares of the height, from above, and words."""
    marks = "".join(f'<span class="tick" style="top:{4 + 96 * share:.0f}%">{words}</span>' for share, words in ticks)
    return f'<span class="name">{title}</span>{marks}'


def _ticks(top: float) -> list[tuple[float, str]]:
    return [(0.0, f"{top:,.0f}"), (0.5, f"{top / 2:,.0f}"), (1.0, "0")]


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 4.0, 5.0, 8.0, 10.0) if value <= step * power)

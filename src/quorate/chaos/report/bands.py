"""Faults as bands, a row for each kind, and a lane for each node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from quorate.chaos.report.drawing import Axis, block, figure, legend, marker, picture, row, safe, seconds
from quorate.chaos.report.story import FaultSpan, NodeSpan, RunStory
from quorate.words import count

BAND, LANE = 17, 26  # heights
BANDS_A_FIGURE = 30  # so that none is longer than a page of paper

STATES = {
    "leader": "leads",
    "follower": "follows",
    "learner": "learns",
    "candidate": "wants to lead",
    "starting": "starts",
    "silent": "does not answer",
    "paused": "is paused",
    "down": "is down",
}
HEIGHTS = {
    "leader": 20,
    "paused": 14,
    "down": 20,
    "candidate": 20,
    "follower": 8,
    "learner": 8,
    "starting": 4,
    "silent": 4,
}
MIDDLE = 13


def fault_bands(story: RunStory, axis: Axis, mark: float | None) -> str:
    if not story.faults:
        return ""
    by_kind: dict[str, list[FaultSpan]] = {kind.name: [] for kind in story.by_fault}
    for fault in story.faults:
        if fault.name in by_kind:
            by_kind[fault.name].append(fault)
    kinds = list(by_kind.items())
    figures = []
    for first in range(0, len(kinds), BANDS_A_FIGURE):
        title = f"Faults: {count(len(story.faults), 'fault')} of {count(len(kinds), 'kind')}"
        part = kinds[first : first + BANDS_A_FIGURE]
        body = _bands(part, axis, mark) + axis.labels()
        figures.append(figure(title if not first else "Faults, continued", body, id="" if first else "faults"))
    return "".join(figures)


def _bands(kinds: Sequence[tuple[str, Sequence[FaultSpan]]], axis: Axis, mark: float | None) -> str:
    names = "".join(f"<li>{safe(name)} <b>{len(spans)}</b></li>" for name, spans in kinds)
    height = BAND * len(kinds)
    lines = "".join(f"M0 {BAND * place:g}H1000" for place in range(1, len(kinds)))
    body = axis.grid(height) + f'<path class="rule" d="{lines}"/>'
    body += "".join(_band(fault, BAND * place, axis) for place, (_, spans) in enumerate(kinds) for fault in spans)
    about = "; ".join(f"{safe(name)} {len(spans)}" for name, spans in kinds)
    drawn = picture("Faults over time", about, body + marker(axis, mark, height), height)
    return row(f'<ul class="bands">{names}</ul>', drawn, name="row tight")


def _band(fault: FaultSpan, y: float, axis: Axis) -> str:
    ended = axis.ended if fault.ended is None else fault.ended
    lasted = "not mended" if fault.ended is None else f"for {seconds(ended - fault.begun)}"
    words = f"{safe(fault.name)}, at {fault.begun:,.1f} s, {lasted}: {safe(fault.words)}"
    place = f'x="{axis.x(fault.begun):g}" y="{y + 3:g}" width="{axis.width(fault.begun, ended):g}"'
    return f'<rect class="fault" {place} height="{BAND - 6}"><title>{words}</title></rect>'


def node_lanes(story: RunStory, axis: Axis, mark: float | None) -> str:
    if not story.nodes:
        return ""
    return figure("Nodes", lane_legend(story.nodes, axis) + lanes(story.nodes, axis, mark) + axis.labels(), id="nodes")


def lane_legend(nodes: Mapping[str, Sequence[NodeSpan]], axis: Axis) -> str:
    """Of what these lanes show."""
    spans = [span for lane in nodes.values() for span in lane if axis.has(span.begun, span.ended)]
    states = {span.state for span in spans}
    keys = [(state, words) for state, words in STATES.items() if state in states]
    keys += [("cut", "cut off")] * any(span.cut_off for span in spans)
    keys += [("harmed", "disk harmed")] * any(span.harmed for span in spans)
    return legend(keys)


def lanes(nodes: Mapping[str, Sequence[NodeSpan]], axis: Axis, mark: float | None) -> str:
    return "".join(_lane(node, spans, axis, mark) for node, spans in nodes.items())


def _lane(node: str, spans: Sequence[NodeSpan], axis: Axis, mark: float | None) -> str:
    seen = [span for span in spans if axis.has(span.begun, span.ended)]
    paths: dict[str, list[str]] = {}
    for span in seen:
        x, width = axis.x(span.begun), axis.width(span.begun, span.ended)
        if span.state:
            high = HEIGHTS.get(span.state, 4)
            paths.setdefault(span.state if span.state in HEIGHTS else "silent", []).append(
                block(x, MIDDLE - high / 2, width, high)
            )
        if span.cut_off:
            paths.setdefault("cut", []).append(block(x, 0, width, 3))
        if span.harmed:
            paths.setdefault("harmed", []).append(block(x, LANE - 3, width, 3))
    body = "".join(f'<path class="{state}" d="{"".join(parts)}"/>' for state, parts in paths.items())
    title = f"Node {safe(node)}"
    drawn = picture(title, _times(seen), axis.grid(LANE) + body + marker(axis, mark, LANE), LANE)
    return row(f'<span class="name">{safe(node)}</span>', drawn, name="row tight lane")


def _times(spans: Iterable[NodeSpan]) -> str:
    """For how long it was in which state, in words."""
    times: defaultdict[str, float] = defaultdict(float)
    for span in spans:
        lasted = span.ended - span.begun
        times[STATES.get(span.state, "")] += lasted
        times["is cut off"] += lasted * span.cut_off
        times["has a harmed disk"] += lasted * span.harmed
    return ", ".join(f"{words} for {seconds(lasted)}" for words, lasted in times.items() if words and lasted)

"""What proves that a promise was broken: each violation with its operations, and pictures of the first moments."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.chaos.report.bands import lane_legend, lanes
from quorate.chaos.report.drawing import Axis, block, details, figure, legend, picture, row, safe, table
from quorate.chaos.report.evidence_lines import LINE_MAX, EvidenceLine, evidence_line
from quorate.chaos.report.story import RunStory
from quorate.chaos.verdict import ShownViolation, Verdict
from quorate.words import count

PICTURES_MAX = 3
SHOWN_MAX = 60
WORDS_MAX = 1_000  # characters
FAULTS_MAX = 8  # in the picture of a moment
OPERATION = 22  # height
LEAST_AROUND_S = 0.4


def violations_part(verdict: Verdict, story: RunStory) -> str:
    if not verdict.violations:
        return ""
    told = verdict.violations[:SHOWN_MAX]
    parts = [_violation(number, each, story) for number, each in enumerate(told, 1)]
    left = sum(verdict.found.values()) - len(told)
    more = f"<p>{count(left, 'more violation')}, not shown.</p>" if left > 0 else ""
    title = count(sum(verdict.found.values()), "violation")
    return f'<section aria-labelledby="violations"><h2 id="violations">{title}</h2>{"".join(parts)}{more}</section>'


def first_moment(verdict: Verdict) -> float | None:
    """When the first violation was seen: the end of the last of its operations."""
    if not verdict.violations:
        return None
    lines = [evidence_line(raw) for raw in verdict.violations[0].operations]
    return max((_end(line) for line in lines), default=None)


def _violation(number: int, violation: ShownViolation, story: RunStory) -> str:
    lines = [evidence_line(raw) for raw in violation.operations]
    place = ' id="first-violation"' if number == 1 else ""
    rule = safe(violation.property.replace("_", " "))
    heading = f'<h3><span class="rule">{rule}</span> {safe(violation.words, WORDS_MAX)}</h3>'
    raw = "".join(f"<pre>{safe(line.text, LINE_MAX + 100)}</pre>" for line in lines)
    body = _operations(lines) + (_moment(lines, story) if number <= PICTURES_MAX and lines else "")
    as_written = details("As these lines stand in the history", raw) if lines else ""
    return f'<article class="violation"{place}>{heading}{body}{as_written}</article>'


def _operations(lines: Sequence[EvidenceLine]) -> str:
    heads = ["", "What", "Client", "Node", "From", "Until", "Outcome", "Version"]
    rows = [
        [
            f"{place}",
            safe(line.words, WORDS_MAX),
            safe(line.client),
            safe(line.node),
            f"{line.begun:,.6f}",
            "–" if line.ended is None else f"{line.ended:,.6f}",
            safe(line.outcome),
            "–" if line.version is None else safe(line.version),
        ]
        for place, line in enumerate(lines, 1)
    ]
    label = "The operations that prove it"
    return table(heads, rows, name="operations", label=label)


def _moment(lines: Sequence[EvidenceLine], story: RunStory) -> str:
    """The time around these operations, enlarged."""
    begun, ended = min(line.begun for line in lines), max(_end(line) for line in lines)
    around = max(LEAST_AROUND_S, 0.15 * (ended - begun))
    axis = Axis(max(0.0, begun - around), ended + around)
    rows = [_bar(place, line, axis) for place, line in enumerate(lines, 1)]
    faults = [
        fault for fault in story.faults if axis.has(fault.begun, axis.ended if fault.ended is None else fault.ended)
    ][:FAULTS_MAX]
    for fault in faults:
        until = axis.ended if fault.ended is None else fault.ended
        drawn = block(axis.x(fault.begun), 5, axis.width(fault.begun, until), OPERATION - 10)
        about = f"{safe(fault.words)}, from {fault.begun:,.1f} s"
        rows.append(_line(safe(fault.name), about, f'<path class="fault" d="{drawn}"/>', axis))
    keys = legend([("ok", "answered"), ("unknown", "no answer that says what happened"), ("fault", "a fault")])
    nodes = lanes(story.nodes, axis, None)
    body = keys + "".join(rows) + (lane_legend(story.nodes, axis) + nodes if nodes else "") + axis.labels()
    return figure("The moment", body)


def _bar(place: int, line: EvidenceLine, axis: Axis) -> str:
    name = "unknown" if line.outcome == "unknown" else "ok"
    until = axis.ended if line.ended is None else line.ended
    drawn = block(axis.x(line.begun), 3, axis.width(line.begun, until), OPERATION - 6)
    who = " → ".join(safe(each) for each in (line.client, line.node) if each)
    return _line(f"<b>{place}</b> {who}", safe(line.words, WORDS_MAX), f'<path class="{name}" d="{drawn}"/>', axis)


def _line(side: str, about: str, body: str, axis: Axis) -> str:
    drawn = picture(about, about, axis.grid(OPERATION) + body, OPERATION)
    return row(f'<span class="name">{side}</span>', drawn, name="row tight lane")


def _end(line: EvidenceLine) -> float:
    return line.begun if line.ended is None else line.ended

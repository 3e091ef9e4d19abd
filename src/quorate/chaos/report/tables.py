"""What is told in tables: operations by kind of fault, situations that were reached, what was checked, all faults."""

from __future__ import annotations

from quorate.chaos import noticing, reached
from quorate.chaos.report.drawing import clock, details, safe, seconds, table
from quorate.chaos.report.story import SITUATIONS_MAX, KindFigures, RunStory
from quorate.chaos.verdict import Verdict
from quorate.words import LEVELS, count

LISTED_MAX = 500  # faults
PROPERTIES = {
    "counted_once": "each acknowledged vote is counted once, each other at most once",
    "reads": "a read shows all votes at or below its version, and none above",
    "real_time": "what ended before another began has the lesser version",
    "resends": "a request that is sent again is a duplicate, and changes nothing",
    "agreement": "equal versions are equal on all nodes",
    "closing": "no vote counts after the close, none is refused before it",
    "sinks": "a sink shows the tally at its version; its fence never falls",
    "sessions": "the batches of a session count in order, without a gap",
    "memory": "the dedup table never holds more than its window",
}


def by_fault(story: RunStory) -> str:
    if not story.by_fault:
        return ""
    heads = ["While active", "Faults", "Operations", "Acknowledged", "Unknown", "Refused"]
    rows = [_kind(safe(kind.name), kind) for kind in story.by_fault]
    rows.append(_kind("nothing was broken", story.quiet))
    note = (
        "<p>Operations that were under way while a fault of this kind was active, so one may count in several rows. "
        "Acknowledged are requests of votes; refused is what surely had no effect.</p>"
    )
    listed = table(heads, rows, name="numbers", label="By kind of fault")
    more = f"<p>{count(story.kinds_left_out, 'more kind')}, not listed.</p>" if story.kinds_left_out else ""
    return _section("by-fault", "By kind of fault", note + listed + more)


def _kind(name: str, kind: KindFigures) -> list[str]:
    numbers = (kind.operations, kind.acknowledged, kind.unknown, kind.refused)
    return [name, f"{kind.faults:,}" if kind.faults else "", *(f"{number:,}" for number in numbers)]


def reached_list(verdict: Verdict, story: RunStory) -> str:
    words = reached.DERIVED | noticing.NOTICED
    asked = dict.fromkeys(story.run.asked_to_reach)
    rows = [
        [_mark("missed", "✗ missed"), safe(name), safe(words.get(name, "")), "", "yes"]
        for name in verdict.missed[:SITUATIONS_MAX]
    ]
    rows += [
        [
            _mark("done", "✓ reached"),
            safe(name),
            safe(words.get(name) or each.words),
            f"{each.times:,}",
            "yes" if name in asked else "",
        ]
        for name, each in list(verdict.reached.items())[:SITUATIONS_MAX]
    ]
    if not rows:
        return ""
    note = (
        f"<p>Situations without which a clean history says little: {len(asked) - len(verdict.missed)} of "
        f"{len(asked)} that were asked for were reached, and {count(len(verdict.reached), 'situation')} in all.</p>"
    )
    heads = ["", "Situation", "What it is", "Times", "Asked"]
    return _section("reached", "Reached", note + table(heads, rows, name="reached", label="Reached"))


def _mark(name: str, words: str) -> str:
    return f'<span class="{name}">{words}</span>'


def checked(verdict: Verdict) -> str:
    rows = []
    for name, counts in verdict.checked.items():
        numbers = ", ".join(f"{number:,} {_what(name, what)}" for what, number in counts.items() if number) or "nothing"
        found = verdict.found.get(name, 0)
        mark = _mark("missed", f"✗ {found:,}") if found else _mark("done", "✓ none")
        rows.append([safe(name.replace("_", " ")), PROPERTIES.get(name, ""), mark, numbers])
    heads = ["Property", "What it promises", "Violations", "Checked"]
    return _section("checked", "Checked", table(heads, rows, name="reached", label="Checked"))


def _what(rule: str, what: str) -> str:
    return f"of level {what}" if rule == "reads" and what in LEVELS else safe(what)


def all_faults(story: RunStory) -> str:
    if not story.faults:
        return ""
    rows = [
        [
            clock(fault.begun),
            "–" if fault.ended is None else seconds(fault.ended - fault.begun),
            safe(fault.words),
            safe(fault.name),
        ]
        for fault in story.faults[:LISTED_MAX]
    ]
    left = story.faults_left_out + max(0, len(story.faults) - LISTED_MAX)
    more = f"<p>{count(left, 'more fault')}, not listed.</p>" if left else ""
    listed = table(["At", "For", "What", "Name"], rows, name="reached", label="All faults")
    return details(f"All faults, one by one ({len(story.faults):,})", listed + more)


def _section(id: str, title: str, body: str) -> str:
    return f'<section aria-labelledby="{id}"><h2 id="{id}">{title}</h2>{body}</section>'

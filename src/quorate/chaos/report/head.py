"""The top of the page: the verdict in words, what the run was, and its figures."""

from __future__ import annotations

import datetime

from quorate.chaos.figures import RunFigures
from quorate.chaos.report.drawing import clock, safe, seconds
from quorate.chaos.report.story import RunStory
from quorate.chaos.verdict import Verdict
from quorate.words import count

REASONS_MAX = 30
WORDS = {
    "clean": ("Clean", "No answer that any client got contradicts any promise."),
    "violated": ("Violated", "A promise was broken. The operations below prove it, whatever the others were."),
    "inconclusive": (
        "Inconclusive",
        "No promise was seen broken, but too little happened, or is known, to call the run clean.",
    ),
}
SIGNS = {"clean": "✓", "violated": "✗", "inconclusive": "?"}


def verdict_part(verdict: Verdict) -> str:
    word, sentence = WORDS[verdict.verdict]
    jump = ""
    if verdict.violations:
        total = count(sum(verdict.found.values()), "violation")
        jump = f'<p><a class="jump" href="#first-violation">See the first of {total}</a></p>'
    reasons = "".join(f"<li>{safe(reason, 1_000)}</li>" for reason in verdict.reasons[:REASONS_MAX])
    listed = f"<ul>{reasons}</ul>" if reasons else ""
    return (
        f'<div class="verdict {verdict.verdict}"><span class="sign" aria-hidden="true">{SIGNS[verdict.verdict]}</span>'
        f"<div><h1>{word}</h1><p>{sentence}</p>{listed}{jump}</div></div>"
    )


def facts_part(verdict: Verdict, story: RunStory) -> str:
    run = story.run
    nodes = ", ".join(safe(node) for node in run.nodes)
    where = "" if run.is_ours else ", a cluster that somebody else ran and broke"
    facts = [
        ("Command", f"<code>{safe(run.command, 2_000)}</code>"),
        ("When", _when(run.began_ms)),
        ("Nodes", f"{count(verdict.nodes, 'node')}: {nodes}{where}" if nodes else f"{verdict.nodes:,}"),
        ("Seed", f"{run.seed}"),
        ("Version", f"Quorate {safe(run.program)}"),
        ("Time", f"{seconds(run.planned_s)} of clients and faults; {seconds(run.span_s)} until all was known"),
        ("Clients", f"{verdict.clients:,}"),
    ]
    return f"<dl>{''.join(f'<div><dt>{name}</dt><dd>{words}</dd></div>' for name, words in facts)}</dl>"


def _when(began_ms: int) -> str:
    try:
        began = datetime.datetime.fromtimestamp(began_ms / 1000, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return "–"
    return f"{began:%d %B %Y, %H:%M} UTC"


def figures_part(verdict: Verdict, figures: RunFigures, story: RunStory) -> str:
    asked = len(story.run.asked_to_reach)
    tiles = [
        (f"{verdict.operations:,}", "operations", ""),
        (f"{sum(story.timeline.acknowledged):,}", "acknowledged", "requests of votes"),
        (f"{verdict.unknown:,}", "unknown", "answers that did not say what happened"),
        (
            f"{verdict.faults:,}",
            f"{'fault' if verdict.faults == 1 else 'faults'}",
            f"of {count(len(figures.faults), 'kind')}",
        ),
        (seconds(figures.longest_gap_s), "longest gap", f"without a counted vote, at {clock(figures.longest_gap_at)}"),
    ]
    if figures.failover_p50_s is not None and figures.failover_p99_s is not None:
        failovers = f"p50 of {count(len(figures.failovers_s), 'failover')}; p99 {seconds(figures.failover_p99_s)}"
        tiles.append((seconds(figures.failover_p50_s), "failover", failovers))
    if asked:
        tiles.append((f"{asked - len(verdict.missed)} of {asked}", "reached", "situations that were asked for"))
    shown = "".join(f"<li><b>{number}</b><span>{name}</span><small>{more}</small></li>" for number, name, more in tiles)
    return f'<ul class="tiles">{shown}</ul>'

"""The operations that prove a violation, in words: lines of a history that may hold anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from quorate.words import count

LINE_MAX = 3_000  # characters of a line that are shown
OPTIONS_MAX = 8


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """A line of a history. Its texts are as they stand there, and not safe in a page."""

    kind: str
    number: int | None
    begun: float
    ended: float | None
    client: str
    node: str
    outcome: str
    version: int | None
    words: str
    text: str


def evidence_line(raw: msgspec.Raw) -> EvidenceLine:
    text = bytes(raw).decode(errors="replace")
    told: dict[str, Any] = msgspec.json.decode(bytes(raw))
    kind = str(told.get("record", ""))
    begun = float(told.get("begun", told.get("at", 0.0)))
    is_operation = "number" in told and "client" in told
    return EvidenceLine(
        kind,
        told.get("number") if is_operation else None,
        begun,
        told.get("ended") if is_operation else told.get("until", begun),
        str(told.get("client", "")),
        str(told.get("served_by") or told.get("node") or told.get("sink") or ""),
        str(told.get("outcome", "unknown")) if is_operation else "",
        told.get("version"),
        _in_words(kind, told),
        text if len(text) <= LINE_MAX else f"{text[:LINE_MAX]}… ({count(len(text), 'character')})",
    )


def _in_words(kind: str, told: Mapping[str, Any]) -> str:
    match kind:
        case "cast":
            return _cast(told)
        case "read":
            level = told.get("level", "")
            words = f"read of {told.get('poll')}, level {level}: total {told.get('total', 0):,}{_results(told)}"
            return f"final {words}" if told.get("settles") else words
        case "poll-change":
            return f"poll {told.get('poll')} becomes {told.get('to')}"
        case "open-session":
            return f"session of {told.get('producer')} opens: epoch {told.get('epoch', 0)}"
        case "digest":
            return f"digest {told.get('digest', '')}"
        case "sink":
            return f"{told.get('sink')} shows {told.get('poll')} under fence {told.get('fence')}{_results(told)}"
        case "node":
            return f"{told.get('node')} is {told.get('role')}, holds {count(told.get('dedup_ids', 0), 'id')}"
    return kind


def _cast(told: Mapping[str, Any]) -> str:
    votes = told.get("votes", [])
    words = f"{count(len(votes), 'vote')}, request {told.get('request')}"
    answers = [f"{told[name]:,} {name}" for name in ("applied", "duplicates") if told.get(name)]
    if rejected := told.get("rejected"):
        answers.append(f"{len(rejected):,} rejected ({rejected[0][1]})")
    if votes:
        words += f", first for {votes[0][0]}"
    return f"{words}: {', '.join(answers) or told.get('error') or 'no answer'}"


def _results(told: Mapping[str, Any]) -> str:
    results = list(told.get("results", {}).items())
    shown = ", ".join(f"{option} {number:,}" for option, number in results[:OPTIONS_MAX])
    more = f" and {count(len(results) - OPTIONS_MAX, 'option')} more" if len(results) > OPTIONS_MAX else ""
    return f" ({shown}{more})" if shown else ""

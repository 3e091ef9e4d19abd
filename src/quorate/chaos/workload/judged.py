"""What an answer means: done, surely not done, or unknown. Everything that the interface does not name is unknown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from quorate.chaos.history import Kind
from quorate.chaos.workload.exchange import NodeAnswer

# The kinds of problems that say for sure that nothing happened.
SURELY_NOT = {"no-leader", "overloaded", "over-rate", "not-ready", "stale"}
SURELY_NOT |= {"unauthorized", "forbidden", "misdirected", "needs-level"}
# The kinds that say what became of votes: they did not count.
NOT_COUNTED = {
    "closed": "closed",
    "conflict": "conflict",
    "unknown-option": "unknown_option",
    "unknown-poll": "unknown_poll",
    "expired-id": "expired_id",
    "too-large": "too_large",
    "invalid": "invalid",
    "deleted": "deleted",
}


@dataclass(slots=True)
class Judged:
    outcome: Kind
    error: str = ""
    applied: int = 0
    duplicates: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)


def of_votes(answer: NodeAnswer, votes: int) -> Judged:
    """The answer to a request of so many votes."""
    told = answer.json()
    if answer.status == 200:
        return _counted(told)
    kind = told.get("type")
    if kind == "rejected" or kind in NOT_COUNTED:
        listed = _rejected(told.get("rejected"))
        if not listed and kind in NOT_COUNTED:  # all of them, or the single one
            listed = [(place, NOT_COUNTED[kind]) for place in range(votes)]
        if listed:
            return Judged("ok", error=str(kind), rejected=listed)
    return _problem(answer, told)


def of_change(answer: NodeAnswer) -> Judged:
    """The answer to a change of a poll, or the opening of a session."""
    if answer.status in (200, 201):
        return Judged("ok") if answer.json() else Judged("unknown", error="unreadable")
    told = answer.json()
    if told.get("type") in ("bad-transition", "archived", "conflict", "unknown-poll", "deleted", "gone", "invalid"):
        return Judged("fail", error=str(told["type"]))
    return _problem(answer, told)


def of_read(answer: NodeAnswer) -> Judged:
    """A read changes nothing, so without a good answer it surely had no effect."""
    if answer.status == 200 and answer.json():
        return Judged("ok")
    return Judged("fail", error=_words(answer, answer.json()))


def _counted(told: dict[str, Any]) -> Judged:
    applied, duplicates = told.get("applied"), told.get("duplicates")
    if not isinstance(applied, int) or not isinstance(duplicates, int):
        return Judged("unknown", error="unreadable")
    return Judged("ok", "", applied, duplicates, _rejected(told.get("rejected")))


def _problem(answer: NodeAnswer, told: dict[str, Any]) -> Judged:
    sure = told.get("type") in SURELY_NOT and told.get("definite", True) is True
    return Judged("fail" if sure else "unknown", error=_words(answer, told))


def _words(answer: NodeAnswer, told: dict[str, Any]) -> str:
    return str(told.get("type") or f"status {answer.status}: {answer.body[:200].decode(errors='replace')}")


def _rejected(listed: Any) -> list[tuple[int, str]]:
    if not isinstance(listed, list):
        return []
    return [(int(each["index"]), str(each["reason"])) for each in listed if "index" in each and "reason" in each]

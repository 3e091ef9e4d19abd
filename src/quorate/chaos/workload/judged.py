"""What an answer means: done, surely not done, or unknown. Everything that the interface does not name is unknown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from quorate.chaos.history import Kind
from quorate.chaos.workload.exchange import NodeAnswer
from quorate.chaos.workload.redis_replies import ReplyError

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
# The same of errors by Redis' protocol, by their first words. What is not known has no error there.
SURELY_NOT_TO_REDIS = {
    "CLUSTERDOWN",
    "TRYAGAIN",
    "LOADING",
    "MOVED",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "EXECABORT",
    "ERR",
}
NOT_COUNTED_TO_REDIS = {
    "CLOSED": "closed",
    "CONFLICT": "conflict",
    "NOOPTION": "unknown_option",
    "NOPOLL": "unknown_poll",
    "EXPIREDID": "expired_id",
    "TOOLARGE": "too_large",
    "DELETED": "deleted",
}
ENTRY_ID = re.compile(r"(\d{1,18})-\d{1,9}", re.ASCII)  # the version, and the vote's place


@dataclass(slots=True)
class Judged:
    outcome: Kind
    error: str = ""
    applied: int = 0
    duplicates: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    counted: int = 0  # now or before: Redis clients are not told which
    version: int | None = None  # in what Redis clients are told
    moved_to: str = ""  # the address where a cluster client is to ask


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


def of_redis_votes(replies: Sequence[Any]) -> Judged:
    """A reply for each vote. In a transaction the last reply has all of them."""
    is_transaction = bool(replies) and replies[0] == "OK"
    if is_transaction:
        answer = replies[-1]
        replies = answer if isinstance(answer, list) else [answer]
    codes = {reply.code for reply in replies if isinstance(reply, ReplyError)}
    entries = [ENTRY_ID.fullmatch(reply) for reply in replies if isinstance(reply, str)]
    rejected = [
        (place, NOT_COUNTED_TO_REDIS[reply.code])
        for place, reply in enumerate(replies)
        if isinstance(reply, ReplyError) and reply.code in NOT_COUNTED_TO_REDIS
    ]
    if replies and len(rejected) + sum(each is not None for each in entries) == len(replies):
        versions = {int(each[1]) for each in entries if each is not None}
        is_one_entry = is_transaction or not rejected  # an error does not say at which version it was decided
        version = versions.pop() if len(versions) == 1 and is_one_entry else None
        return Judged("ok", ", ".join(sorted(codes)), rejected=rejected, counted=len(entries), version=version)
    words = ", ".join(sorted(codes)) or f"replies {replies!r}"[:200]
    if not entries and codes <= SURELY_NOT_TO_REDIS and all(isinstance(reply, ReplyError) for reply in replies):
        moved = next((reply.text.split()[-1] for reply in replies if reply.code == "MOVED"), "")
        return Judged("fail", words, moved_to=moved)
    return Judged("unknown", words)


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

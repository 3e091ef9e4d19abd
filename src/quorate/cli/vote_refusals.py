"""Why a vote by hand was refused, with what its voter may have meant: the cluster is asked for its polls."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable
from typing import Any

from quorate.client.http import Client
from quorate.errors import PollClosed, QuorateError, UnknownOption, UnknownPoll
from quorate.vote import Vote

NEAR_MAX, ALL_MAX = 5, 8


def explain(error: QuorateError, client: Client, vote: Vote) -> None:
    """Name in the error what was refused, and add a hint with what is near. It stays as it is if nobody answers."""
    if not isinstance(error, UnknownOption | UnknownPoll | PollClosed):
        return
    with contextlib.suppress(QuorateError):
        polls = client.polls()["polls"]
        if isinstance(error, UnknownPoll):
            error.detail = f"there is no poll {vote.poll!r}"
            error.fields["hint"] = _near("poll", vote.poll or "", [poll["id"] for poll in polls])
        elif isinstance(error, PollClosed):
            closed = [poll for poll in polls if _is_meant(poll, vote) and poll["state"] != "open"]
            error.detail = "; ".join(f"{poll['id']} is {_state(poll)}" for poll in closed) or error.detail
        else:
            asked = [poll for poll in polls if poll["id"] == vote.poll or (not vote.poll and poll["state"] == "open")]
            options = dict.fromkeys(option for poll in asked for option in poll["options"])
            error.detail = f"{vote.option!r} in poll {vote.poll}" if vote.poll else repr(vote.option)
            error.fields["hint"] = _near("open poll", vote.option, options)


def _is_meant(poll: dict[str, Any], vote: Vote) -> bool:
    return bool(poll["id"] == vote.poll if vote.poll else vote.option in poll["options"])


def _state(poll: dict[str, Any]) -> str:
    if poll["state"] == "draft":
        return f"a draft; open it first: quorate polls open {poll['id']}"
    return str(poll["state"])


def _near(what: str, word: str, known: Iterable[str]) -> str:
    by_case = {each.casefold(): each for each in known}
    if not by_case:
        return f"There is no {what} yet. All are listed by: quorate polls"
    if near := [by_case[each] for each in difflib.get_close_matches(word.casefold(), by_case, NEAR_MAX, 0.5)]:
        return f"Did you mean {' or '.join(near)}?"
    if len(by_case) <= ALL_MAX:
        return f"There {'is' if len(by_case) == 1 else 'are'} {', '.join(by_case.values())}."
    return "All are listed by: quorate polls"

"""Why a vote by hand was refused, with what its voter may have meant: the cluster is asked for its polls."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable
from typing import Any

from quorate.client.http import JsonClient
from quorate.errors import PollClosed, QuorateError, UnknownOption, UnknownPoll
from quorate.vote import Vote
from quorate.words import did_you_mean

PLAIN = "the poll is not open"  # what nodes of 0.1.0 say of every poll that is not


def explain(error: QuorateError, client: JsonClient, vote: Vote) -> None:
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
            if error.detail == PLAIN:
                error.detail = "; ".join(f"{poll['id']} is {poll['state']}" for poll in closed) or error.detail
            if shut := [poll["id"] for poll in closed if poll["state"] != "archived"]:
                error.fields["hint"] = f"Open it first: quorate polls open {shlex.quote(shut[0])}"
        else:
            asked = [poll for poll in polls if poll["id"] == vote.poll or (not vote.poll and poll["state"] == "open")]
            options = dict.fromkeys(option for poll in asked for option in poll["options"])
            error.detail = f"{vote.option!r} in poll {vote.poll}" if vote.poll else repr(vote.option)
            error.fields["hint"] = _near("open poll", vote.option, options)


def _is_meant(poll: dict[str, Any], vote: Vote) -> bool:
    return bool(poll["id"] == vote.poll if vote.poll else vote.option in poll["options"])


def _near(what: str, word: str, known: Iterable[str]) -> str:
    names = list(dict.fromkeys(known))
    if not names:
        return f"There is no {what} yet. All are listed by: quorate polls"
    words = did_you_mean(word, names).removeprefix("; ")
    if not words:
        return "All are listed by: quorate polls"
    return f"{words[0].upper()}{words[1:]}{'' if words.endswith('?') else '.'}"

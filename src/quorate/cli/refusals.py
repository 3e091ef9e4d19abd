"""A node's refusal at the command line: in the words of commands, not of HTTP, and with the command to type next."""

from __future__ import annotations

import re
import shlex

from quorate.errors import BadTransition, QuorateError, UnknownPoll

OWN_WORDS = tuple(
    (re.compile(pattern), own)
    for pattern, own in (
        (r"\blevel=", "--level "),
        (r"\bor write_ins$", "or --write-ins"),
        (r"^(from|step) is\b", r"--\1 is"),
        (r"\bas step\b", "as --step"),
        (r"\ba longer step\b", "a longer --step"),
        (r"\ba later from\b", "a later --from"),
        (r"\bsend a token, as Authorization: Bearer TOKEN$", "none was given"),
    )
)
FIRST = {  # the poll's state, and what it was to become -> what comes before that
    ("draft", "closed"): ("open",),
    ("open", "archived"): ("close",),
    ("open", "deleted"): ("close", "archive"),
    ("closed", "deleted"): ("archive",),
}


def in_own_words(error: QuorateError) -> str:
    """What happened. A node says it as its HTTP API has it."""
    text = error.detail or error.title
    for pattern, own in OWN_WORDS:
        text = pattern.sub(own, text)
    return text


def next_step(error: QuorateError) -> str | None:
    if isinstance(error, UnknownPoll):
        return "All are listed by: quorate polls"
    if not isinstance(error, BadTransition):
        return None
    verbs = FIRST.get((str(error.fields.get("state")), str(error.fields.get("wanted"))))
    name = shlex.quote(str(error.fields.get("poll")))
    return "First: " + " && ".join(f"quorate polls {verb} {name}" for verb in verbs) if verbs else None

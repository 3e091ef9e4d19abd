"""What X answers when it refuses something, in words. It sends a "problem": a JSON object with a title and a detail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.ingest.social.reading.refusal import StreamRefused
from quorate.shown import line

WORDS = {
    401: "X does not accept the credentials (SP_X_KEY and SP_X_SECRET, or SP_X_BEARER)",
    402: "the account has no credits left; add some in X's developer console",
    403: "the app may not do this; it must belong to a project of X's developer console that has access",
    404: "there is no such address; is the URL that of X's API?",
}
ENDS = ("operational-disconnect", "ConnectionException", "UsageCapExceeded", "UsageCapped", "ClientDisconnected")
MENDABLE = (400, 401, 402, 403, 404, 405, 410, 422)


def refusal_of(url: str, status: int, headers: Mapping[str, str], problem: Any) -> StreamRefused:
    said = said_in(problem)
    why = WORDS.get(status, "that is no success")
    text = f"{url} answers {status}: {why}{f' ({said})' if said else ''}"
    return StreamRefused(text, status, headers, mendable=status in MENDABLE)


def said_in(problem: Any) -> str:
    """Its title and detail, as one line. X's problems name no person and no token."""
    if not isinstance(problem, dict):
        return ""
    if isinstance(problem.get("errors"), list) and problem["errors"] and not problem.get("detail"):
        problem = problem["errors"][0]
    parts = [problem.get("title"), problem.get("detail") or problem.get("message")] if isinstance(problem, dict) else []
    return line(": ".join(part for part in parts if isinstance(part, str)), 300)


def issue_of(problem: Any) -> str:
    """A word by which programs tell problems apart."""
    if not isinstance(problem, dict):
        return ""
    return str(problem.get("connection_issue") or problem.get("disconnect_type") or problem.get("title") or "")


def ends_stream(problem: Any) -> bool:
    """Whether X hangs up after it. Others are about one post."""
    if not isinstance(problem, dict):
        return False
    return bool(problem.get("connection_issue") or problem.get("disconnect_type")) or problem.get("title") in ENDS

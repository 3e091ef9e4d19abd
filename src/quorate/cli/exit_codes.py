"""What a command that failed shows: a sentence, or a problem document with --json, and an exit code."""

from __future__ import annotations

import io
import os

import click
import msgspec

from quorate import shown
from quorate.cli import output
from quorate.cli.refusals import next_step
from quorate.errors import ConfigError, NoLeader, OutcomeUnknown, QuorateError, Unauthorized
from quorate.exit_code import FAILED, NOT_REACHED, UNKNOWN, USAGE

NOT_REACHED_HINT = "Is the cluster running? `quorate dev` starts one; other nodes: --node URL, or QUORATE_NODES."
IN_DOUBT = {  # by what was asked: the beginning of the path
    "/votes": "Ask the same again: a vote with an id, and the votes of a file, are not counted twice.",
    "/polls": "Ask the same again, or look with: quorate polls",
    "/leader": "Look with: quorate leader",
    "/members": "Look with: quorate members",
    "/sink": "Ask the same again: twice is harmless. Look with: quorate sink show",
    "/settings": "Look with: quorate settings show",
    "/audit": "Ask the same again: twice is harmless.",
    "": "Ask the same again.",
}


def exit_code_of(error: Exception, *, as_json: bool = False) -> int:
    """Print the error to standard error. Returns the exit code."""
    if isinstance(error, click.ClickException):
        _complain(_as_click_shows(error))
        return error.exit_code
    if isinstance(error, QuorateError):
        output.complain(lambda: _print(error, as_json))
        return _code(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        if not where and output.is_from_output(error):
            where = "the output cannot be written: "
        _complain(f"quorate: {where}{error.strerror or error}")
        return FAILED
    if os.environ.get("QUORATE_TRACEBACK"):
        raise error
    _complain(
        f"quorate: something failed that should not: {type(error).__name__}: {error}\n"
        "  This is a bug. Set QUORATE_TRACEBACK=1 to see where it happened."
    )
    return FAILED


def _as_click_shows(error: click.ClickException) -> str:
    text = io.StringIO()
    error.show(text)
    return text.getvalue().rstrip("\n").expandtabs(2)  # click has one before each choice


def _lines(text: str) -> list[str]:
    return shown.lines(text).split("\n")


def _complain(text: str) -> None:
    """Show a text of several lines. Its line breaks stay, so only we and our libraries may put them there."""
    output.complain(lambda: output.echo(*_lines(text), err=True))


def _code(error: QuorateError) -> int:
    if isinstance(error, ConfigError):
        return USAGE
    if not error.definite:
        return UNKNOWN
    return NOT_REACHED if error.status in (429, 503) else FAILED


def _print(error: QuorateError, as_json: bool) -> None:
    if as_json:
        document = {"type": error.kind, "title": error.title, "status": error.status, "detail": error.detail}
        document |= {"definite": error.definite, **error.fields}
        safe = {
            name: shown.without_userinfo(each) if isinstance(each, str) else each for name, each in document.items()
        }
        output.echo(msgspec.json.encode(safe), err=True)
        return
    hint = error.fields.get("hint") or _hint(error)
    first, *others = _lines(_sentence(error))
    output.echo(first, *(f"  {each}" for each in [*others, *([hint] if hint else [])]), err=True)


def _hint(error: QuorateError) -> str | None:
    if isinstance(error, OutcomeUnknown):
        return next(words for path, words in IN_DOUBT.items() if error.asked.startswith(path))
    if isinstance(error, Unauthorized):
        return "Give a token: --token-file FILE, or QUORATE_TOKEN_FILE. How to make one: quorate token new --help"
    if not isinstance(error, NoLeader):
        return next_step(error)
    from quorate.client.error_replies import Unreached  # not at the start of a command: it loads requests

    nothing = "Nothing was changed. " if error.asked and "Nothing was changed" not in error.detail else ""
    return nothing + (NOT_REACHED_HINT if isinstance(error, Unreached) else "Which nodes are up: quorate nodes")


def _sentence(error: QuorateError) -> str:
    """Title and detail. A detail that only repeats the title is left out."""
    if "\n" in error.detail:
        return f"quorate: {error.title}:\n{error.detail}"
    if not error.detail:
        return f"quorate: {error.title}"
    if error.detail.casefold().startswith(error.title.casefold()):
        return f"quorate: {error.detail[0].upper()}{error.detail[1:]}"
    return f"quorate: {error.title}: {error.detail}"

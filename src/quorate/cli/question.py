"""Asks before something is done that others would notice."""

from __future__ import annotations

import click

from quorate.cli.output import echo
from quorate.exit_code import FAILED


def agree(question: str) -> None:
    """Return if the answer is yes. A command that asks has the flag --yes."""
    try:
        said_yes = click.confirm(question, err=True)
    except click.Abort as aborted:
        if not isinstance(aborted.__context__, EOFError):
            raise  # Ctrl-C
        echo("", err=True)
        raise click.UsageError("nobody answered, so nothing was changed. --yes answers such a question.") from None
    if not said_yes:
        echo("quorate: nothing was changed", err=True)
        click.get_current_context().exit(FAILED)

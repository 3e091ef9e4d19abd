"""Words that a shell may complete, which only a cluster knows. What cannot be had in a second is left out silently."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from quorate.client.http import JsonClient

ASKED_S = 1.0
MOST = 200


def polls(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """The names of polls, each with its title."""
    from click.shell_completion import CompletionItem

    from quorate import shown

    with contextlib.suppress(Exception), _client(ctx) as client:
        found = [poll for poll in client.polls()["polls"] if poll["id"].startswith(begun) and _is_one_word(poll["id"])]
        return [CompletionItem(poll["id"], help=shown.line(poll["title"])[:80]) for poll in found[:MOST]]
    return []


def options(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """The options of the poll that is named, or of all open polls."""
    from click.shell_completion import CompletionItem

    with contextlib.suppress(Exception), _client(ctx) as client:
        named = ctx.params.get("poll")
        polls = [client.poll(named)] if named else client.polls("open")["polls"]
        found = dict.fromkeys(
            option for poll in polls for option in poll.get("options", []) if option.startswith(begun)
        )
        return [CompletionItem(option) for option in list(found)[:MOST] if _is_one_word(option)]
    return []


def _is_one_word(text: str) -> bool:
    """Shells would take others apart, or do what is in them: a stranger may have named it."""
    return all(character.isalnum() or character in "._-" for character in text)


def _client(ctx: click.Context) -> JsonClient:
    from pathlib import Path

    from quorate.client.http import DEFAULT_NODES, JsonClient
    from quorate.client.token_file import read_token

    file, ca = os.environ.get("QUORATE_TOKEN_FILE"), os.environ.get("QUORATE_CA")
    nodes = ctx.params.get("nodes") or DEFAULT_NODES
    return JsonClient(nodes, timeout_s=ASKED_S, token=read_token(Path(file)) if file else None, ca=ca or None)

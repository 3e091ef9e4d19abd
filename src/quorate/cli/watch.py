"""`quorate watch`: the tallies of several polls as they change."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from quorate import shown
from quorate.cli.node_options import as_json, asks_nodes, client_of, level_option, print_json
from quorate.cli.numbers import NumberRange
from quorate.cli.output import echo
from quorate.cli.refusals import in_own_words
from quorate.words import count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from quorate.client.http import JsonClient

SHOWN_MAX = 20  # polls in a picture


@click.command()
@click.argument("polls", nargs=-1, metavar="[POLL]...")
@click.option("--interval", "interval_s", type=NumberRange(0.1, 3600), default=0.5, help="Seconds between two looks.")
@level_option()
@as_json
@asks_nodes()
def watch(
    polls: tuple[str, ...], interval_s: float, level: str, as_json: bool, nodes: list[str], timeout_s: float
) -> None:
    """Follow the tallies of POLLs, or of all that are open, until Ctrl-C.

    On a terminal it is a picture that changes, otherwise a line for each change. When a node dies, the others are
    asked; when no leader is known, it says so and goes on.
    """
    with client_of(nodes, timeout_s, unreached_s=None, shows_wait=False) as client:
        watched = _Watched(client, polls, level)
        if as_json or not sys.stdout.isatty():
            _watch_lines(watched, interval_s, as_json)
        else:
            _watch_picture(watched, interval_s)


class _Watched:
    """`trouble`: why nothing new is known, in words."""

    def __init__(self, client: JsonClient, polls: Sequence[str], level: str) -> None:
        self._client, self._polls, self._level = client, polls, level
        self.trouble = ""

    def look(self) -> list[dict[str, Any]] | None:
        """The results of each poll; those that are gone are left out. None if nobody can tell now."""
        from quorate.errors import Deleted, NoLeader, NotReady, OutcomeUnknown, Overloaded, UnknownPoll

        found = []
        try:
            for id in self._polls or [poll["id"] for poll in self._client.polls("open", level=self._level)["polls"]]:
                try:
                    found.append(self._client.results(id, level=self._level))
                except (UnknownPoll, Deleted):
                    if self._polls and len(self._polls) == 1:
                        raise
        except (NotReady, Overloaded, OutcomeUnknown, NoLeader) as error:
            self.trouble = in_own_words(error)
            return None
        self.trouble = ""
        return found


def _watch_lines(watched: _Watched, interval_s: float, as_json: bool) -> None:
    before: dict[str, dict[str, int]] = {}
    trouble = ""
    while True:
        for found in watched.look() or ():
            if before.get(found["id"]) != found["results"]:
                before[found["id"]] = found["results"]
                print_json(found) if as_json else echo(_line(found))
        sys.stdout.flush()
        if watched.trouble != trouble:
            trouble = watched.trouble
            echo(f"quorate: {trouble}; still asking" if trouble else "quorate: answered again", err=True)
        time.sleep(interval_s)


def _line(found: dict[str, Any]) -> str:
    tally = "  ".join(f"{option} {votes:,}" for option, votes in found["results"].items())
    return f"{found['id']}, version {found['version']:,}: {tally}"


def _watch_picture(watched: _Watched, interval_s: float) -> None:
    from rich.live import Live

    last: list[dict[str, Any]] = []
    with Live(auto_refresh=False) as live:
        while True:
            found = watched.look()
            last = last if found is None else found
            live.update(_picture(last, watched.trouble), refresh=True)
            time.sleep(interval_s)


def _picture(polls: Sequence[dict[str, Any]], trouble: str) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from quorate.tally_table import tally

    parts: list[RenderableType] = [] if polls else [Text("no poll is open", style="dim")]
    for found in polls[:SHOWN_MAX]:
        words = f"{found['id']}: {count(found['total'], 'vote')} ({found['state']}), version {found['version']:,}"
        parts += [Text(shown.line(words), style="bold"), tally(found["results"]), Text("")]
    if len(polls) > SHOWN_MAX:
        parts.append(Text(f"and {count(len(polls) - SHOWN_MAX, 'more poll')}: name those to watch", style="dim"))
    if trouble:
        parts.append(Text(shown.line(f"{trouble}; still asking"), style="yellow"))
    return Group(*parts)

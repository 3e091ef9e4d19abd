"""`quorate results`"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from quorate import shown
from quorate.cli import completing
from quorate.cli.node_options import as_json, asks_nodes, client_of, level_option, print_json
from quorate.cli.numbers import NumberRange
from quorate.cli.output import echo
from quorate.cli.refusals import in_own_words
from quorate.cli.table import print_table
from quorate.words import AGE_UNKNOWN_MS, count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from quorate.client.http import JsonClient


@click.command()
@click.argument("poll", required=False, shell_complete=completing.polls)
@click.option("--watch", is_flag=True, help="Follow it until Ctrl-C.")
@click.option("--interval", "interval_s", type=NumberRange(0.1, 3600), default=0.5, help="Seconds between two looks.")
@level_option()
@as_json
@asks_nodes()
def results(
    poll: str | None, watch: bool, interval_s: float, level: str, as_json: bool, nodes: list[str], timeout_s: float
) -> None:
    """Show the tally of POLL; without POLL, of the only open one."""
    with client_of(nodes, timeout_s, shows_wait=not watch) as client:
        poll = poll or _only_open(client, level)
        if watch:
            _watch(client, poll, level, interval_s, as_json)
            return
        found = client.results(poll, level=level)
    if as_json:
        print_json(found)
        return
    print_table(["OPTION", "VOTES"], list(found["results"].items()))
    echo(_line(found))


def _only_open(client: JsonClient, level: str) -> str:
    ids = [poll["id"] for poll in client.polls("open", level=level)["polls"]]
    if len(ids) == 1:
        return str(ids[0])
    raise click.UsageError(
        f"Which poll? Open are: {', '.join(map(shown.name, ids))}"
        if ids
        else "No poll is open; name the one to show. All are listed by: quorate polls"
    )


def _line(found: dict[str, Any]) -> str:
    age_ms = found.get("age_ms", 0)
    age = ", of any age" if age_ms >= AGE_UNKNOWN_MS else f", up to {age_ms:,} ms old" if age_ms else ""
    return f"{count(found['total'], 'vote')} in {found['id']} ({found['state']}), version {found['version']:,}{age}"


def _watch(client: JsonClient, poll: str, level: str, interval_s: float, as_json: bool) -> None:
    """On a terminal, a picture that changes. Otherwise, a line for each change."""
    if as_json or not sys.stdout.isatty():
        _watch_lines(client, poll, level, interval_s, as_json)
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        while True:
            live.update(_picture(client, poll, level), refresh=True)
            time.sleep(interval_s)


def _picture(client: JsonClient, poll: str, level: str) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from quorate.errors import NoLeader
    from quorate.tally_table import tally

    try:
        found = client.results(poll, level=level)
    except NoLeader as error:
        return Text(shown.line(f"{poll}: {in_own_words(error)}; still asking"), style="yellow")
    return Group(tally(found["results"]), Text(shown.line(_line(found)), style="dim"))


def _watch_lines(client: JsonClient, poll: str, level: str, interval_s: float, as_json: bool) -> None:
    before = None
    while True:
        found = client.results(poll, level=level)
        if found["results"] != before:
            before = found["results"]
            print_json(found) if as_json else echo(
                f"version {found['version']}: " + "  ".join(f"{option} {votes:,}" for option, votes in before.items())
            )
            sys.stdout.flush()
        time.sleep(interval_s)

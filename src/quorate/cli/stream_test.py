"""`quorate stream test`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quorate.cli.node_options import as_json, asks_nodes, print_json
from quorate.cli.output import echo
from quorate.cli.settings import warn
from quorate.cli.stream_polls import given_option, given_polls, polls_flags, polls_options, polls_reader
from quorate.cli.table import print_table
from quorate.words import count

if TYPE_CHECKING:
    from quorate.ingest.social.matching.explanation import Explanation
    from quorate.ingest.social.options.live_polls import PollsInUse

SHOWN = 20


@click.command()
@click.argument("text")
@click.option("--tag", "tags", multiple=True, help="A hashtag that the network lists beside the text.")
@click.option("--repost", is_flag=True, help="It repeats a post of somebody else.")
@given_option("Try")
@polls_options
@click.option(
    "--config",
    "settings",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="QUORATE_CONFIG",
    help="A TOML file: its [stream] and [mongo] are used.",
)
@as_json
@asks_nodes()
def test(
    text: str,
    tags: tuple[str, ...],
    repost: bool,
    given: tuple[str, ...],
    options_from: str | None,
    rules: tuple[str, ...],
    settings: Path | None,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> None:
    """Show what a post with this TEXT would vote for, and what in it would not, and why.

    The options are those of the cluster's open polls. Nothing is counted.
    """
    from quorate.config import load
    from quorate.ingest.social.matching.explanation import explain
    from quorate.ingest.social.options.live_polls import first_in_use
    from quorate.ingest.social.post import Post

    flags = {name: value for name, value in polls_flags(options_from, rules).items() if value}
    loaded = load(settings, flags=flags)
    if not as_json:
        warn(loaded.warnings)
    reader = given_polls(loaded.config, given) if given else polls_reader(loaded.config, nodes, timeout_s)
    polls = first_in_use(reader.read())
    post = Post("", text, "somebody", tags=tags, is_repost=repost)
    found = explain(polls.matcher, polls.polls, post)
    print_json(_as_json(found, polls)) if as_json else _show(found, polls)


def _as_json(found: Explanation, polls: PollsInUse) -> dict[str, Any]:
    return {
        "votes": [
            {"poll": mention.poll.id, "option": mention.option, "one_per": mention.poll.rules.one_per}
            for mention in found.mentions
        ],
        "not_mentioned": [{"poll": each.poll, "option": each.option, "why": each.why} for each in found.not_mentioned],
        "left_out": found.left_out,
        "read_as": found.read_as,
        "polls": len(polls.polls),
        "options": polls.options,
        "problems": polls.problems,
    }


def _show(found: Explanation, polls: PollsInUse) -> None:
    asked = f"{count(polls.options, 'option')} in {count(len(polls.polls), 'poll')}"
    if found.mentions:
        print_table(["POLL", "OPTION"], [(mention.poll.id, mention.option) for mention in found.mentions])
    else:
        echo(f"No vote: the text mentions none of {asked}.")
    for each in found.not_mentioned[:SHOWN]:
        echo(f"no vote for {each.option!r} in {each.poll}: {each.why}")
    if len(found.not_mentioned) > SHOWN:
        echo(f"and none for {count(len(found.not_mentioned) - SHOWN, 'other option')} that stand in it")
    if found.left_out:
        echo(f"left out: {', '.join(found.left_out)}")
    echo(f"read as: {' '.join(found.read_as) or 'nothing'}")
    for problem in polls.problems:
        echo(f"quorate: {problem}", err=True)

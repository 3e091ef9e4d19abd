"""From where the commands of `quorate stream` have their polls, and by which rules posts vote in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from quorate.cli.node_options import UNREACHED_S, ca_given, not_empty, token_given

if TYPE_CHECKING:
    from quorate.client.http import JsonClient
    from quorate.config import Config
    from quorate.ingest.social.options.polls_reader import PollsNews, PollsReader

POLLS_OPTIONS = (
    click.option(
        "--options-from",
        type=click.Choice(["cluster", "mongo"]),
        help="Where the polls' options come from; mongo is [mongo] of the settings.  [default: cluster]",
    ),
    click.option(
        "--poll",
        "rules",
        multiple=True,
        metavar="'ID: RULES'",
        help="How posts vote in a poll: substring, one-per-author, no-reposts.",
    ),
)


GIVEN = "test"  # the poll of the options that are given


def polls_options(command: Any) -> Any:
    for option in reversed(POLLS_OPTIONS):
        command = option(command)
    return command


def given_option(verb: str) -> Callable[[Any], Any]:
    return click.option(
        "--option",
        "given",
        multiple=True,
        callback=lambda ctx, param, values: tuple(not_empty(ctx, param, value) for value in values),
        help=f"{verb} this option, in a poll {GIVEN!r}, without any cluster; may be repeated.",
    )


def polls_flags(options_from: str | None, rules: tuple[str, ...]) -> dict[str, Any]:
    """The settings that these flags set."""
    return {"stream.options_from": options_from, "stream.polls": list(rules)}


def polls_reader(config: Config, nodes: list[str], timeout_s: float) -> PollsReader:
    """Raises `ConfigError` if the rules make no sense."""
    from quorate.ingest.social.options.poll_rules import read_rules

    rules = read_rules(config.stream.polls)
    if config.stream.options_from == "mongo":
        from quorate.ingest.social.options.mongo_polls import MongoPolls

        return MongoPolls(config.mongo, rules)
    from quorate.ingest.social.options.cluster_polls import ClusterPolls

    return ClusterPolls(client_maker(nodes, timeout_s), rules)


def polls_news(config: Config, nodes: list[str]) -> PollsNews | None:
    """Whoever tells of changed polls at once. The database is read each minute."""
    if config.stream.options_from == "mongo":
        return None
    from quorate.client.http import DEFAULT_NODES, base_url
    from quorate.ingest.social.options.cluster_news import ClusterNews

    return ClusterNews([base_url(node) for node in nodes or DEFAULT_NODES], token=token_given(), ca=ca_given())


def client_maker(nodes: list[str], timeout_s: float) -> Callable[[], JsonClient]:
    """`client_of` for any thread: what the flags gave is looked up here."""
    from quorate.client.http import DEFAULT_NODES, JsonClient

    asked, token, ca = nodes or list(DEFAULT_NODES), token_given(), ca_given()
    return lambda: JsonClient(asked, timeout_s=timeout_s, unreached_s=UNREACHED_S, token=token, ca=ca)


def given_polls(config: Config, options: tuple[str, ...]) -> PollsReader:
    """Of the options that `given_option` took."""
    from quorate.ingest.social.options.poll_rules import read_rules
    from quorate.ingest.social.options.polls_reader import FixedPolls
    from quorate.ingest.social.options.stream_poll import Rules, StreamPoll

    rules = read_rules(config.stream.polls)
    return FixedPolls([StreamPoll(GIVEN, options, rules.get(GIVEN, Rules()))], rules.keys())

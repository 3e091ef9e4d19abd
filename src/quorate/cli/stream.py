"""`quorate stream`: votes from social networks. Each network is a command in `stream_networks/`."""

from __future__ import annotations

import importlib

import click

from quorate.cli.text import take_text_only

NETWORKS = {  # name: the first line of its help
    "test": "Show what a text would vote for.",
    "generate": "Make up posts, for replay.",
    "replay": "Read a file of posts.",
    "bluesky": "Read all posts of Bluesky. It needs no account.",
    "twitter": "Read Twitter's v1.1 statuses/filter, or a server that speaks it.",
    "wikimedia": "Read all changes to Wikipedia and its sisters. It needs no account.",
    "nostr": "Read the notes of Nostr from several relays. It needs no account.",
    "mastodon": "Read the public posts of an instance of Mastodon.",
    "x": "Read X's filtered stream (API v2), within a budget.",
}
ELSEWHERE = {"test": "quorate.cli.stream_test", "generate": "quorate.cli.stream_generate"}  # they are no networks


class Networks(click.Group):
    """Knows the names of all networks, and imports only the one that is called: others' libraries take a while."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NETWORKS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NETWORKS:
            return None
        module = importlib.import_module(ELSEWHERE.get(cmd_name, f"quorate.cli.stream_networks.{cmd_name}"))
        command: click.Command = getattr(module, cmd_name)
        take_text_only(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(NETWORKS.items()))


@click.command(cls=Networks)
def stream() -> None:
    """Read a social network, and count a vote for each option that a post mentions.

    The options are those of the cluster's open polls. What was read and confirmed is remembered, so that the command
    can be stopped, killed and started again: no post is missed that the network still has, and none counts twice.
    """

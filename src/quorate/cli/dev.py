"""`quorate dev`"""

from __future__ import annotations

import os
from pathlib import Path

import click

from quorate.cli.node_options import token_given, token_option
from quorate.cli.settings import pairs, warn


@click.command()
@click.option("--nodes", type=click.IntRange(1, 15), help="How many nodes.  [default: 3]")
@click.option("--port", type=click.IntRange(1, 65_535), help="HTTP port of n1; n2 has the next.  [default: 8001]")
@click.option(
    "--data", type=click.Path(path_type=Path), default=Path("data"), show_default=True, help="Folder of the cluster."
)
@click.option("--fresh", is_flag=True, help="Begin anew: remove the cluster that is in the folder.")
@click.option("--no-feed", is_flag=True, help="No sample poll, no sample votes.")
@click.option(
    "--story",
    is_flag=True,
    help="Tell the whole story: made-up posts, read by `quorate stream`, by way of NSQ if the settings name one.",
)
@click.option("--restart", is_flag=True, help="Start again what ends. Without, a killed node stays down, to be seen.")
@click.option("--resp", is_flag=True, help="Open a door for Redis clients on each node; n1 has the port 7001.")
@click.option("--note", "notes", multiple=True, metavar="TEXT", help="A line to show among the addresses.")
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="A setting for all nodes.")
@token_option
def dev(
    nodes: int | None,
    port: int | None,
    data: Path,
    fresh: bool,
    no_feed: bool,
    story: bool,
    restart: bool,
    resp: bool,
    notes: tuple[str, ...],
    settings: tuple[str, ...],
) -> int:
    """Run a cluster on this machine in the foreground, with a sample poll and a live view, until Ctrl-C.

    A cluster that is in the folder goes on, with its nodes and ports. Each node can be killed, and started by hand with
    the command that is shown.
    """
    from rich.console import Console

    from quorate.config.environment import sort_out
    from quorate.dev import Options, run

    warn(sort_out(os.environ).warnings())

    options = Options(
        data,
        nodes,
        port,
        fresh,
        not no_feed,
        story,
        restart,
        resp,
        pairs(settings),
        notes,
        token_given(),
    )
    return run(options, Console(highlight=False))

"""`quorate stream nostr`"""

from __future__ import annotations

import click

from quorate.cli.stream_credentials import read_web_socket_urls
from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream

URLS = ("wss://relay.damus.io", "wss://nos.lol", "wss://relay.primal.net")


@click.command()
@click.option(
    "--url",
    "urls",
    multiple=True,
    default=URLS,
    callback=read_web_socket_urls,
    show_default=True,
    help="A relay; all that are given are read at once.",
)
@click.option(
    "--feed",
    type=click.Choice(["all", "hashtags"]),
    default="all",
    show_default=True,
    help="All notes, or those alone whose authors gave them an option as a hashtag.",
)
@stream_options
def nostr(urls: tuple[str, ...], feed: str, options: StreamOptions) -> int:
    """Read the notes of Nostr from several relays at once. It needs no account.

    A note that several relays have counts once. It is lossy, though what was written while the stream was not connected
    is asked for: relays keep and send what they like. Name relays that you trust: signatures are not checked.
    """
    from quorate.ingest.social.networks.nostr.network import Nostr

    return run_stream(Nostr(urls, by_tags=feed == "hashtags"), options)

"""`quorate stream bluesky`"""

from __future__ import annotations

import click

from quorate.cli.numbers import NumberRange
from quorate.cli.stream_credentials import read_web_socket_urls
from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream

URLS = ("wss://jetstream.us-east.bsky.network", "wss://jetstream.us-west.bsky.network")


@click.command()
@click.option(
    "--url",
    "urls",
    multiple=True,
    default=URLS,
    callback=read_web_socket_urls,
    show_default=True,
    help="A server that speaks Jetstream. Of several, another one is read when one does not answer.",
)
@click.option("--compress/--no-compress", default=True, help="Have messages packed, if the server offers it.")
@click.option(
    "--silence-s",
    type=NumberRange(min=1),
    default=60.0,
    show_default=True,
    help="Connect anew when nothing came for so long.",
)
@stream_options
def bluesky(urls: tuple[str, ...], compress: bool, silence_s: float, options: StreamOptions) -> int:
    """Read all posts of Bluesky as they are written. It needs no account.

    It is exact: what was written while the stream was not connected is read later, for about 36 hours. A URL without a
    path is asked for version 2 of Jetstream, and for version 1 if it has no other.
    """
    from quorate.ingest.social.networks.bluesky.network import Bluesky

    return run_stream(Bluesky(urls, compress=compress, silence_s=silence_s), options)

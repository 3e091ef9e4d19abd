"""`quorate stream nostr`"""

from __future__ import annotations

import click

from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream
from quorate.cli.stream_settings import setting_flag
from quorate.ingest.social.networks.defaults import NOSTR_URLS


@click.command()
@setting_flag(
    "nostr_urls",
    "--url",
    multiple=True,
    default=", ".join(NOSTR_URLS),
    about="A relay; all that are given are read at once.",
)
@setting_flag(
    "nostr_feed",
    "--feed",
    type=click.Choice(["all", "hashtags"]),
    default="all",
    about="All notes, or those alone whose authors gave them an option as a hashtag.",
)
@stream_options
def nostr(options: StreamOptions) -> int:
    """Read the notes of Nostr from several relays at once. It needs no account.

    A note that several relays have counts once. It is lossy, though what was written while the stream was not connected
    is asked for: relays keep and send what they like. Name relays that you trust: signatures are not checked.
    """
    from quorate.ingest.social.networks.nostr.network import Nostr

    stream = options.config.stream
    urls = tuple(dict.fromkeys(stream.nostr_urls)) or NOSTR_URLS
    return run_stream(Nostr(urls, by_tags=stream.nostr_feed == "hashtags"), options)

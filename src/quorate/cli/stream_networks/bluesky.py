"""`quorate stream bluesky`"""

from __future__ import annotations

import click

from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream
from quorate.cli.stream_settings import setting_flag, silence_flag, silence_s
from quorate.ingest.social.networks.defaults import BLUESKY_SILENCE_S, BLUESKY_URLS


@click.command()
@setting_flag(
    "bluesky_urls",
    "--url",
    multiple=True,
    default=", ".join(BLUESKY_URLS),
    about="A server that speaks Jetstream. Of several, another one is read when one does not answer.",
)
@setting_flag(
    "bluesky_compress",
    "--compress/--no-compress",
    default="compress",
    about="Have messages packed, if the server offers it.",
)
@silence_flag(BLUESKY_SILENCE_S)
@stream_options
def bluesky(options: StreamOptions) -> int:
    """Read all posts of Bluesky as they are written. It needs no account.

    It is exact: what was written while the stream was not connected is read later, for about 36 hours. A URL without a
    path is asked for version 2 of Jetstream, and for version 1 if it has no other.
    """
    from quorate.ingest.social.networks.bluesky.network import Bluesky

    stream = options.config.stream
    silence = silence_s(options.config, BLUESKY_SILENCE_S)
    urls = tuple(dict.fromkeys(stream.bluesky_urls)) or BLUESKY_URLS
    return run_stream(Bluesky(urls, compress=stream.bluesky_compress, silence_s=silence), options)

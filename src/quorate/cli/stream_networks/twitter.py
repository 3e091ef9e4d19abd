"""`quorate stream twitter`"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from quorate.cli.numbers import NumberRange
from quorate.cli.stream_credentials import needs_credentials, read_url
from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream

if TYPE_CHECKING:
    from quorate.ingest.social.networks.twitter.keys import TwitterKeys

URL = "https://stream.twitter.com/1.1/statuses/filter.json"


def read_keys(env: Mapping[str, str]) -> TwitterKeys:
    from quorate.ingest.social.networks.twitter.keys import TwitterKeys

    return TwitterKeys.of(env)


@click.command()
@needs_credentials(read_keys)
@click.option("--url", default=URL, callback=read_url, show_default=True, help="A server that speaks statuses/filter.")
@click.option(
    "--track-max",
    type=click.IntRange(min=1),
    default=400,
    show_default=True,
    help="How many options the server takes on a connection.",
)
@click.option(
    "--phrase-bytes-max",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    help="How long each of them may be for it, in UTF-8.",
)
@click.option(
    "--silence-s",
    type=NumberRange(min=1),
    default=90.0,
    show_default=True,
    help="Connect anew when nothing came for so long.",
)
@stream_options
def twitter(
    url: str, track_max: int, phrase_bytes_max: int, silence_s: float, keys: TwitterKeys, options: StreamOptions
) -> int:
    """Read Twitter's v1.1 statuses/filter, or a server that speaks it.

    The credentials come from the environment: SP_TWITTER_KEY, SP_TWITTER_SECRET, SP_TWITTER_ACCESSTOKEN and
    SP_TWITTER_ACCESSSECRET, or the files that SP_TWITTER_KEY_FILE and so on name.

    It is lossy: what is written while the stream is not connected is missing, and that is said. The endpoint of Twitter
    itself is closed to the public; `quorate stream x` reads its successor.
    """
    from quorate.ingest.social.networks.twitter.network import Twitter
    from quorate.ingest.social.networks.twitter.track import TrackLimits

    limits = TrackLimits(phrases=track_max, phrase_bytes=phrase_bytes_max)
    return run_stream(Twitter(keys, url, limits=limits, silence_s=silence_s), options)

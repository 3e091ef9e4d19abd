"""`quorate stream twitter`"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from quorate.cli.stream_credentials import needs_credentials
from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream
from quorate.cli.stream_settings import setting_flag, silence_flag, silence_s
from quorate.ingest.social.networks.defaults import (
    TWITTER_PHRASE_BYTES,
    TWITTER_PHRASES,
    TWITTER_SILENCE_S,
    TWITTER_URL,
)

if TYPE_CHECKING:
    from quorate.ingest.social.networks.twitter.keys import TwitterKeys


def read_keys(env: Mapping[str, str]) -> TwitterKeys:
    from quorate.ingest.social.networks.twitter.keys import TwitterKeys

    return TwitterKeys.of(env)


@click.command()
@needs_credentials(read_keys)
@setting_flag("twitter_url", "--url", default=TWITTER_URL, about="A server that speaks statuses/filter.")
@setting_flag(
    "twitter_track_max",
    "--track-max",
    default=TWITTER_PHRASES,
    about="How many options the server takes on a connection.",
)
@setting_flag(
    "twitter_phrase_bytes_max",
    "--phrase-bytes-max",
    default=TWITTER_PHRASE_BYTES,
    about="How long each of them may be for it, in UTF-8.",
)
@silence_flag(TWITTER_SILENCE_S)
@stream_options
def twitter(keys: TwitterKeys, options: StreamOptions) -> int:
    """Read Twitter's v1.1 statuses/filter, or a server that speaks it.

    The credentials come from the environment: SP_TWITTER_KEY, SP_TWITTER_SECRET, SP_TWITTER_ACCESSTOKEN and
    SP_TWITTER_ACCESSSECRET, or the files that SP_TWITTER_KEY_FILE and so on name.

    It is lossy: what is written while the stream is not connected is missing, and that is said. The endpoint of Twitter
    itself is closed to the public; `quorate stream x` reads its successor.
    """
    from quorate.ingest.social.networks.twitter.network import Twitter
    from quorate.ingest.social.networks.twitter.track import TrackLimits

    stream = options.config.stream
    limits = TrackLimits(phrases=stream.twitter_track_max, phrase_bytes=stream.twitter_phrase_bytes_max)
    silence = silence_s(options.config, TWITTER_SILENCE_S)
    return run_stream(Twitter(keys, stream.twitter_url, limits=limits, silence_s=silence), options)

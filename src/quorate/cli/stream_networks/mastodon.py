"""`quorate stream mastodon`"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from quorate.cli.numbers import NumberRange
from quorate.cli.stream_credentials import needs_credentials, read_url
from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream

if TYPE_CHECKING:
    from quorate.ingest.social.networks.mastodon.network import FeedName

TOKEN = "SP_MASTODON_TOKEN"


def read_token(env: Mapping[str, str]) -> str:
    from quorate.ingest.social.credentials import read_credentials

    return read_credentials(env, [TOKEN], purpose="Mastodon")[TOKEN]


@click.command()
@needs_credentials(read_token)
@click.option("--url", required=True, callback=read_url, help="The instance, as https://mastodon.example.")
@click.option(
    "--feed",
    type=click.Choice(["hashtags", "public", "local", "remote"]),
    default="hashtags",
    show_default=True,
    help="The hashtag of each option, or all posts that the instance knows (public), has (local), or gets (remote).",
)
@click.option(
    "--tags-max",
    type=click.IntRange(min=1),
    default=40,
    show_default=True,
    help="How many hashtags are read, a connection each.",
)
@click.option(
    "--silence-s",
    type=NumberRange(min=1),
    default=60.0,
    show_default=True,
    help="Connect anew when nothing came for so long.",
)
@stream_options
def mastodon(url: str, feed: FeedName, tags_max: int, silence_s: float, keys: str, options: StreamOptions) -> int:
    """Read the public posts of an instance of Mastodon: those with the options' hashtags, or all.

    The token comes from the environment: SP_MASTODON_TOKEN, or the file that SP_MASTODON_TOKEN_FILE names. It is that
    of a user, with the scope read:statuses.

    It is lossy, though what was posted while the stream was not connected is read later: posts that were deleted
    meanwhile, or reached the instance very late, are missing.
    """
    from quorate.ingest.social.networks.mastodon.network import MastodonNetwork

    network = MastodonNetwork(url, keys, feed=feed, silence_s=silence_s, tags_max=tags_max)
    return run_stream(network, options)

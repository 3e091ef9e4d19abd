"""`quorate stream mastodon`"""

from __future__ import annotations

from collections.abc import Mapping

import click

from quorate.cli.stream_credentials import needs_credentials
from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream
from quorate.cli.stream_settings import setting_flag, silence_flag, silence_s
from quorate.errors import ConfigError
from quorate.ingest.social.networks.defaults import MASTODON_SILENCE_S, MASTODON_TAGS, MASTODON_TOKEN


def read_token(env: Mapping[str, str]) -> str:
    from quorate.ingest.social.credentials import read_credentials

    return read_credentials(env, [MASTODON_TOKEN], purpose="Mastodon")[MASTODON_TOKEN]


@click.command()
@needs_credentials(read_token)
@setting_flag("mastodon_url", "--url", about="The instance, as https://mastodon.example.")
@setting_flag(
    "mastodon_feed",
    "--feed",
    type=click.Choice(["hashtags", "public", "local", "remote"]),
    default="hashtags",
    about="The hashtag of each option, or all posts that the instance knows (public), has (local), or gets (remote).",
)
@setting_flag(
    "mastodon_tags_max",
    "--tags-max",
    default=MASTODON_TAGS,
    about="How many hashtags are read, a connection each.",
)
@silence_flag(MASTODON_SILENCE_S)
@stream_options
def mastodon(keys: str, options: StreamOptions) -> int:
    """Read the public posts of an instance of Mastodon: those with the options' hashtags, or all.

    The token comes from the environment: SP_MASTODON_TOKEN, or the file that SP_MASTODON_TOKEN_FILE names. It is that
    of a user, with the scope read:statuses.

    It is lossy, though what was posted while the stream was not connected is read later: posts that were deleted
    meanwhile, or reached the instance very late, are missing.
    """
    from quorate.ingest.social.networks.mastodon.network import MastodonNetwork

    stream = options.config.stream
    if not stream.mastodon_url:
        raise ConfigError("which instance is to be read? Give --url https://mastodon.example, or stream.mastodon_url")
    network = MastodonNetwork(
        stream.mastodon_url,
        keys,
        feed=stream.mastodon_feed,
        silence_s=silence_s(options.config, MASTODON_SILENCE_S),
        tags_max=stream.mastodon_tags_max,
    )
    return run_stream(network, options)

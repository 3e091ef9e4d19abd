"""`quorate stream wikimedia`"""

from __future__ import annotations

import datetime

import click

from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream
from quorate.cli.stream_settings import setting_flag, silence_flag, silence_s
from quorate.ingest.social.networks.defaults import WIKIMEDIA_SILENCE_S, WIKIMEDIA_URL


def read_moment(_: click.Context, __: click.Parameter, value: str | None) -> int:
    """In ms since 1970."""
    if value is None:
        return 0
    try:
        return int(datetime.datetime.fromisoformat(value).timestamp() * 1000)  # without a zone: in that of this machine
    except (ValueError, OverflowError):
        raise click.BadParameter("it is no time; give one as 2026-11-27T08:00Z") from None


@click.command()
@setting_flag("wikimedia_url", "--url", default=WIKIMEDIA_URL, about="A server that speaks EventStreams.")
@setting_flag(
    "contact", "--contact", about="How Wikimedia can reach you: a URL or a mail address. Its policy asks for it."
)
@click.option(
    "--from",
    "since_ms",
    callback=read_moment,
    metavar="TIME",
    help="Where to begin, if nothing was read before: 2026-11-27T08:00Z.  [default: now]",
)
@silence_flag(WIKIMEDIA_SILENCE_S)
@stream_options
def wikimedia(since_ms: int, options: StreamOptions) -> int:
    """Read all changes to Wikipedia and its sisters as they happen. It needs no account.

    Options are looked for in the page's title and the comment of the change. The names of its wiki count as hashtags:
    with the options enwiki, dewiki, frwiki a poll shows where people write most.

    It is exact: what was changed while the stream was not connected is read later, for a week and more.
    """
    from quorate.ingest.social.networks.wikimedia.network import WikimediaNetwork

    stream = options.config.stream
    silence = silence_s(options.config, WIKIMEDIA_SILENCE_S)
    network = WikimediaNetwork(stream.wikimedia_url, contact=stream.contact, since_ms=since_ms, silence_s=silence)
    return run_stream(network, options)

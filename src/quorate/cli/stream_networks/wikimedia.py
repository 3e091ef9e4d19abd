"""`quorate stream wikimedia`"""

from __future__ import annotations

import datetime

import click

from quorate.cli.numbers import NumberRange
from quorate.cli.stream_credentials import read_url
from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream

URL = "https://stream.wikimedia.org/v2/stream/recentchange"


def read_moment(_: click.Context, __: click.Parameter, value: str | None) -> int:
    """In ms since 1970."""
    if value is None:
        return 0
    try:
        return int(datetime.datetime.fromisoformat(value).timestamp() * 1000)  # without a zone: in that of this machine
    except (ValueError, OverflowError):
        raise click.BadParameter("it is no time; give one as 2026-11-27T08:00Z") from None


@click.command()
@click.option("--url", default=URL, callback=read_url, show_default=True, help="A server that speaks EventStreams.")
@click.option("--contact", help="How Wikimedia can reach you: a URL or a mail address. Its policy asks for it.")
@click.option(
    "--from",
    "since_ms",
    callback=read_moment,
    metavar="TIME",
    help="Where to begin, if nothing was read before: 2026-11-27T08:00Z.  [default: now]",
)
@click.option(
    "--silence-s",
    type=NumberRange(min=1),
    default=60.0,
    show_default=True,
    help="Connect anew when nothing came for so long.",
)
@stream_options
def wikimedia(url: str, contact: str | None, since_ms: int, silence_s: float, options: StreamOptions) -> int:
    """Read all changes to Wikipedia and its sisters as they happen. It needs no account.

    Options are looked for in the page's title and the comment of the change. The names of its wiki count as hashtags:
    with the options enwiki, dewiki, frwiki a poll shows where people write most.

    It is exact: what was changed while the stream was not connected is read later, for a week and more.
    """
    from quorate.ingest.social.networks.wikimedia.network import WikimediaNetwork

    contact = contact or options.config.stream.contact
    return run_stream(WikimediaNetwork(url, contact=contact, since_ms=since_ms, silence_s=silence_s), options)

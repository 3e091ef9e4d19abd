"""`quorate stream x`"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quorate.cli.numbers import NumberRange
from quorate.cli.output import echo
from quorate.cli.stream_credentials import needs_credentials, read_url
from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream

if TYPE_CHECKING:
    from quorate.ingest.social.networks.x.access import XKeys

URL = "https://api.x.com"


def read_keys(env: Mapping[str, str]) -> XKeys:
    from quorate.ingest.social.networks.x.access import XKeys

    return XKeys.of(env)


@click.command()
@needs_credentials(read_keys)
@click.option("--url", default=URL, callback=read_url, show_default=True, help="A server that speaks X's API v2.")
@click.option(
    "--posts-per-day",
    type=click.IntRange(min=1),
    help="Stop until the next day (UTC) after so many posts.  [default: 1000, if no money is named]",
)
@click.option("--dollars-per-day", type=NumberRange(min=0.0), help="Stop after posts for so much money.")
@click.option(
    "--dollars-per-post",
    type=NumberRange(min=0.0),
    default=0.005,
    show_default=True,
    help="What X asks for a post that it sends.",
)
@click.option("--no-reposts", is_flag=True, help="Do not ask for reposts, which cost what posts cost.")
@click.option("--rules-max", type=click.IntRange(min=1), default=1_000, show_default=True, help="Rules of the account.")
@click.option(
    "--rule-characters-max", type=click.IntRange(min=64), default=1_024, show_default=True, help="Length of a rule."
)
@click.option(
    "--silence-s",
    type=NumberRange(min=1),
    default=22.0,
    show_default=True,
    help="Connect anew when nothing came for so long.",
)
@click.option("--tag", default="quorate", show_default=True, help="Marks our rules; others are not touched.")
@stream_options
def x(
    url: str,
    posts_per_day: int | None,
    dollars_per_day: float | None,
    dollars_per_post: float,
    no_reposts: bool,
    rules_max: int,
    rule_characters_max: int,
    silence_s: float,
    tag: str,
    keys: XKeys,
    options: StreamOptions,
) -> int:
    """Read X's filtered stream (API v2), and fill gaps by its recent search.

    The credentials come from the environment: SP_X_KEY and SP_X_SECRET of an app, or SP_X_BEARER, or the files that
    SP_X_KEY_FILE and so on name.

    Each post costs money. When the day's budget is used up, the stream hangs up until the next day begins in UTC, and
    says so; what is written in between is not read. What was spent is remembered beside the positions.
    """
    from quorate.ingest.social.networks.x.budget import BudgetLimits
    from quorate.ingest.social.networks.x.network import X
    from quorate.ingest.social.networks.x.rules import RuleLimits

    budget = BudgetLimits(posts_per_day, dollars_per_day, dollars_per_post)
    network = X(
        keys,
        url,
        budget=budget,
        budget_file=budget_file(options.state, url, keys),
        rules=RuleLimits(rules_max, rule_characters_max),
        tag=tag,
        reposts=not no_reposts,
        silence_s=silence_s,
    )
    echo(f"budget: {budget}", err=True)
    return run_stream(network, options)


def budget_file(state: Path, url: str, keys: XKeys) -> Path:
    """One for each account, whatever it is read for. The name tells nothing of the credentials."""
    account = hashlib.blake2b(f"{url}\0{keys.key or keys.bearer}".encode(), digest_size=8).hexdigest()
    return state / f"x-budget-{account}.json"

"""`quorate stream x`"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quorate.cli.output import echo
from quorate.cli.stream_credentials import needs_credentials
from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream
from quorate.cli.stream_settings import setting_flag, silence_flag, silence_s
from quorate.ingest.social.networks.defaults import (
    X_DOLLARS_PER_POST,
    X_POSTS_PER_DAY,
    X_RULE_CHARACTERS,
    X_RULES,
    X_SILENCE_S,
    X_TAG,
    X_URL,
)

if TYPE_CHECKING:
    from quorate.ingest.social.networks.x.access import XKeys


def read_keys(env: Mapping[str, str]) -> XKeys:
    from quorate.ingest.social.networks.x.access import XKeys

    return XKeys.of(env)


@click.command()
@needs_credentials(read_keys)
@setting_flag("x_url", "--url", default=X_URL, about="A server that speaks X's API v2.")
@setting_flag(
    "x_posts_per_day",
    "--posts-per-day",
    type=click.IntRange(min=1),
    default=f"{X_POSTS_PER_DAY}, if no money is named",
    about="Stop until the next day (UTC) after so many posts.",
)
@setting_flag(
    "x_dollars_per_day",
    "--dollars-per-day",
    type=click.FloatRange(min=0.0, min_open=True),
    about="Stop after posts for so much money.",
)
@setting_flag(
    "x_dollars_per_post",
    "--dollars-per-post",
    default=X_DOLLARS_PER_POST,
    about="What X asks for a post that it sends.",
)
@setting_flag(
    "x_reposts",
    "--no-reposts",
    is_flag=True,
    flag_value=False,
    about="Do not ask for reposts, which cost what posts cost.",
)
@setting_flag("x_rules_max", "--rules-max", default=X_RULES, about="Rules of the account.")
@setting_flag("x_rule_characters_max", "--rule-characters-max", default=X_RULE_CHARACTERS, about="Length of a rule.")
@silence_flag(X_SILENCE_S)
@setting_flag("x_tag", "--tag", default=X_TAG, about="Marks our rules; others are not touched.")
@stream_options
def x(keys: XKeys, options: StreamOptions) -> int:
    """Read X's filtered stream (API v2), and fill gaps by its recent search.

    The credentials come from the environment: SP_X_KEY and SP_X_SECRET of an app, or SP_X_BEARER, or the files that
    SP_X_KEY_FILE and so on name.

    Each post costs money. When the day's budget is used up, the stream hangs up until the next day begins in UTC, and
    says so; what is written in between is not read. What was spent is remembered beside the positions.
    """
    from quorate.ingest.social.networks.x.budget import BudgetLimits
    from quorate.ingest.social.networks.x.network import X
    from quorate.ingest.social.networks.x.rules import RuleLimits

    stream = options.config.stream
    # 0 is no limit in the settings, and a budget of nothing here.
    budget = BudgetLimits(stream.x_posts_per_day or None, stream.x_dollars_per_day or None, stream.x_dollars_per_post)
    network = X(
        keys,
        stream.x_url,
        budget=budget,
        budget_file=budget_file(options.state, stream.x_url, keys),
        rules=RuleLimits(stream.x_rules_max, stream.x_rule_characters_max),
        tag=stream.x_tag,
        reposts=stream.x_reposts,
        silence_s=silence_s(options.config, X_SILENCE_S),
    )
    echo(f"budget: {budget}", err=True)
    return run_stream(network, options)


def budget_file(state: Path, url: str, keys: XKeys) -> Path:
    """One for each account, whatever it is read for. The name tells nothing of the credentials."""
    account = hashlib.blake2b(f"{url}\0{keys.key or keys.bearer}".encode(), digest_size=8).hexdigest()
    return state / f"x-budget-{account}.json"

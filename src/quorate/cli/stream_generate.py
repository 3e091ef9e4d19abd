"""`quorate stream generate`"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from quorate.cli.node_options import as_json, asks_nodes
from quorate.cli.numbers import NumberRange
from quorate.cli.output import echo
from quorate.cli.settings import warn
from quorate.cli.stream_polls import given_option, given_polls, polls_flags, polls_options, polls_reader
from quorate.cli.stream_run import StopAsked, StopFlag, stop_flag
from quorate.words import count

if TYPE_CHECKING:
    from quorate.ingest.social.synthetic.posts import SyntheticPosts

POSTS_AT_ONCE = 500
LIVE_MIN_S, LIVE_MAX_S = 0.05, 0.2  # to sleep at once
SHOWN = 10


@click.command()
@click.option(
    "--posts",
    "number",
    type=click.IntRange(min=0),
    default=10_000,
    show_default=True,
    help="How many; 0: until a signal.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same posts.")
@click.option(
    "--rate",
    type=NumberRange(min=0.001, max=1_000_000),
    default=100.0,
    show_default=True,
    help="Posts a second in quiet times, by their own time.",
)
@click.option("--live", is_flag=True, help="Write each post when its time has come, beginning now.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write to.  [default: standard output]"
)
@click.option(
    "--truth",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the number of votes that each option should get.",
)
@given_option("Mention")
@polls_options
@click.option(
    "--config",
    "settings",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="QUORATE_CONFIG",
    help="A TOML file: its [stream] and [mongo] are used.",
)
@as_json
@asks_nodes()
def generate(
    number: int,
    seed: int,
    rate: float,
    live: bool,
    out: Path | None,
    truth: Path | None,
    given: tuple[str, ...],
    options_from: str | None,
    rules: tuple[str, ...],
    settings: Path | None,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> None:
    """Make up posts that mention the options of the cluster's open polls, for `quorate stream replay`.

    A post in JSON on each line, in many languages, with "synthetic": true. Options are popular by Zipf's law. There are
    bursts, spikes, reposts, edits, repeated posts, tags that come and go, and links and names that have an option in
    them and mention none.
    """
    import msgspec

    from quorate.config import load
    from quorate.ingest.social.options.live_polls import first_in_use
    from quorate.ingest.social.synthetic.posts import START_MS, SyntheticPosts

    flags = {name: value for name, value in polls_flags(options_from, rules).items() if value}
    loaded = load(settings, flags=flags)
    warn(loaded.warnings)
    reader = given_polls(loaded.config, given) if given else polls_reader(loaded.config, nodes, timeout_s)
    with stop_flag() as flag, contextlib.suppress(StopAsked):
        polls = first_in_use(reader.read()).polls
        posts = SyntheticPosts(polls, seed, rate=rate, start_ms=int(time.time() * 1000) if live else START_MS)
        with _opened(out) as stream:
            flag.running()
            _write(posts, stream, number, flag, live=live)
        if truth is not None:
            _write_truth(truth, posts, seed)
        if as_json:  # on standard error: the posts may go to the other one
            echo(msgspec.json.encode(_truth(posts, seed)), err=True)
        else:
            _tell(posts, seed)


@contextlib.contextmanager
def _opened(out: Path | None) -> Iterator[IO[bytes]]:
    if out is None:
        yield sys.stdout.buffer
    else:
        with out.open("wb") as stream:
            yield stream


def _write(posts: SyntheticPosts, stream: IO[bytes], number: int, flag: StopFlag, *, live: bool) -> None:
    import msgspec

    encode = msgspec.json.Encoder().encode_lines
    made = islice(posts, number or None)
    if not live:
        while not flag.is_set and (some := list(islice(made, POSTS_AT_ONCE))):
            stream.write(encode(some))
        return
    for post in made:  # each is in the truth, so each is written
        while not flag.is_set and (ahead_s := post.created_ms / 1000 - time.time()) > 0:
            stream.flush()
            time.sleep(min(max(ahead_s, LIVE_MIN_S), LIVE_MAX_S))
        stream.write(encode([post]))
        if flag.is_set:
            return


def _truth(posts: SyntheticPosts, seed: int) -> dict[str, Any]:
    return {
        "synthetic": True,
        "seed": seed,
        "lines": posts.posts,
        "kinds": dict(posts.kinds),
        "votes": posts.truth.votes,
        "total": posts.truth.total,
        "not_planted": posts.left_out,
    }


def _write_truth(file: Path, posts: SyntheticPosts, seed: int) -> None:
    import msgspec

    file.write_bytes(msgspec.json.format(msgspec.json.encode(_truth(posts, seed))) + b"\n")


def _tell(posts: SyntheticPosts, seed: int) -> None:
    """On standard error: the posts may go to the other one."""
    kinds = ", ".join(count(number, kind) for kind, number in posts.kinds.items())
    echo(
        f"{count(posts.posts, 'synthetic line')} with seed {seed} ({kinds}); {count(posts.truth.total, 'vote')}:",
        err=True,
    )
    by_votes = sorted(
        ((votes, poll, option) for poll, results in posts.truth.votes.items() for option, votes in results.items()),
        key=lambda each: -each[0],
    )
    for votes, poll, option in by_votes[:SHOWN]:
        echo(f"  {votes:>9,} {option!r} of {poll}", err=True)
    if posts.left_out:
        left_out = ", ".join(map(repr, posts.left_out[:SHOWN])) + (" …" if len(posts.left_out) > SHOWN else "")
        echo(f"not mentioned, for it would leave doubts: {left_out}", err=True)

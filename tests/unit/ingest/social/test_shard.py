"""A share of the options: each option has one reader, always the same."""

from __future__ import annotations

from collections import Counter

import pytest

from quorate.errors import ConfigError
from quorate.ingest.social.options.stream_poll import StreamPoll
from quorate.ingest.social.shard import Shard, read_shard

OPTIONS = tuple(f"option {number}" for number in range(3_000))


def test_each_option_is_in_one_shard_and_the_shards_are_about_equal() -> None:
    shards = [Shard(index, 3) for index in (1, 2, 3)]
    owners = Counter(str(shard) for option in OPTIONS for shard in shards if shard.has(option))
    assert len(OPTIONS) == sum(owners.values())
    assert all(900 < options < 1_100 for options in owners.values())


def test_an_option_stays_where_it_is() -> None:
    """Written down, since readers of several versions share the options."""
    assert ["1/5", "4/5", "1/5", "5/5"] == [
        str(next(shard for index in range(1, 6) if (shard := Shard(index, 5)).has(option)))
        for option in ("happy", "sad", "Käse", "寿司")
    ]


def test_a_poll_without_options_in_the_shard_is_left_out() -> None:
    polls = [StreamPoll("one", ("happy",)), StreamPoll("many", OPTIONS)]
    shares = [Shard(index, 5).share_of(polls) for index in range(1, 6)]
    assert 1 == sum(poll.id == "one" for share in shares for poll in share)
    assert sorted(OPTIONS) == sorted(o for share in shares for poll in share if poll.id == "many" for o in poll.options)
    assert polls == Shard().share_of(polls)


def test_a_shard_is_read_strictly() -> None:
    assert Shard(2, 3) == read_shard("2/3")
    for wrong in ("0/3", "4/3", "2", "2/3/4", "a/b", "1/1001", "٢/٣", ""):
        with pytest.raises(ConfigError, match="is no shard; give 2/3"):
            read_shard(wrong)

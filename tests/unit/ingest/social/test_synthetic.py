"""Made-up posts: the same for the same seed, of all kinds, and what was planted in them is what the matcher finds."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from quorate.errors import Invalid
from quorate.ingest.social.matching.matcher import Matcher
from quorate.ingest.social.matching.option_reading import read_poll
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.ingest.social.post import PostLine
from quorate.ingest.social.synthetic.posts import SyntheticPosts
from quorate.ingest.social.synthetic.rhythm import Rhythm

MOOD = StreamPoll("mood", ("happy", "sad", "ice cream", "東京", "👍🏽", "C++", "cats", "Jerry's"))
ONCE = StreamPoll("once", ("Happy", "dog", "Ice-Cream"), Rules(one_per="author", reposts=False))
# Words of our own phrases, options within others, addresses, signs, other scripts, pictures.
NASTY = (
    *("time", "my family", "this week", "a", "I", "un", "ish", "no", "不知道", "今日", "하루", "วัน", "день", "यह"),
    *("cat", "cats", "cat s", "un cat ish", "new", "new york", "york new", "newyork", "C", "C++", "C#", "c-c", "@cat"),
    *(
        "example.org",
        "social.example",
        "https://x.org/cat",
        "so.so",
        "$",
        "?",
        "…",
        "3",
        "3.5",
        "1,000",
        "7-2",
        "r & b",
    ),
    *(
        "l'amour",
        "amour",
        "'n",
        "rock 'n' roll",
        "東京",
        "東京都",
        "京都",
        "東 京",
        "京 都市",
        "ß",
        "SS",
        "İstanbul",
        "ıİ",
    ),
    *(
        "👍",
        "👍🏽",
        "👩‍💻",
        "💻",
        "🇫🇷",
        "🇫",
        "🔥",
        "🔥🔥",
        "🎉 🎉",
        "❤",
        "❤️",
        "é",
        "e\u0301",
        "ﬁ",
        "fi",
        "Ⅳ",
        "IV",
        "１",
        "1",
    ),
    *(
        "고양이",
        "고양",
        "แมว",
        "แม",
        "кот",
        "коты",
        "عشق",
        "प्यार",
        "प्या",
        "zulmo",
        "mikara",
        "K-pop",
        "kpop",
        "K pop아이돌",
    ),
)


def counted(polls: Sequence[StreamPoll], lines: Iterable[PostLine]) -> dict[str, dict[str, int]]:
    """What a stream would count of these lines: each post once, edits not at all, one vote for each author if asked."""
    matcher, seen, voters = Matcher(polls), set[str](), set[tuple[str, str]]()
    votes: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if line.is_edit or line.id in seen:
            continue
        seen.add(line.id)
        for mention in matcher.match(line):
            poll = mention.poll
            if poll.rules.one_per == "author":
                if (poll.id, line.author) in voters:
                    continue
                voters.add((poll.id, line.author))
            votes[(poll.id, mention.option)] += 1
    return {poll.id: {option: votes[(poll.id, option)] for option in poll.options} for poll in polls}


def made(polls: Sequence[StreamPoll], seed: int, number: int) -> tuple[SyntheticPosts, list[PostLine]]:
    posts = SyntheticPosts(polls, seed)
    return posts, list(islice(posts, number))


@pytest.mark.parametrize("seed", range(3))
def test_what_was_planted_is_what_the_matcher_finds(seed: int) -> None:
    posts, lines = made([MOOD, ONCE], seed, 6_000)
    assert posts.truth.votes == counted([MOOD, ONCE], lines)
    assert ["C++"] == posts.left_out
    assert all(votes for option, votes in posts.truth.votes["mood"].items() if option != "C++")
    assert sum(posts.truth.votes["once"].values()) < len({line.author for line in lines}), "one for each author"


@settings(max_examples=60, deadline=None)
@given(
    some.lists(some.lists(some.sampled_from(NASTY), min_size=1, max_size=8, unique=True), min_size=1, max_size=3),
    some.integers(0, 1000),
)
def test_no_option_is_planted_that_leaves_a_doubt(options: list[list[str]], seed: int) -> None:
    polls = [StreamPoll(f"p{number}", each) for number, each in enumerate(options)]
    polls = [poll for poll in polls if not read_poll(poll).troubles.alike]
    try:
        posts, lines = made(polls, seed, 200)
    except Invalid:
        return
    assert posts.truth.votes == counted(polls, lines)


def test_nearly_all_options_of_daily_life_can_be_planted() -> None:
    plain = ("soup", "cake", "New York", "東京", "고양이", "แมว", "кот", "prêt-à-porter", "Ben's", "❤️", "👩‍💻", "2026")
    assert [] == SyntheticPosts([StreamPoll("p", plain)], 1).left_out


def test_options_that_cannot_be_told_are_refused_in_words() -> None:
    with pytest.raises(Invalid, match="no option that a made-up post could mention without doubt"):
        SyntheticPosts([StreamPoll("p", ("$", "@cat"))], 1)
    with pytest.raises(Invalid, match="poll 'p' asks for substring"):
        SyntheticPosts([StreamPoll("p", ("cat",), Rules(match="substring"))], 1)


def test_the_same_seed_makes_the_same_bytes_in_each_process() -> None:
    program = (
        "import hashlib, itertools, msgspec;"
        "from tests.unit.ingest.social.test_synthetic import MOOD, ONCE, SyntheticPosts;"
        "lines = list(itertools.islice(SyntheticPosts([MOOD, ONCE], 7), 2000));"
        "print(hashlib.sha256(msgspec.json.encode(lines)).hexdigest())"
    )
    seen = {
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": hash_seed}, capture_output=True).stdout
        for hash_seed in ("1", "2")
    }
    assert 1 == len(seen)
    assert {65} == {len(each) for each in seen}
    others = {msgspec.json.encode(made([MOOD, ONCE], seed, 50)[1]) for seed in range(5)}
    assert 5 == len(others)


def test_there_are_posts_of_all_kinds() -> None:
    posts, lines = made([MOOD], 3, 20_000)
    assert {"post", "repost", "edit", "repeat"} == {kind for kind, number in posts.kinds.items() if number > 50}
    assert all(line.synthetic for line in lines)
    by_id = Counter(line.id for line in lines if not line.is_edit)
    assert posts.kinds["repeat"] == sum(by_id.values()) - len(by_id)
    edited = [line for line in lines if line.is_edit]
    assert {line.id for line in edited} <= set(by_id)
    assert any(Matcher([MOOD]).match(line) for line in edited), "an edit that would vote, if edits did"
    texts = " ".join(line.text for line in lines)
    for seen in ("https://social.example/", "@cats_", "uncatsish", "今日", "сегодня", "오늘", "من لا", "है"):
        assert seen in texts
    assert len({word for word in texts.split() if word.startswith("#")}) > 50, "tags come and go"
    assert any(line.tags for line in lines)


def test_popularity_falls_from_option_to_option() -> None:
    """By Zipf's law: half as many for the second, a hundredth for the hundredth. So many posts come before a spike."""
    posts = SyntheticPosts([StreamPoll("p", tuple(f"word{number}x" for number in range(200)))], 1, rate=5_000)
    list(islice(posts, 20_000))
    by_votes = sorted(posts.truth.votes["p"].values(), reverse=True)
    assert 0.4 < by_votes[1] / by_votes[0] < 0.7
    assert by_votes[0] > 20 * by_votes[100] > 0


def test_posts_come_in_bursts_and_spikes() -> None:
    chances = iter([each / 1000 for each in range(1000)] * 1000)
    rhythm = Rhythm(100.0, lambda: next(chances))
    seconds: Counter[int] = Counter()
    spikes = set()
    while rhythm.next_s() < 120:
        seconds[int(rhythm.at_s)] += 1
        if rhythm.is_spike:
            spikes.add(int(rhythm.at_s))
    busy = sorted(seconds.values())
    assert 70 < busy[len(busy) // 2] < 130, "in quiet times"
    assert max(seconds.values()) in {seconds[second] for second in spikes}
    assert max(seconds.values()) > 500
    assert sum(250 < posts < 600 for posts in seconds.values()) >= 4, "a burst in each minute"

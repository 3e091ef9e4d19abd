"""The polls of a stream, read again and again: what holds when something is wrong with them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from quorate.errors import ConfigError, NoLeader, QuorateError
from quorate.ingest.social.network import Terms
from quorate.ingest.social.options.live_polls import LivePolls
from quorate.ingest.social.options.polls_reader import BoundedPolls, FixedPolls, PollsRead
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.ingest.social.post import Post

MOOD = StreamPoll("mood", ("happy", "sad"))
TEA = StreamPoll("tea", ("milk", "lemon"))
WAIT_S = 20.0


class Polls:
    """A reader that a test sets. `reads` is counted up at the end of each reading."""

    def __init__(self, *polls: StreamPoll) -> None:
        self.now: PollsRead | Exception = PollsRead(polls)
        self.began = 0
        self._changed = threading.Condition()

    def read(self) -> PollsRead:
        with self._changed:
            self.began += 1
            self._changed.notify_all()
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def wait_until_began(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.began >= number, WAIT_S)


Reread = Callable[[PollsRead | Exception], LivePolls]


@pytest.fixture
def reader() -> Polls:
    return Polls(MOOD)


@pytest.fixture
def terms() -> list[Terms]:
    return []


@pytest.fixture
def reread(reader: Polls, terms: list[Terms]) -> Iterator[Reread]:
    """Read these polls, and return when that is done."""
    live = LivePolls(reader, refresh_s=WAIT_S, pause_s=0)
    live.start(terms.append)

    def again(now: PollsRead | Exception) -> LivePolls:
        began, reader.now = reader.began, now
        for more in (1, 2):  # when the second begins, the first is done
            live.read_soon()
            reader.wait_until_began(began + more)
        return live

    yield again
    live.stop()


def mentions(live: LivePolls, text: str) -> list[tuple[str, str]]:
    return [(mention.poll.id, mention.option) for mention in live.current.matcher.match(Post("1", text))]


def test_new_polls_are_used_at_once_and_told(reread: Reread, terms: list[Terms]) -> None:
    live = reread(PollsRead([MOOD, TEA]))
    assert [("mood", "happy"), ("tea", "milk")] == mentions(live, "happy milk")
    assert [Terms(2, ("happy", "sad", "milk", "lemon"))] == terms
    assert [] == mentions(reread(PollsRead([TEA])), "happy")


def test_the_same_polls_change_nothing(reread: Reread, terms: list[Terms]) -> None:
    before = reread(PollsRead([MOOD])).current
    assert before.matcher is reread(PollsRead([StreamPoll("mood", ("happy", "sad"))])).current.matcher
    assert [] == terms


def test_other_rules_are_a_change(reread: Reread, terms: list[Terms]) -> None:
    live = reread(PollsRead([StreamPoll("mood", ("happy", "sad"), Rules(match="substring"))]))
    assert [("mood", "happy")] == mentions(live, "unhappy")
    assert [] == terms  # the network is asked for the same


def test_a_change_of_polls_that_leaves_the_options_asks_the_network_for_nothing_new(
    reread: Reread, terms: list[Terms]
) -> None:
    live = reread(PollsRead([StreamPoll("mood", ("happy",)), StreamPoll("temper", ("sad", "happy"))]))
    assert [("mood", "happy"), ("temper", "happy")] == mentions(live, "happy")
    assert [] == terms
    reread(PollsRead([MOOD, TEA]))
    assert [2] == [each.version for each in terms]


@pytest.mark.parametrize("error", [NoLeader("nobody leads"), OSError(5, "nobody leads")])
def test_polls_that_cannot_be_read_again_hold_and_it_is_said_since_when(
    reread: Reread, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    live = reread(error)
    assert [("mood", "happy")] == mentions(live, "happy")
    assert live.problems[0].startswith("the polls cannot be read since 20")
    assert live.problems[0].endswith(": nobody leads")
    assert 1 == sum("nobody leads" in record.message for record in caplog.records), "said once, not each time"
    assert not reread(PollsRead([MOOD])).problems


def test_a_poll_whose_new_options_read_alike_keeps_its_last_good_ones(
    reread: Reread, caplog: pytest.LogCaptureFixture
) -> None:
    """The others go on."""
    wrong = StreamPoll("mood", ("happy", "sad", "Happy!", "bored"))
    live = reread(PollsRead([wrong, TEA]))
    assert [("mood", "happy"), ("tea", "milk")] == mentions(live, "happy bored milk")
    (trouble,) = live.problems
    assert "poll 'mood'" in trouble
    assert "'happy' and 'Happy!'" in trouble
    assert trouble.endswith("Its options of before hold")
    assert 1 == sum(trouble == record.message for record in caplog.records), "said once, not each time"
    live = reread(PollsRead([StreamPoll("mood", ("happy", "sad", "bored")), TEA]))
    assert ([("mood", "bored")], []) == (mentions(live, "bored"), [*live.problems])


def test_a_new_poll_whose_options_read_alike_is_left_out(reread: Reread) -> None:
    live = reread(PollsRead([MOOD, StreamPoll("new", ("a", "A"))]))
    assert [("mood", "happy")] == mentions(live, "happy a")
    assert ["It is left out"] == [trouble[-14:] for trouble in live.problems]


def test_options_that_read_alike_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"poll 'b' has options that read alike.*'x' and 'X'"):
        LivePolls(Polls(MOOD, StreamPoll("b", ("x", "X"))))


def test_options_that_can_never_be_mentioned_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        live = LivePolls(Polls(StreamPoll("b", ("x", "?!", "…"))))
    said = "poll 'b': 2 options can never be mentioned, because there is no word and no symbol in it: '?!', '…'"
    assert [said] == [*live.problems] == [record.message for record in caplog.records]


def test_options_that_are_addresses_are_said() -> None:
    options = ("x", "@alice", "https://x.org/cats", "node.js")
    said = "poll 'b': 2 options cannot be mentioned by an address, because these are left out of posts"
    assert [f"{said}: '@alice', 'https://x.org/cats'"] == [*LivePolls(Polls(StreamPoll("b", options))).problems]
    assert [] == [*LivePolls(Polls(StreamPoll("b", options, Rules(match="substring")))).problems]


def test_what_makes_no_sense_as_a_poll_is_said(reread: Reread) -> None:
    live = reread(PollsRead([MOOD], {"odd": "options is no list"}))
    assert ["poll 'odd' is left out: options is no list"] == [*live.problems]


def test_no_poll_at_all_is_said(reread: Reread) -> None:
    assert ["no poll is open"] == [*reread(PollsRead([])).problems]


def test_what_cannot_be_read_at_the_start_ends_it() -> None:
    reader = Polls()
    reader.now = NoLeader("nobody leads")
    with pytest.raises(QuorateError, match="nobody leads"):
        LivePolls(reader)


def test_more_than_memory_is_meant_for_is_refused() -> None:
    bounded, options = BoundedPolls(), tuple(map(str, range(100_000)))
    for number in range(10):
        bounded.add(StreamPoll(f"p{number}", options))
    with pytest.raises(QuorateError, match="1,000,000 options"):
        bounded.add(StreamPoll("p10", ("one more",)))
    with pytest.raises(QuorateError, match="characters"):
        BoundedPolls().add(StreamPoll("p", ("x" * 40_000_000,)))


def test_rules_for_a_poll_that_does_not_exist_are_told_and_hold_once_it_does(
    reread: Reread, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    told = "there are rules for poll 'tee', and no such poll is open: they hold as soon as it is"
    first = LivePolls(FixedPolls([MOOD, TEA], ["tee", "mood"]))
    assert [f"{told}; did you mean 'tea'?"] == first.problems
    assert f"{told}; did you mean 'tea'?" in caplog.messages
    live = reread(PollsRead([MOOD], ruled=["mood", "tee"]))
    assert [told] == live.problems
    assert [] == reread(PollsRead([MOOD, StreamPoll("tee", ("milk",))], ruled=["mood", "tee"])).problems
    assert "poll 'tee' has come, and its rules hold" in caplog.messages
    assert [told] == reread(PollsRead([MOOD], ruled=["mood", "tee"])).problems
    assert "poll 'tee', for which there are rules, is not open any more" in caplog.messages


def test_rules_for_a_poll_that_is_left_out_are_no_trouble() -> None:
    live = LivePolls(FixedPolls([], ["mood"]))
    assert 2 == len(live.problems)
    odd = Polls()
    odd.now = PollsRead([TEA], {"mood": "options is no list of texts"}, ["mood"])
    assert ["poll 'mood' is left out: options is no list of texts"] == LivePolls(odd).problems

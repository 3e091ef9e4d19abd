"""The polls that a stream works with: read at the start, and again from time to time in a thread of their own.

At the start, what cannot be read or told apart ends the command. Later, the last good ones hold: all polls, if they
cannot be read; a single poll, if options were added to it that read alike. Why, and since when, stands in the status.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from quorate.config.nearest import closest
from quorate.errors import QuorateError
from quorate.ingest.social.matching.matcher import Matcher
from quorate.ingest.social.matching.option_reading import read_poll
from quorate.ingest.social.network import Terms
from quorate.ingest.social.options.polls_reader import PollsNews, PollsRead, PollsReader
from quorate.ingest.social.options.stream_poll import StreamPoll
from quorate.ingest.social.shard import Shard
from quorate.words import count

log = logging.getLogger(__name__)

REFRESH_S = 60.0
PAUSE_S = 1.0  # between two readings at least, however much news there is; and as long as a reading took
TROUBLES_SHOWN = 20
ALL = Shard()


@dataclass(frozen=True, slots=True)
class PollsInUse:
    """By the ids of polls, in words: `refused` says why one is not in use as it was read, `warnings` which options of
    one in use can never be mentioned, `missing` that there is none though the settings have rules for it. The matcher
    and the terms are of the reader's shard."""

    polls: Sequence[StreamPoll]
    matcher: Matcher
    terms: Terms
    refused: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def options(self) -> int:
        return sum(len(poll.options) for poll in self.polls)

    @property
    def problems(self) -> Sequence[str]:
        none = [] if self.polls else ["no poll is open"]
        return [*none, *self.missing.values(), *self.refused.values(), *self.warnings.values()]


class LivePolls:
    """`current` is replaced as a whole. `on_change` gets the new terms, in the thread that reads the polls."""

    def __init__(
        self,
        reader: PollsReader,
        shard: Shard = ALL,
        news: PollsNews | None = None,
        *,
        refresh_s: float = REFRESH_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        """Read the polls. Raises what the reader raises, and `ConfigError` if options cannot be told apart."""
        self._reader, self._shard, self._told = reader, shard, news
        self._refresh_s, self._pause_s = refresh_s, pause_s
        self._stopped = False
        self._news = threading.Event()
        self.current = first_in_use(reader.read(), shard)
        self.read_at_s = time.time()
        self.trouble = ""  # why they could not be read the last time
        _tell(self.current.missing, {})
        _tell(self.current.refused, {})
        _tell(self.current.warnings, {})

    @property
    def problems(self) -> Sequence[str]:
        """What is wrong now, in words; for people."""
        unread = [f"the polls cannot be read since {_moment(self.read_at_s)}: {self.trouble}"] if self.trouble else []
        return [*unread, *self.current.problems]

    def start(self, on_change: Callable[[Terms], None]) -> None:
        threading.Thread(target=self._run, args=(on_change,), name="polls", daemon=True).start()
        if self._told is not None:
            self._told.start(self.read_soon)

    def stop(self) -> None:
        self._stopped = True
        if self._told is not None:
            self._told.stop()
        self._news.set()

    def read_soon(self) -> None:
        """From any thread: something has changed."""
        self._news.set()

    def _run(self, on_change: Callable[[Terms], None]) -> None:
        while True:
            self._news.wait(self._refresh_s)
            if self._stopped:
                return
            self._news.clear()
            began_s = time.monotonic()
            self._read_again(on_change)
            time.sleep(max(self._pause_s, time.monotonic() - began_s))  # posts are read meanwhile

    def _read_again(self, on_change: Callable[[Terms], None]) -> None:
        try:
            self._use(self._reader.read(), on_change)
        except (QuorateError, OSError) as error:
            self._note(error.detail if isinstance(error, QuorateError) else error.strerror or str(error))
            return
        except Exception as error:
            log.exception("reading the polls failed in a way that is a bug; those of before hold")
            self._note(repr(error))
            return
        if self.trouble:
            log.info("the polls are read again")
        self.read_at_s, self.trouble = time.time(), ""

    def _note(self, why: str) -> None:
        if why != self.trouble:
            log.warning("the polls cannot be read again, so those of before hold: %s", why)
        self.trouble = why

    def _use(self, read: PollsRead, on_change: Callable[[Terms], None]) -> None:
        before = self.current
        polls, refused = _accepted(read, before)
        missing = _missing(read)
        _tell(refused, before.refused)
        _tell_met(missing, before.missing)
        if polls == list(before.polls):
            self.current = replace(before, refused=refused, missing=missing)
            return
        self.current = replace(_in_use(polls, refused, before, self._shard), missing=missing)
        _tell(self.current.warnings, before.warnings)
        log.info("%s with %s are in use", count(len(polls), "poll"), count(self.current.options, "option"))
        if self.current.terms is not before.terms:
            on_change(self.current.terms)


def first_in_use(read: PollsRead, shard: Shard = ALL) -> PollsInUse:
    """Raises `ConfigError` if options of a poll cannot be told apart, also those of other shards."""
    nothing = PollsInUse((), Matcher(()), Terms(0, ()))
    return replace(_in_use(read.polls, _left_out(read), nothing, shard), missing=_missing(read))


def _left_out(read: PollsRead) -> dict[str, str]:
    return {id: f"poll {id!r} is left out: {why}" for id, why in read.left_out.items()}


def _missing(read: PollsRead) -> dict[str, str]:
    """A name that is misspelt would change nothing, and nobody would know."""
    known = [*(poll.id for poll in read.polls), *read.left_out]
    return {id: _unmet(id, known) for id in sorted(set(read.ruled).difference(known))}


def _unmet(id: str, known: Sequence[str]) -> str:
    near = closest(id, known)
    meant = f"; did you mean {near!r}?" if near else ""
    return f"there are rules for poll {id!r}, and no such poll is open: they hold as soon as it is{meant}"


def _tell_met(missing: Mapping[str, str], before: Mapping[str, str]) -> None:
    """Whichever poll has come meanwhile, and which has gone."""
    for id in before.keys() - missing.keys():
        log.info("poll %r has come, and its rules hold", id)
    for id in missing.keys() - before.keys():
        log.info("poll %r, for which there are rules, is not open any more", id)


def _accepted(read: PollsRead, before: PollsInUse) -> tuple[list[StreamPoll], dict[str, str]]:
    """The polls to use, and why others are refused. What is in use holds where the new one cannot."""
    known = {poll.id: poll for poll in before.polls}
    polls: list[StreamPoll] = []
    refused = _left_out(read)
    for poll in read.polls:
        last = known.get(poll.id)
        if poll == last:
            polls.append(last)
        elif not (why := read_poll(poll).troubles.why_refused()):
            polls.append(poll)
        else:
            polls += [] if last is None else [last]
            refused[poll.id] = f"{why}. " + ("It is left out" if last is None else "Its options of before hold")
    return polls, refused


def _in_use(polls: Sequence[StreamPoll], refused: Mapping[str, str], before: PollsInUse, shard: Shard) -> PollsInUse:
    share = shard.share_of(polls)
    texts = tuple(dict.fromkeys(option for poll in share for option in poll.options))
    matcher = Matcher(polls, shard.has)
    warnings = {id: troubles.warning() for id, troubles in matcher.troubles.items()}
    terms = before.terms  # the same options in other polls are nothing new to the network
    if not terms.version or texts != terms.texts:
        terms = Terms(terms.version + 1, texts)
    return PollsInUse(polls, matcher, terms, refused, warnings)


def _tell(troubles: Mapping[str, str], before: Mapping[str, str]) -> None:
    fresh = [trouble for id, trouble in troubles.items() if before.get(id) != trouble]
    for trouble in fresh[:TROUBLES_SHOWN]:
        log.warning("%s", trouble)
    if len(fresh) > TROUBLES_SHOWN:
        log.warning("and %s like these", count(len(fresh) - TROUBLES_SHOWN, "poll"))


def _moment(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(unix_s))

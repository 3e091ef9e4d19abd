"""X's filtered stream (API v2), with gaps filled by its recent search, within a budget.

It is lossy, but not much: the search finds for seven days what was written while nobody listened, by rules that differ
a little. What is written while the day's budget is used up is not read later: it would use up the next one.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from quorate.errors import ConfigError
from quorate.ingest.social.network import Inlet, Positions
from quorate.ingest.social.networks.defaults import X_SILENCE_S, X_TAG, X_URL
from quorate.ingest.social.networks.x.access import XAccess, XKeys
from quorate.ingest.social.networks.x.api import XApi
from quorate.ingest.social.networks.x.budget import BudgetLimits, DailyBudget
from quorate.ingest.social.networks.x.filtered_stream import FilteredStream, NoRules
from quorate.ingest.social.networks.x.gaps import GapSearch
from quorate.ingest.social.networks.x.marks import AHEAD_S, PART, Marks
from quorate.ingest.social.networks.x.posts import StreamMessage, cost_of, newest_in, posts_in
from quorate.ingest.social.networks.x.problems import ends_stream, issue_of, said_in
from quorate.ingest.social.networks.x.rate_window import RateWindow
from quorate.ingest.social.networks.x.rule_keeper import ACTS_S, RuleKeeper
from quorate.ingest.social.networks.x.rules import NO_REPOSTS, RuleLimits
from quorate.ingest.social.networks.x.snowflake import id_at
from quorate.ingest.social.reading.companion import Companion
from quorate.ingest.social.reading.kept_position import position_in_words
from quorate.ingest.social.reading.pauses import ReconnectPauses
from quorate.ingest.social.reading.private_urls import check_private
from quorate.ingest.social.reading.read_end import ReadEnd, read_to_end
from quorate.ingest.social.reading.refusal import Refusals, StreamRefused
from quorate.ingest.social.reading.resting import RestingNetwork
from quorate.shown import line
from quorate.web.long_read import LongReadFailed
from quorate.words import count

log = logging.getLogger(__name__)

CONNECTS = 50  # in 15 minutes
QUIET_TOLD_S = 60.0  # how often the position moves when nothing comes
TOMORROW_S = 5.0  # after midnight, as clocks differ
FIGURES = ("budget_posts_spent", "budget_posts_a_day", "budget_dollars_spent", "gaps_to_fill")
TOO_MANY = ("TooManyConnections", "UsageCapExceeded", "UsageCapped")


class X(RestingNetwork):
    name = "x"
    promise: Literal["exact", "lossy"] = "lossy"
    keeps = "seven days, by recent search, whose rules differ a little"

    def __init__(
        self,
        keys: XKeys,
        url: str = X_URL,
        *,
        budget: BudgetLimits | None = None,
        budget_file: Path | None = None,
        rules: RuleLimits | None = None,
        tag: str = X_TAG,
        reposts: bool = True,
        silence_s: float = X_SILENCE_S,
        connects: int = CONNECTS,
        rules_act_s: float = ACTS_S,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(url.rstrip("/"), silence_s)
        check_private(self.source)
        self.keys, self.rules, self.tag, self.reposts = keys, rules or RuleLimits(), tag, reposts
        self.budget, self.budget_file = budget or BudgetLimits(), budget_file
        self.connects, self.unix_s, self.rules_act_s = connects, unix_s, rules_act_s
        if not self.budget.posts:
            raise ConfigError(f"the budget allows no post: {self.budget}")
        self._reading: XReading | None = None

    def figures(self) -> Mapping[str, float]:
        """See `HasFigures`."""
        return self._reading.figures() if self._reading is not None else dict.fromkeys(FIGURES, 0.0)

    def run(self, inlet: Inlet, positions: Positions) -> None:
        with self._held_budget() as budget:
            try:
                self._reading = XReading(self, inlet, budget, positions)
                self._reading.run()
            except StreamRefused as refusal:
                raise ConfigError(str(refusal)) from None

    def _held_budget(self) -> contextlib.AbstractContextManager[DailyBudget]:
        if self.budget_file is None:
            return contextlib.nullcontext(DailyBudget(self.budget, None, self.unix_s))
        return DailyBudget.held(self.budget, self.budget_file, self.unix_s)


class XReading:
    """One run of the network. This thread reads; two others keep the rules, and fill gaps."""

    def __init__(self, network: X, inlet: Inlet, budget: DailyBudget, positions: Positions) -> None:
        self._network, self._inlet, self._budget = network, inlet, budget
        suffix = "" if network.reposts else NO_REPOSTS
        self._access = XAccess(network.source, network.keys, inlet.closing)
        api = XApi(network.source, self._access, inlet)
        with position_in_words():
            self._marks = Marks(int(positions.get(PART) or 0))
        self._keeper = RuleKeeper(inlet, api, network.rules, suffix, network.tag, network.rules_act_s)
        self._filler = GapSearch(
            inlet, api, self._marks, budget, lambda: self._keeper.alternatives, self._server_ms, suffix
        )
        self._pauses = ReconnectPauses(network.unix_s)
        self._refusals = Refusals(inlet, self._pauses)
        self._connects = RateWindow(network.connects)
        self._stream: FilteredStream | None = None
        self._is_renewed = self._is_understood = False
        self._companions = [
            Companion("x rules", self._keeper.follow, self._wake),
            Companion("x gaps", self._filler.fill, self._wake),
        ]

    def run(self) -> None:
        self._keeper.bring()
        for companion in self._companions:
            companion.start()
        try:
            while True:
                self._read_once()
        finally:
            self._keeper.is_over = self._filler.is_over = True
            self._marks.close()
            for companion in self._companions:
                companion.join()

    def _read_once(self) -> None:
        self._check()
        self._wait_for_options()
        self._wait_for_budget()
        stream = self._opened()
        if stream is not None:
            self._stream = stream
            with contextlib.closing(stream):
                self._read(stream)

    def figures(self) -> dict[str, float]:
        spent = self._budget.spent
        values = (spent, self._budget.limits.posts, spent * self._budget.limits.dollars_per_post, self._marks.gaps)
        return dict(zip(FIGURES, values, strict=True))

    def _check(self) -> None:
        self._inlet.pause(0)
        for companion in self._companions:
            companion.check()

    def _wake(self) -> None:
        if self._stream is not None:
            self._stream.wake()

    def _server_ms(self) -> float:
        return self._stream.server_ms if self._stream is not None else self._network.unix_s() * 1_000

    # ---- connecting -------------------------------------------------------------------------------------------------

    def _wait_for_options(self) -> None:
        """What was written while nothing was to be found is no gap."""
        if not self._keeper.alternatives:
            with self._network.rest.because("no option can be asked for"):
                self._keeper.wait()
            self._inlet.put([], self._marks.skip_to(self._network.unix_s() * 1_000))

    def _wait_for_budget(self) -> None:
        if self._budget.left > 0:
            return
        pause_s = self._budget.until_tomorrow_s() + TOMORROW_S
        used_up = f"the budget of the day is used up: {self._budget.limits}"
        why = f"{used_up}. It goes on in {pause_s / 3_600:.1f} h"
        self._inlet.disconnected("budget", why)
        self._inlet.lost(f"{why}, and what is written until then is not read")
        with self._network.rest.because(f"{used_up}; it goes on when the next day begins in UTC"):
            self._inlet.pause(pause_s)
        self._inlet.put([], self._marks.skip_to(self._network.unix_s() * 1_000))

    def _opened(self) -> FilteredStream | None:
        """None: it failed, and the pause that this asks for is over."""
        if pause_s := self._connects.wait_s():
            self._inlet.pause(pause_s)
        try:
            stream = FilteredStream(
                self._network.source, self._access.auth(), self._network.silence_s, reposts=self._network.reposts
            )
            with self._inlet.closing(stream.wake):
                return stream.__enter__()
        except NoRules:
            self._inlet.disconnected("no_rules", "X has no rules of ours; they are made again")
            self._keeper.bring()
            self._inlet.pause(self._pauses.answered(409, {}))
        except StreamRefused as refusal:
            self._refused(refusal)
        except LongReadFailed as error:
            self._check()
            self._refusals.failed(self._network.source, error)
        return None

    def _refused(self, refusal: StreamRefused) -> None:
        """A token may have been withdrawn, and another one be had."""
        if refusal.status == 401 and not self._is_renewed and self._access.renew():
            self._is_renewed = True
            refusal.mendable = False
        self._refusals.refused(refusal)

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _read(self, stream: FilteredStream) -> None:
        self._is_understood = False
        self._inlet.connected()
        position = self._marks.connected(stream.server_ms)
        if self._marks.was_ahead:
            self._inlet.lost("the place where the reading ended lies in the future; was a clock wrong?")
        self._inlet.put([], position)
        with self._inlet.closing(stream.wake):
            end = read_to_end(self._timed(stream), self._take, lambda: self._is_understood, self._heard)
        self._check()
        if self._budget.left > 0:
            self._dropped(end)

    def _timed(self, stream: FilteredStream) -> Iterator[list[StreamMessage | None]]:
        """Its messages. When nothing comes for long, the position moves on with the time."""
        spoke_s = time.monotonic()
        for messages in stream.messages():
            if messages or time.monotonic() - spoke_s < QUIET_TOLD_S:
                spoke_s = time.monotonic() if messages else spoke_s
            else:
                spoke_s = time.monotonic()
                if position := self._marks.quiet(stream.server_ms):
                    self._inlet.put([], position)
            yield messages

    def _heard(self) -> None:
        self._pauses.established()
        self._refusals.accepted()
        self._is_renewed = False

    def _take(self, came: Sequence[StreamMessage | None]) -> tuple[str, str] | None:
        """Why the stream is over, if it is."""
        messages = [message for message in came if message is not None]
        if messages:
            self._put(messages)
        if len(messages) < len(came):
            if not self._is_understood:
                return "nonsense", "what comes is no stream of posts"
            self._inlet.lost(f"{count(len(came) - len(messages), 'message')} of X could not be understood")
        for message in messages:
            if (problem := message.problem) is not None:
                if ends_stream(problem):
                    return self._told(problem)
                log.warning("X says of a post: %s", line(issue_of(problem), 100))
        return ("budget", "") if self._budget.left <= 0 else None

    def _put(self, messages: Sequence[StreamMessage]) -> None:
        if not self._is_understood and any(message.data is not None for message in messages):
            self._is_understood = True
            self._pauses.understood()
        self._budget.spend(sum(map(cost_of, messages)))
        posts = [post for message in messages for post in posts_in(message)]
        newest = min(max(map(newest_in, messages)), id_at(self._server_ms() + AHEAD_S * 1_000))
        self._inlet.put(posts, self._marks.before_put(newest))
        self._marks.after_put(newest)

    @staticmethod
    def _told(problem: dict[str, Any]) -> tuple[str, str]:
        issue = issue_of(problem)
        reason = "too_many" if issue in TOO_MANY else "operational" if "Operational" in issue else "told"
        return reason, f"X ends the stream: {said_in(problem)}"

    def _dropped(self, end: ReadEnd) -> None:
        self._inlet.disconnected(end.reason, f"{self._network.source}: {end.why or 'X ended the stream'}")
        if pause_s := end.pause_s(self._pauses, too_many=("too_many",)):
            self._inlet.pause(pause_s)

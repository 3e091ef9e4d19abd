"""How a stream is: what `/status` and `/healthz` say, what the metrics are made of, and what the terminal shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from quorate.ingest.social.counts import StreamCounts
from quorate.ingest.social.network import HasFigures, Network
from quorate.ingest.social.options.live_polls import LivePolls
from quorate.ingest.social.outlets import Outlet
from quorate.ingest.social.pipeline import Pipeline
from quorate.ingest.social.places import Places
from quorate.ingest.social.shard import Shard
from quorate.words import count

OPTIONS_SHOWN = 20
PROBLEMS_SHOWN = 20
QUIET_S = 60.0  # longer without a connection, or without a vote being taken, is no passing trouble
STUCK_S = 15.0


class StreamStatus:
    """It only reads, and may be asked from any thread. `clock` is Unix time."""

    def __init__(
        self,
        network: Network,
        polls: LivePolls,
        places: Places,
        counts: StreamCounts,
        pipeline: Pipeline,
        outlet: Outlet,
        shard: Shard,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.network, self.counts = network, counts
        self._polls, self._places, self._pipeline, self._outlet = polls, places, pipeline, outlet
        self._shard = shard
        self._clock = clock
        self._began_s = clock()

    def figures(self) -> Mapping[str, float]:
        return self.network.figures() if isinstance(self.network, HasFigures) else {}

    def report(self) -> dict[str, Any]:
        numbers, now_s, written_s = self.counts.numbers, self._clock(), self._places.written_at_s
        polls = self._polls.current
        return {
            "network": self.network.name,
            "source": self.network.source,
            "promise": self.network.promise,
            "keeps": self.network.keeps,
            "shard": str(self._shard),
            "running_s": round(now_s - self._began_s, 1),
            "connected": numbers.is_connected,
            "rests": self.rests,
            "parts": numbers.connected,
            "connects": numbers.connects,
            "disconnects": numbers.disconnects,
            "last_disconnect": numbers.last_disconnect,
            "lost": [{"at": _moment(loss.at_s), "why": loss.why} for loss in numbers.last_losses],
            "losses": numbers.losses,
            "lag_s": numbers.lag_s(now_s),
            "posts": {
                "read": numbers.posts,
                "matched": numbers.matched_posts,
                "confirmed": numbers.confirmed_posts,
                "under_way": self._pipeline.queue.under_way,
                "passed_over": numbers.passed_over,
            },
            "votes": {
                "to": self._outlet.name,
                "made": numbers.votes,
                "confirmed": numbers.confirmed_votes,
                "applied": numbers.applied,
                "duplicates": numbers.duplicates,
                "rejected": numbers.rejected,
                "only_one_copy": self._outlet.single,
                "trouble": self._pipeline.sender.trouble,
            },
            "options": [
                {"poll": poll, "option": option, "votes": votes}
                for (poll, option), votes in numbers.top_options(OPTIONS_SHOWN)
            ],
            "polls": {
                "polls": len(polls.polls),
                "options": len(polls.terms.texts),
                "read_at": _moment(self._polls.read_at_s),
                "trouble": self._polls.trouble,
                "problems": [*self._polls.problems][:PROBLEMS_SHOWN],
            },
            "positions": {
                "written_at": None if written_s is None else _moment(written_s),
                "age_s": None if written_s is None else round(now_s - written_s, 1),
                "trouble": self._places.trouble,
            },
            **({"figures": dict(figures)} if (figures := self.figures()) else {}),
        }

    @property
    def rests(self) -> str:
        """Why there is no connection on purpose, in words: that is no trouble."""
        return "" if self.counts.is_connected else self._pipeline.rests

    def troubles(self) -> list[str]:
        """Why this is not healthy, in sentences. Each may pass by itself."""
        numbers, now_s, found = self.counts.numbers, self._clock(), []
        quiet_s = now_s - max(self._began_s, self._pipeline.connected_at_s)
        # Without options some networks have nothing to be asked for.
        is_wanted = bool(self._polls.current.terms.texts) and not self.rests
        if is_wanted and not numbers.is_connected and quiet_s > QUIET_S:
            why = f" ({numbers.last_disconnect})" if numbers.last_disconnect else ""
            found.append(f"no connection to {self.network.name} since {quiet_s:.0f} s{why}")
        sender = self._pipeline.sender
        if sender.trouble and (stalled_s := now_s - sender.trouble_since_s) > QUIET_S:
            found.append(f"no votes are taken since {stalled_s:.0f} s: {sender.trouble}")
        if self._places.trouble:
            found.append(f"the position is not kept: {self._places.trouble}")
        if (stuck_s := now_s - self._pipeline.ticked_at_s) > STUCK_S:
            found.append(f"the main thread hangs since {stuck_s:.0f} s")
        return found

    def summary(self) -> str:
        """What it did, in a line."""
        numbers = self.counts.numbers
        text = f"{count(numbers.confirmed_posts, 'post')} read, {count(numbers.confirmed_votes, 'vote')} confirmed"
        if numbers.duplicates:
            text += f", {numbers.duplicates:,} of them counted before"
        if rejected := sum(numbers.rejected.values()):
            reasons = ", ".join(f"{number:,} {reason}" for reason, number in numbers.rejected.most_common())
            text += f", {rejected:,} rejected ({reasons})"
        if passed_over := sum(numbers.passed_over.values()):
            text += f"; {count(passed_over, 'post')} passed over by a bug"
        if self._outlet.single:
            text += f"; of {self._outlet.single:,} there is one copy only"
        if numbers.losses:
            text += f"; {count(numbers.losses, 'gap')} in what was read"
        if self._pipeline.unconfirmed:
            text += f"; {count(self._pipeline.unconfirmed, 'post')} will be read again"
        return text


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(int(unix_s), UTC).isoformat().replace("+00:00", "Z")

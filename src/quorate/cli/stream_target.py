"""Where a stream's votes go: the cluster, or a topic of NSQ."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quorate.cli.node_options import client_of
from quorate.cli.stream_options import StreamOptions
from quorate.words import count

if TYPE_CHECKING:
    from quorate.ingest.nsq.publisher import Publisher
    from quorate.ingest.social.options.stream_poll import StreamPoll
    from quorate.ingest.social.outlets import Outlet

log = logging.getLogger(__name__)

NSQ_TRY_S = 5.0  # then it is said why nothing is taken, and tried again
TWO_NSQDS_TRY_S = 20.0  # one copy is enough after half of it
SMALL_WINDOW = 200_000  # votes; so many may be sent again after an interruption, if posts mention several options
POLLS_NAMED = 3


@dataclass(frozen=True, slots=True)
class VoteTarget:
    """`name` is what positions are kept for. `window`: how many ids the cluster protects, as far as that is known."""

    outlet: Outlet
    name: str
    window: int | None = None

    def check_window(self, polls: Sequence[StreamPoll]) -> None:
        """Say what rests on the window of ids: one vote for each author does, for as long as the poll is open."""
        if self.window is None:
            return
        raise_it = "raise it by: quorate settings set votes.dedup_window N"
        if self.window < SMALL_WINDOW:
            log.warning(
                "the cluster protects the last %s only: posts that are read again may count twice; %s",
                count(self.window, "id"),
                raise_it,
            )
        if by_author := [poll.id for poll in polls if poll.rules.one_per == "author"]:
            more = f" and {len(by_author) - POLLS_NAMED:,} more" if len(by_author) > POLLS_NAMED else ""
            log.warning(
                "%s: an author has one vote while its id is protected, for the next %s that are accepted; %s",
                ", ".join(by_author[:POLLS_NAMED]) + more,
                count(self.window, "id"),
                raise_it,
            )


def vote_target(options: StreamOptions) -> VoteTarget:
    from quorate.ingest.social.outlets import ClusterOutlet, NsqOutlet

    if options.to == "cluster":
        client = client_of(options.nodes, options.timeout_s, shows_wait=False)
        state = client.status().get("state", {})
        return VoteTarget(ClusterOutlet(client), f"cluster {state.get('cluster_id', '')}", _window_of(state))
    topic = options.config.nsq.topic
    return VoteTarget(NsqOutlet(topic, lambda: _publisher(options)), f"topic {topic}")


def _window_of(state: dict[str, object]) -> int | None:
    dedup = state.get("dedup")
    window = dedup.get("size") if isinstance(dedup, dict) else None
    return window if isinstance(window, int) else None


def _publisher(options: StreamOptions) -> Publisher:
    """Where nsqlookupd is asked, what it knows may be less than there is: an nsqd that was killed, or has just come."""
    from quorate.ingest.nsq.publisher import Publisher

    nsq = options.config.nsq
    nsqds = [*nsq.nsqd, *_known_nsqds(options)] or ["127.0.0.1:4150"]
    if not options.config.stream.both:
        return Publisher(nsqds, nsq.topic, timeout_s=NSQ_TRY_S, auth_secret=nsq.auth_secret)

    def tell(why: str) -> None:
        log.warning("no nsqd takes votes: %s", why)

    return Publisher(
        nsqds,
        nsq.topic,
        both=True,
        timeout_s=TWO_NSQDS_TRY_S,
        auth_secret=nsq.auth_secret,
        on_wait=tell,
        others=(lambda: _known_nsqds(options)) if nsq.lookupd else None,
    )


def _known_nsqds(options: StreamOptions) -> Sequence[str]:
    """Those of nsqlookupd. Raises `NoNsqd` if there is none, unless others are named."""
    from quorate.ingest.nsq.publisher import NoNsqd, nsqds_of

    nsq = options.config.nsq
    try:
        return nsqds_of(nsq.lookupd) if nsq.lookupd else ()
    except NoNsqd:
        if nsq.nsqd:
            return ()
        raise

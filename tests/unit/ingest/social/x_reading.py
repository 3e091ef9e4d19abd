"""Runs X's stream against its double."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from quorate.ingest.social.networks.x.access import XKeys
from quorate.ingest.social.networks.x.budget import BudgetLimits
from quorate.ingest.social.networks.x.network import X
from tests.doubles.social.x import XDouble, XTerms
from tests.support.social_inlet import SocialInlet, running
from tests.support.waiting import wait_for

KEYS = XKeys(key=XTerms().key, secret=XTerms().secret)
RICH = BudgetLimits(10**6)
OPERATIONAL = {"title": "operational-disconnect", "disconnect_type": "UpstreamOperationalDisconnect"}


def network(x: XDouble, inlet: SocialInlet, **options: Any) -> X:
    return X(KEYS, x.base, **{"budget": RICH, "unix_s": inlet.unix_s, "rules_act_s": 0.0, **options})


def double(inlet: SocialInlet, terms: XTerms | None = None) -> XDouble:
    return XDouble(terms, clock=inlet.clock, unix_s=inlet.unix_s)


@contextlib.contextmanager
def reading(
    inlet: SocialInlet,
    terms: XTerms | None = None,
    *,
    positions: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[XDouble]:
    """A stream that is connected. In the end its server has nothing to blame it for."""
    with double(inlet, terms) as x:
        with running(network(x, inlet, **options), inlet, positions):
            connected(x)
            yield x
        assert [] == x.violations


def connected(x: XDouble, connections: int = 1) -> None:
    """As many as ever."""
    wait_for(
        f"connection {connections}",
        lambda: len(x.state.connections) >= connections and x.live,
        seen=lambda: str(x.seen()),
    )


def arrive(inlet: SocialInlet, *ids: str) -> None:
    wait_for(
        "the posts arrive", lambda: set(ids) <= {post.id for post in inlet.posts}, seen=lambda: str(inlet.posts[-20:])
    )


def gone(x: XDouble, fault: Any = "hang_up", line: str = "") -> None:
    """The connection breaks, and it takes a while until there is another one."""
    for _ in range(30):
        x.answer_next(503)
    x.fail(fault, line)
    wait_for("it is gone", lambda: 503 in x.state.statuses)


def rules(x: XDouble) -> set[str]:
    return {rule.value for rule in list(x.book.kept.values())}

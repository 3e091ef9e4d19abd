"""How many files and sockets this process may have open, and how many of them may be connections of HTTP clients.

The system's limit is per process, and often 1,024. Each connection takes one descriptor, so clients alone could use up
all of them. Then the log could open no file and the peers no socket. So the limit is raised as far as the settings need
it, and what is kept back for the node itself is never a client's.
"""

from __future__ import annotations

import contextlib
import logging
import resource

# For the node itself: its log and snapshots, the connections to and from peers (also 64 that introduce themselves or
# are refused), sinks, queues, Consul, Flask's files.
RESERVE = 256
LEAST = 128  # fewer and the node itself may find none: it has 40 open, and up to 32 of others that want to be peers

log = logging.getLogger(__name__)


def raise_limit(connections: int) -> None:
    """Have the system allow so many connections besides the reserve, if it lets us; else as many as it lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _at_most(connections + RESERVE, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(OSError, ValueError):  # then `connections_within` takes what there is
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_within(wanted: int) -> int:
    """How many connections fit under the present limit; at most `wanted`. Under a low limit half of it is kept back."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, limit - min(RESERVE, limit // 2)))


def warn_of_limit(wanted: int) -> None:
    """Say in the log that the settings ask for more connections than the system allows."""
    if (fit := connections_within(wanted)) < wanted:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit < LEAST:
            log.error("this process may have only %d files open: a node needs %d for itself alone", limit, LEAST)
        log.warning(
            "this process may have %d files open, so it takes %d connections and not the %d of http.connections_max: "
            "allow it %d (ulimit -n, or LimitNOFILE of systemd), or set http.connections_max lower",
            limit,
            fit,
            wanted,
            wanted + RESERVE,
        )


def _at_most(wanted: int, hard: int) -> int:
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)

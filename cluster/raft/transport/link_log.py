"""What is told of the connections to peers: lines in the log, few however much they flap, and reasons for the status.

A link is told once it stood for a moment: the peer may be about to refuse this node, and then there is only a reason.
"""

from __future__ import annotations

import asyncio
import logging

from quorate.cluster.raft.line_limit import ChangeLines, Reminders
from quorate.cluster.raft.transport.connection import PeerConnection
from quorate.cluster.raft.transport.link_reasons import ENDED_EARLY, FRESH_S, LinkReasons

log = logging.getLogger(__name__)


class LinkLog:
    """Used on the node's loop, whose time is the clock of it all."""

    def __init__(self) -> None:
        self._troubles = Reminders()
        self._reasons = LinkReasons()
        self._fresh: dict[str, PeerConnection] = {}  # by peer: connections whose line is still to be written
        self._ended_early_s: dict[str, float] = {}  # when a member last ended a handshake without a word
        self._lost_at_s: dict[str, float] = {}  # the members that are not connected now, but were
        self._lines: dict[str, ChangeLines] = {}

    # ---- what happens ------------------------------------------------------------------------------------------------

    def unreached(self, peer: str, tried: str) -> None:
        self._warn(peer, f"cannot reach {peer} at {tried}; trying on")

    def opened(self, peer: str, connection: PeerConnection, *, replaces_another: bool) -> None:
        self._troubles.over(peer)
        if not replaces_another:
            self._fresh[peer] = connection

    def refused_by(self, peer: str, why: str, *, host: str, is_member: bool) -> None:
        """The peer refuses this node. Those who are no members may claim any id."""
        self._warn(f"{peer} refuses" if is_member else host, f"{peer} refuses this node: {why}; trying on")
        if is_member:
            self._reasons.note(peer, f"it refuses this node: {why}", _now_s())

    def refused(self, connection: PeerConnection, why: str, *, is_member: bool, is_open: bool) -> None:
        """This node refuses the other end, or the handshake failed. Those who are no members may claim any id."""
        claimed = connection.claimed_id
        if why == ENDED_EARLY and is_member and not self._ended_early_before(claimed):
            return
        about = f"{claimed} refused" if is_member else connection.host
        self._warn(about, f"refused {claimed or 'a stranger'} at {connection.host}: {why}")
        if is_member and not is_open:
            self._reasons.note(claimed, why, _now_s())

    def _ended_early_before(self, peer: str) -> bool:
        """A peer that stops in the middle of a handshake does so once. One with another key does it again and again."""
        before_s = self._ended_early_s.get(peer, float("-inf"))
        self._ended_early_s[peer] = _now_s()
        return _now_s() - before_s < FRESH_S

    def lost(self, peer: str, connection: PeerConnection, why: str) -> None:
        """A connection that was open is closed now."""
        if self._fresh.pop(peer, None) is not None:
            if connection.was_refused:
                return  # the reason was told, and that there was a link was not
            if connection.refusing:
                self.refused(connection, why, is_member=True, is_open=False)
                return
            self._made(peer)
        self._lost_at_s[peer] = _now_s()
        self._write(peer, f"lost: {why}")
        if connection.refusing:
            self._reasons.note(peer, why, _now_s())

    def check(self) -> None:
        """Call it every half second."""
        for peer in [peer for peer, connection in self._fresh.items() if not connection.was_refused]:
            del self._fresh[peer]
            self._made(peer)
        for lines in self._lines.values():
            lines.check(_now_s())

    # ---- what is told ------------------------------------------------------------------------------------------------

    def why(self, peer: str, *, is_open: bool) -> str:
        """Why there is no connection, or was none until a moment ago; "" if nobody has anything against the other."""
        return "" if is_open and peer not in self._fresh else self._reasons.why(peer, _now_s())

    def _made(self, peer: str) -> None:
        """Write the line of a link that stands, or that broke before its line was written."""
        self._troubles.over(f"{peer} refused")
        self._troubles.over(f"{peer} refuses")
        self._reasons.forget(peer)
        lost_at_s = self._lost_at_s.pop(peer, None)
        self._write(peer, "made" if lost_at_s is None else f"back after {_now_s() - lost_at_s:.1f} s")

    def _write(self, peer: str, what: str) -> None:
        self._lines.setdefault(peer, ChangeLines(log)).write(logging.INFO, f"link to {peer} {what}", _now_s())

    def _warn(self, about: str, what: str) -> None:
        if self._troubles.allow(about, what, _now_s()):
            log.warning("%s", what)


def _now_s() -> float:
    return asyncio.get_running_loop().time()

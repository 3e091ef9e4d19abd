"""What only the run can notice of the situations on the reached list: it sees the nodes and knows what is broken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quorate.chaos.faulting import BrokenNow
from quorate.chaos.history import NodeLook, OpenSession, PollChange, Reached
from quorate.chaos.workload.node_looks import NodeSight

NOTICED = {
    "leader-killed-with-votes-in-flight": "the leader was killed while votes were on their way",
    "election-under-a-partition": "a leader was elected while nodes were cut off from each other",
    "snapshot-installed-during-a-partition": "a node installed the leader's snapshot while links were broken",
    "flush-by-a-deposed-leader-refused": "a sink refused what a leader wrote after it had been replaced",
    "vote-over-two-hops": "a vote got to the leader over another follower",
    "node-back-from-an-old-disk": "a node came back with an old copy of its disk, and caught up",
    "poll-closed-during-a-fault": "a poll was closed while a fault was active",
    "session-taken-over-during-a-fault": "a session was taken over while a fault was active",
}
KILLS = "kill-"


class Noticing:
    """Used from the clients' loop and the faults' thread. `is_network`: whether a fault of that name breaks links."""

    def __init__(
        self,
        broken: Callable[[], Sequence[BrokenNow]],
        is_network: Callable[[str], bool],
        last_ack_of: Callable[[str], float],
        note: Callable[[Reached], None],
    ) -> None:
        self._broken, self._is_network, self._last_ack_of, self._note = broken, is_network, last_ack_of, note
        self._lock = threading.Lock()
        self.reached: dict[str, int] = {}
        self._leader: tuple[int, str] = (0, "")
        self._last: dict[str, Mapping[str, Any]] = {}  # the last status that each node told
        self.elections = 0

    @property
    def leader(self) -> str:
        """That the newest look showed; "" before the first."""
        return self._leader[1]

    def look(self, now: NodeSight, before: NodeSight | None) -> None:
        """A node was looked at."""
        look = now.look
        if look.role == "leader" and look.term > self._leader[0]:
            self.elections += self._leader[0] > 0
            self._leader = look.term, look.node
        if not now.status:
            return
        last = self._last_of_this_life(look.node, now.status)
        self._last[look.node] = now.status
        if last is not None:
            self._counters(look, now.status, last)
        if before is not None and before.status:
            self._two_looks(now, before)

    def _last_of_this_life(self, node: str, status: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the node told before, however long ago: a paused or cut-off node is silent just when its counters move.

        Empty if it was started since: its counters began at zero.
        """
        last = self._last.get(node)
        return {} if last and last.get("uptime_s", 0) > status.get("uptime_s", 0) else last

    def _counters(self, look: NodeLook, status: Mapping[str, Any], last: Mapping[str, Any]) -> None:
        cut = self._cut()
        if cut and _snapshots(status) > _snapshots(last):
            self._reach("snapshot-installed-during-a-partition", look.at, f"{look.node}, while {cut[0].words}")
        if _refused_flushes(status) > _refused_flushes(last):
            self._reach("flush-by-a-deposed-leader-refused", look.at, look.node)

    def _cut(self) -> Sequence[BrokenNow]:
        return [broken for broken in self._broken() if self._is_network(broken.name)]

    def _two_looks(self, now: NodeSight, before: NodeSight) -> None:
        look = now.look
        cut = self._cut()
        if cut and look.term > before.look.term > 0:
            self._reach("election-under-a-partition", look.at, f"{cut[0].words}: term {look.term}")
        via = now.status["raft"].get("leader_via")
        if via and before.status["raft"].get("leader_via") == via and self._last_ack_of(look.node) > before.look.at:
            self._reach("vote-over-two-hops", look.at, f"from {look.node} over {via}")

    def change(self, operation: PollChange | OpenSession) -> None:
        """A poll was changed, or a session opened."""
        broken = self._broken()
        if operation.outcome != "ok" or not broken or operation.ended is None:
            return
        if isinstance(operation, OpenSession):
            if operation.epoch > 1:
                self._reach("session-taken-over-during-a-fault", operation.ended, broken[0].words)
        elif operation.to == "closed" and operation.before == "open":
            self._reach("poll-closed-during-a-fault", operation.ended, broken[0].words)

    def fault_begins(self, broken: BrokenNow, votes_in_flight: int) -> None:
        hits_leader = broken.name == "kill-leader" or (broken.name.startswith(KILLS) and self.leader in broken.victims)
        if hits_leader and votes_in_flight:
            self._reach("leader-killed-with-votes-in-flight", broken.since, broken.words)

    def fault_ended(self, name: str, at: float, words: str) -> None:
        if name == "old-copy":
            self._reach("node-back-from-an-old-disk", at, words)

    def _reach(self, name: str, at: float, words: str) -> None:
        """Each time is counted, and the first few are written."""
        with self._lock:
            self.reached[name] = self.reached.get(name, 0) + 1
            if self.reached[name] <= 10:
                self._note(Reached(at, name, words))


def _snapshots(status: Mapping[str, Any]) -> int:
    return int(status.get("raft", {}).get("snapshots_received", 0))


def _refused_flushes(status: Mapping[str, Any]) -> int:
    return sum(int(sink["documents"].get("newer", 0)) for sink in (status.get("sinks") or {}).values())

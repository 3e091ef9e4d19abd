"""The checks that say whether a node is ready: for /readyz, and for Consul."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from quorate.cluster.flush.flushers import Flushers
from quorate.cluster.loop_bridge import Deposed, LoopBridge
from quorate.cluster.raft.replica import RaftReplica
from quorate.http.api import Check, CheckResult
from quorate.joining import Joining

# A node that has not applied more committed entries than this, or waits longer for one of them, is not ready.
BEHIND_MAX = 1_000
BEHIND_MS_MAX = 5_000


class Readiness:
    """Made on the node's loop. `why_not` is for other threads."""

    def __init__(self, replica: RaftReplica, joining: Joining, flushers: Flushers) -> None:
        self._replica, self._joining, self._flushers = replica, joining, flushers
        self._bridge = LoopBridge()
        self.checks: Sequence[Check] = (
            Check("leader", self._check_leader),
            Check("log", self._check_log),
            Check("history", self._check_history),
            Check("peers", self._check_peers),
            Check("addresses", self._note_addresses),
            *self._sink_checks(),
        )

    def why_not(self) -> str | None:
        """The first check that fails, in words; None if the node is ready. Runs the checks on the loop and waits."""
        try:
            return self._bridge.call_on_loop(lambda: first_failing(self.checks))
        except (Deposed, TimeoutError) as error:
            return str(error) or "this node stops"

    def _check_leader(self) -> CheckResult:
        replica = self._replica
        if replica.leader == replica.node_id and not replica.is_leader:
            return CheckResult(False, "this node is elected and has yet to apply its log", f"term {replica.term}")
        if (via := replica.leader_via) is not None:
            cut = f"no word comes from {replica.leader} itself; {via} passes on what this node is asked"
            return CheckResult(False, f"{replica.leader} is reached over {via} only", cut)
        if replica.leader is not None and replica.state.cluster_id:
            return CheckResult(True, replica.leader, f"term {replica.term}")
        if (waits_for := self._joining.waits_for) is not None:
            return CheckResult(False, "not a member of a cluster yet", waits_for)
        raft = replica.status()
        if raft.stranger_to:
            id = replica.node_id
            do = f"quorate members add {id} HOST:PORT; if its disk was replaced: quorate members replace {id}"
            return CheckResult(False, "this node's disk is new to the cluster", do)
        if raft.waiting_for:
            missing = ", ".join(raft.waiting_for)
            return CheckResult(False, f"waiting to meet {missing}", "a cluster is formed once all have met")
        heard = f"the last one was heard {raft.leader_heard_ms_ago / 1000:.1f} s ago; " if raft.leader_changes else ""
        return CheckResult(False, "none known", f"{heard}a majority of the nodes must be up and connected")

    def _check_log(self) -> CheckResult:
        raft = self._replica.status()
        if raft.role in ("starting", "halted"):
            return CheckResult(False, raft.role, "see the log of this node")
        if raft.forgotten is not None:
            return CheckResult(False, "the disk does not count", raft.forgotten)
        applied, lag = raft.applied_index, raft.lag_entries
        words, more = f"applied {applied}", f"committed {applied + lag}, last {raft.last_index}"
        if lag <= BEHIND_MAX and raft.lag_ms <= BEHIND_MS_MAX:
            return CheckResult(True, words, more)
        behind = f"{lag:,} {'entry' if lag == 1 else 'entries'} and {raft.lag_ms / 1000:.1f} s behind"
        return CheckResult(False, f"{words}, {behind}", more)

    def _note_addresses(self) -> CheckResult:
        """Never fails: all addresses are tried."""
        differs = self._replica.status().address_differences
        if not differs:
            return CheckResult(True, "as in raft.peers")
        return CheckResult(True, "raft.peers and log differ, both are tried", "; ".join(differs))

    def _check_history(self) -> CheckResult:
        """Only a node without a leader is not ready: the peer may be the one that is wrong."""
        others = self._replica.status().other_histories
        if not others:
            return CheckResult(True, "one for all peers")
        words = f"{', '.join(others)} {'has' if len(others) == 1 else 'have'} another one: refused"
        return CheckResult(self._replica.leader is not None, words, "; ".join(others.values()))

    def _check_peers(self) -> CheckResult:
        """As for the history: a node that has a leader is ready, whoever else cannot come in."""
        raft = self._replica.status()
        links = {peer: link for peer, link in raft.links.items() if peer not in raft.other_histories}
        refused = {peer: link.refused for peer, link in links.items() if link.refused}
        if refused:
            told = "; ".join(f"{peer}: {why}" for peer, why in sorted(refused.items()))
            return CheckResult(self._replica.leader is not None, f"{', '.join(sorted(refused))} refused", told)
        return CheckResult(True, f"{sum(link.open for link in links.values())} of {len(links)} connected")

    def _sink_checks(self) -> list[Check]:
        """One check for each sink. With several, the name of the check says which sink it is about."""
        names = self._flushers.names
        if not names:
            return [Check("flush", lambda: CheckResult(True, "no sink"), sync=True)]
        if len(names) == 1:
            return [Check("flush", partial(self._check_sink, names[0]), sync=True)]
        return [Check(f"flush:{name}", partial(self._check_sink, name), sync=True) for name in names]

    def _check_sink(self, name: str) -> CheckResult:
        return CheckResult(*self._flushers.caught_up(name))


def first_failing(checks: Sequence[Check]) -> str | None:
    for check in checks:
        if not check.sync:
            well, words, more = check.run()
            if not well:
                return f"{check.name} {words}: {more}"
    return None

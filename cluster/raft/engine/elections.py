"""Who leads: PySyncObj's elections, with what they need to hurt nobody and to be true after power loss.

Each override says what goes wrong without it in PySyncObj 0.3.17 and names the test that shows it on the stock library.
The names are the stock ones, mangled: the base class calls its private methods through self, so they can be replaced.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.clock import monotonic_s
from quorate.cluster.raft.engine.owner import EngineOwner
from quorate.cluster.raft.engine.stock import Node, SyncObj, SyncObjConf, Transport
from quorate.cluster.raft.storage.journal import Journal
from quorate.errors import Halted

FOLLOWER, CANDIDATE, LEADER = 0, 1, 2
ROLES = ("follower", "candidate", "leader")
BACKOFF_DOUBLINGS_MAX = 3
DISK_HANG_TIMEOUTS = 5  # election timeouts that a disk may take for a sync before its node is no leader

_Promise = tuple[int, str, messages.Message]  # journal position, to, what

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ElectionTiming:
    """Everything that waits, derived from one setting: the shortest election timeout T, in seconds.

    Timeouts are drawn from [T, 2T) so that one node usually wins alone (Raft §9.3). Heartbeats come T/5 apart, so that
    several must be lost before anyone stands. A leader that has not heard a majority for T stops answering as one.
    """

    election_s: float

    @property
    def heartbeat_s(self) -> float:
        return self.election_s / 5


class EnginePort(Transport):  # type: ignore[misc]  # PySyncObj has no annotations
    """What PySyncObj sends through: everything goes to the engine, which knows what must wait for the disk."""

    ready = True

    def __init__(self, engine: Elections) -> None:
        super().__init__(engine, None, [])
        self._engine = engine

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        return self._engine.on_stock_message(node, message)

    def addNode(self, node: Node) -> None:
        """Links are made by `PeerTransport` from the members; PySyncObj has no say in it."""

    def dropNode(self, node: Node) -> None:
        """See `addNode`."""

    def destroy(self) -> None:
        """Links have an owner of their own."""


class _NoPoller:
    """The event loop polls; PySyncObj has no sockets of its own."""

    def poll(self, timeout: float) -> None:
        return None


class Elections(SyncObj):  # type: ignore[misc]  # PySyncObj has no annotations
    """Ballots, terms and leaders. Single-threaded: every method runs on the node's loop."""

    def __init__(
        self,
        node_id: str,
        voters: Iterable[str],
        *,
        journal: Journal,
        owner: EngineOwner,
        timing: ElectionTiming,
        rng: random.Random,
    ) -> None:
        self.journal = journal
        self.timing = timing
        self.may_be_candidate = True  # see `allow_candidacy`
        self.is_voter = True
        self._owner = owner
        self._rng = rng
        self._promises: deque[_Promise] = deque()
        self._leader_heard_s = float("-inf")  # when a live leader last spoke to us
        self._alive_sent_s = float("-inf")  # when it was last told that we are here, in the midst of a big message
        self._pre_ballots: set[str] = set()
        self._ballots: set[str] = set()
        self._synced_seen, self._synced_at_s = 0, monotonic_s()  # how far the disk was last, and when it got there
        self._election_granted = False  # a majority would elect us, or the leader asked us to stand
        self._transferring = False
        self._elections_since_leader = 0  # times since this node heard a leader, or was one
        super().__init__(
            Node(node_id),
            [Node(peer) for peer in voters if peer != node_id],
            SyncObjConf(
                autoTick=False,
                dynamicMembershipChange=False,  # members are the engine's business, see `Engine.set_members`
                commandsWaitLeader=False,
                raftMinTimeout=timing.election_s,
                raftMaxTimeout=timing.election_s * 2,
                connectionTimeout=timing.election_s * 2,  # of its own transport; it only insists on one this long
                appendEntriesPeriod=timing.heartbeat_s,
                leaderFallbackTimeout=timing.election_s,
            ),
            nodeClass=Node,
            transportClass=lambda engine, me, others: EnginePort(engine),
        )
        self._poller = _NoPoller()
        self._SyncObj__raftLog = journal
        self._SyncObj__raftCurrentTerm = max(journal.getCurrentTerm(), journal[-1][2])
        self._SyncObj__votedForNodeId = journal.getVotedForNodeId()
        self._SyncObj__raftCommitIndex = journal.getRaftCommitIndex()
        self._SyncObj__raftLastApplied = journal.first_index

    _SyncObj__raftElectionDeadline: float
    _SyncObj__raftLeader: Node | None

    # ---- short names for what PySyncObj keeps -----------------------------------------------------------------------

    @property
    def role(self) -> int:
        return int(self._SyncObj__raftState)

    @property
    def term_now(self) -> int:
        return int(self._SyncObj__raftCurrentTerm)

    @property
    def leader_id(self) -> str | None:
        leader = self._SyncObj__raftLeader
        return None if leader is None else str(leader.id)

    @property
    def node_id(self) -> str:
        return str(self._SyncObj__selfNode.id)

    def voters(self) -> set[str]:
        peers = {str(node.id) for node in self._SyncObj__otherNodes}
        return peers | {self.node_id} if self.is_voter else peers

    def _majority(self, of: set[str]) -> bool:
        voters = self.voters()
        return len(of & voters) * 2 > len(voters)

    def allow_candidacy(self, allowed: bool) -> None:
        """Not allowed on a node that the log does not name, or names with another disk."""
        self.may_be_candidate = allowed

    # ---- promises wait for the disk ---------------------------------------------------------------------------------

    def promise(self, peer: str, message: messages.Message) -> bool:
        """Send what others will rely on, once everything written so far is on disk (Raft §5.1: "before responding").

        Stock 0.3.17 syncs nothing at all (test_no_fsync): a node that loses power forgets ballots and entries it
        promised, and two leaders of one term follow (test_lost_unsynced_tail).
        """
        if self.journal.synced >= self.journal.position:
            return self._owner.send(peer, message)
        if self._promises and _says_no_more(self._promises[-1], (self.journal.position, peer, message)):
            self._promises.pop()  # heartbeats go on while a disk hangs
        self._promises.append((self.journal.position, peer, message))
        self.journal.flush()
        return True

    def on_synced(self) -> None:
        while self._promises and self._promises[0][0] <= self.journal.synced:
            _, peer, message = self._promises.popleft()
            if message.term == self.term_now:  # a promise of an earlier term binds nobody any more
                self._owner.send(peer, message)

    def on_stock_message(self, node: Node, message: dict[str, Any]) -> bool:
        """What PySyncObj itself sends in elections, in our words."""
        kind, term = message["type"], self.term_now
        if kind == "request_vote":
            request = messages.RequestBallot(
                term,
                message["last_log_index"],
                message["last_log_term"],
                pre=False,
                transfer=self._transferring,
                to=self._owner.incarnation_of(node.id),
            )
            return self.promise(node.id, request)
        if kind == "response_vote":
            return self.promise(node.id, messages.Ballot(message["term"], pre=False))
        raise Halted(f"PySyncObj sent a {kind!r} message, which this layer should have replaced")

    # ---- standing for election --------------------------------------------------------------------------------------

    def tick_elections(self) -> None:
        """Stand only when a majority would elect us: the pre-vote of Raft thesis 9.6.

        Stock 0.3.17 raises its term and stands whenever it hears nothing, so that a node that comes back from a
        partition deposes a healthy leader (test_disruptive: 20 of 20).
        """
        alone = self.voters() == {self.node_id}  # nobody else can lead: there is nobody to wait for
        if self._disk_hangs() and not alone:
            self._step_down()
            return
        due = alone or self._SyncObj__raftElectionDeadline < monotonic_s()
        if self.role == LEADER or self._election_granted or not due:
            return
        self._SyncObj__raftElectionDeadline = monotonic_s() + self._retry_delay_s()
        if not self.is_voter or not self.may_be_candidate:
            return
        self._pre_ballots = {self.node_id}
        term, last = self.term_now + 1, self._last()
        for peer in sorted(self.voters() - {self.node_id}):
            self._owner.send(
                peer, messages.RequestBallot(term, *last, pre=True, transfer=False, to=self._owner.incarnation_of(peer))
            )
        self._check_pre_ballots()

    def _disk_hangs(self) -> bool:
        """Whether nothing became durable for long although something waits for it."""
        now_s, synced = monotonic_s(), self.journal.synced
        if synced >= self.journal.position or synced != self._synced_seen:
            self._synced_seen, self._synced_at_s = synced, now_s
        return now_s - self._synced_at_s > DISK_HANG_TIMEOUTS * self.timing.election_s

    def _step_down(self) -> None:
        """Without a disk nobody can commit or be elected; but with a leader that goes on saying that it is alive,
        nobody else would ever stand."""
        if self.role == LEADER:
            log.warning("the disk has hung for %d election timeouts: this node leads no more", DISK_HANG_TIMEOUTS)
            self._SyncObj__setState(FOLLOWER)
            self._SyncObj__raftLeader = None

    def _check_pre_ballots(self) -> None:
        if self._majority(self._pre_ballots):
            self._pre_ballots = set()
            self._start_election()

    def _start_election(self, *, transfer: bool = False) -> None:
        self._election_granted, self._transferring = True, transfer
        self._elections_since_leader += 1
        self._ballots = {self.node_id}
        self._SyncObj__raftElectionDeadline = 0  # the next tick is PySyncObj's own election

    def _SyncObj__connectedToAnyone(self) -> bool:
        """PySyncObj asks before it stands, by a later look at the clock than ours; and meanwhile the log may say that
        this node is no voter any more."""
        stands = self._election_granted and self.is_voter and self.may_be_candidate
        return stands and bool(super()._SyncObj__connectedToAnyone())

    def end_of_election_tick(self) -> None:
        """PySyncObj has sent its requests, or could not: then a majority is asked again, for a leader may come."""
        if self._election_granted:
            self._election_granted = self._transferring = self._SyncObj__transferInProgress = False

    def _last(self) -> tuple[int, int]:
        _, index, term = self.journal[-1]
        return index, term

    def leader_is_fresh(self) -> bool:
        """Whether a leader spoke within the shortest election timeout, or this node is one itself."""
        return self.role == LEADER or monotonic_s() - self._leader_heard_s < self.timing.election_s

    @property
    def silence_ms(self) -> int:
        """How long ago a leader last spoke to this node; at most some days, also if none ever did."""
        return int(min(monotonic_s() - self._leader_heard_s, 1e6) * 1000)

    def on_request_ballot(self, peer: str, request: messages.RequestBallot) -> None:
        """Answer a candidate, but not while a leader is alive (Raft thesis 4.2.3), and not without a memory.

        Whether our own log names us a voter is of no matter (Raft thesis 4.1), but whether the candidate's means this
        disk is: stock 0.3.17 answers every candidate at once (test_disruptive), also on a node whose disk was emptied
        (test_amnesia: 20 of 20 lose what was acknowledged).
        """
        if request.term < self.term_now + request.pre:  # it asks for a term that is ours already: let it catch up
            self._owner.send(peer, messages.Appended(self.term_now, 0, success=False, reset=False))
        if not self._owner.may_give_ballot(request.to) or (self.leader_is_fresh() and not request.transfer):
            return
        if request.pre:
            index, term = self._last()
            if request.term > self.term_now and (request.last_term, request.last_index) >= (term, index):
                self._owner.send(peer, messages.Ballot(request.term, pre=True))
            return
        stock = {
            "type": "request_vote",
            "term": request.term,
            "last_log_index": request.last_index,
            "last_log_term": request.last_term,
        }
        super()._SyncObj__onMessageReceived(Node(peer), stock)

    def on_ballot(self, peer: str, ballot: messages.Ballot) -> None:
        """Count each voter once. Stock 0.3.17 counts messages, a repeated one twice (test_repeated_ballot)."""
        if ballot.pre:
            if ballot.term == self.term_now + 1 and self._pre_ballots and self.role != LEADER:
                self._pre_ballots.add(peer)
                self._check_pre_ballots()
        elif peer not in self._ballots and ballot.term == self.term_now and peer in self.voters():
            self._ballots.add(peer)
            super()._SyncObj__onMessageReceived(Node(peer), {"type": "response_vote", "term": ballot.term})

    def on_timeout_now(self, peer: str, message: messages.TimeoutNow) -> None:
        """The leader hands over: stand at once, and say so, for its followers have a fresh leader."""
        if message.term == self.term_now and peer == self.leader_id and self.is_voter and self.may_be_candidate:
            self._SyncObj__transferInProgress = True
            self._start_election(transfer=True)

    # ---- terms ------------------------------------------------------------------------------------------------------

    def follow(self, peer: str, term: int) -> None:
        """A leader of a term at least ours spoke (Raft §5.2)."""
        if self.role == LEADER and term == self.term_now:
            raise Halted(f"{peer} and this node both lead term {term}: one of them forgot a ballot. Stopping")
        now_s = monotonic_s()
        if term > self.term_now:
            self._SyncObj__setCurrentTerm(term, None)
            self._SyncObj__transferInProgress = False
        self._SyncObj__setState(FOLLOWER)
        if not self._SyncObj__transferInProgress:
            self._election_granted = False
            self._SyncObj__raftElectionDeadline = now_s + self._SyncObj__generateRaftTimeout()
        self._SyncObj__raftLeader = Node(peer)
        self._leader_heard_s = now_s
        self._pre_ballots, self._elections_since_leader = set(), 0

    def connection_lost(self, peer: str) -> None:
        """The leader's end of the connection is gone: most likely the leader is, so ask the others soon.

        Only the pre-vote makes this safe: if just our link broke, the others still hear the leader and refuse.
        """
        if peer == self.leader_id and self.role == FOLLOWER:
            self._leader_heard_s = float("-inf")
            soon_s = monotonic_s() + self.timing.election_s * self._rng.uniform(0.02, 0.3)
            self._SyncObj__raftElectionDeadline = min(self._SyncObj__raftElectionDeadline, soon_s)

    def progress(self, peer: str) -> None:
        """Part of a big message came from the leader: it is alive, though the message is not whole yet. It is told
        that so are we, for nothing else may pass by that message."""
        if peer == self.leader_id and self.role == FOLLOWER:
            now_s = self._leader_heard_s = monotonic_s()
            self._SyncObj__raftElectionDeadline = now_s + self._SyncObj__generateRaftTimeout()
            if now_s - self._alive_sent_s >= self.timing.heartbeat_s:
                self._alive_sent_s = now_s
                self._owner.send(peer, messages.Appended(self.term_now, 0, success=False, reset=False))

    def learn_term(self, term: int) -> None:
        """Somebody is in a later term: this node leads no more."""
        if term > self.term_now:
            self._SyncObj__setCurrentTerm(term, None)
            self._SyncObj__setState(FOLLOWER)
            self._SyncObj__raftLeader = None
            self.journal.flush()

    def _retry_delay_s(self) -> float:
        """Until the next try when nobody leads: asking whether one would be elected disturbs no leader.

        Who stands again and again leaves more time: ballots come only when two disks have been synced, one after the
        other, and slow disks must not keep everybody from ever winning.
        """
        patience = 1 << min(max(self._elections_since_leader - 1, 0), BACKOFF_DOUBLINGS_MAX)
        return self.timing.election_s * self._rng.uniform(0.15, 0.6) * patience

    def _SyncObj__generateRaftTimeout(self) -> float:
        """Draw from our own generator, so that a simulation's seed decides. Stock draws from the module's.

        A candidate tries again sooner than a follower gives up on a leader: its ballots were split, nobody leads.
        """
        if self._election_granted or self.role == CANDIDATE:
            return self._retry_delay_s()
        return self.timing.election_s * (1 + self._rng.random())


def _says_no_more(before: _Promise, now: _Promise) -> bool:
    """Whether the later one of two promises that wait for the same says all that the earlier one does."""
    (_, _, earlier), (_, _, later) = before, now
    return (
        before[:2] == now[:2]
        and isinstance(earlier, messages.Appended)
        and isinstance(later, messages.Appended)
        and (earlier.term, earlier.success, earlier.reset) == (later.term, later.success, later.reset)
        and earlier.next_index <= later.next_index
        and earlier.round <= later.round
    )

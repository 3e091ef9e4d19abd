"""Leader election: PySyncObj's, made safe against power loss and against nodes that disturb a healthy leader.

Each override says what goes wrong without it in PySyncObj 0.3.17 and names the test that shows it on the stock library.
Overrides have the mangled names of PySyncObj's private methods. Its code calls them through self, so they can be
replaced.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.clock import monotonic_s
from quorate.cluster.raft.engine.leader_belief import LeaderBelief
from quorate.cluster.raft.engine.owner import EngineOwner
from quorate.cluster.raft.engine.port import EnginePort, NoPoller
from quorate.cluster.raft.engine.stock import RaftNode, SyncObj, SyncObjConf, field, raft_node, raft_nodes
from quorate.cluster.raft.storage.journal import Journal
from quorate.crash_points import crash_point
from quorate.errors import Halted

FOLLOWER, CANDIDATE, LEADER = 0, 1, 2
ROLES = ("follower", "candidate", "leader")
BACKOFF_DOUBLINGS_MAX = 3  # of the pause between failed elections
DISK_HANG_TIMEOUTS = 5  # a leader whose sync takes longer than this many election timeouts steps down

_Promise = tuple[int, str, messages.Message]  # the journal position to wait for, the peer, the message


@dataclass(frozen=True, slots=True)
class ElectionTiming:
    """All times of an election, derived from one setting: the shortest election timeout T, in seconds.

    Timeouts are drawn from [T, 2T) so that one node usually wins alone (Raft §9.3). A heartbeat is sent every T/5, so
    that several must be lost before a follower starts an election. A leader that has not heard a majority for T stops
    answering as leader.
    """

    election_s: float

    @property
    def heartbeat_s(self) -> float:
        return self.election_s / 5


class EngineParts(TypedDict):
    """What the engine is made with besides its name and the voters; its three classes pass it on."""

    journal: Journal
    owner: EngineOwner
    timing: ElectionTiming
    rng: random.Random


class Elections(SyncObj):  # type: ignore[misc]  # PySyncObj has no annotations
    """Ballots, terms and leaders. Single-threaded: every method runs on the node's loop."""

    def __init__(self, node_id: str, voters: Iterable[str], **parts: Unpack[EngineParts]) -> None:
        self.journal = journal = parts["journal"]
        self.timing = timing = parts["timing"]
        self.may_be_candidate = True  # see `allow_candidacy`
        self.is_voter = True
        self._owner = parts["owner"]
        self._rng = parts["rng"]
        self._promises: deque[_Promise] = deque()
        self._leader_heard_s = float("-inf")  # when the last message of a leader came
        self._followed: tuple[int, str] = (0, "")  # the term in which a leader was heard last, and that leader
        self._alive_sent_s = float("-inf")  # when the leader was last told, during a big message, that we are alive
        self._pre_ballots: set[str] = set()
        self._ballots: set[str] = set()
        self._synced_seen, self._synced_at_s = 0, monotonic_s()  # how far the disk was, and since when
        self._election_granted = False  # by a majority's pre-ballots, or by the leader's TimeoutNow
        self._transferring = False
        self._elections_since_leader = 0  # that this node has started
        self.elections = 0  # that this node has started since it runs
        self.belief = LeaderBelief(timing.election_s)
        # The fields above come first: SyncObj.__init__ makes the transport and calls our `generateRaftTimeout`, which
        # reads them. The fields of SyncObj that come from the journal are set after it, or it would overwrite them.
        super().__init__(
            raft_node(node_id),
            raft_nodes(peer for peer in voters if peer != node_id),
            SyncObjConf(
                autoTick=False,
                dynamicMembershipChange=False,  # the engine changes the members, see `Engine.set_members`
                commandsWaitLeader=False,
                raftMinTimeout=timing.election_s,
                raftMaxTimeout=timing.election_s * 2,
                connectionTimeout=timing.election_s * 2,  # unused, but PySyncObj checks that it is long enough
                appendEntriesPeriod=timing.heartbeat_s,
                leaderFallbackTimeout=timing.election_s,
            ),
            nodeClass=RaftNode,
            transportClass=lambda engine, me, others: EnginePort(engine, self.on_stock_message),
        )
        self._poller = NoPoller()
        self._SyncObj__raftLog = journal
        self._SyncObj__raftCurrentTerm = max(journal.getCurrentTerm(), journal[-1][2])
        self._SyncObj__votedForNodeId = journal.getVotedForNodeId()
        self._SyncObj__raftCommitIndex = journal.getRaftCommitIndex()
        self._SyncObj__raftLastApplied = journal.first_index

    _SyncObj__raftElectionDeadline: float
    _SyncObj__raftLeader: RaftNode | None

    # ---- short names for PySyncObj's fields -------------------------------------------------------------------------

    role: int = field("_SyncObj__raftState")
    term_now: int = field("_SyncObj__raftCurrentTerm")

    @property
    def leader_id(self) -> str | None:
        leader = self._SyncObj__raftLeader
        return None if leader is None else str(leader.id)

    @property
    def believed_leader(self) -> str | None:
        """The leader, unless it is another node and has been silent for too long."""
        return self.leader_id if self.role == LEADER or self.belief.holds else None

    @property
    def leader_of_term(self) -> str | None:
        """The node that this node has followed in its term; None if it has followed none yet."""
        term, leader = self._followed
        return leader if term == self.term_now and leader else None

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
        """Whether this node may start elections. Not if its cluster is not formed, or if the log means another disk."""
        self.may_be_candidate = allowed
        if not allowed:
            self._step_down()

    # ---- promises wait for the disk ---------------------------------------------------------------------------------

    def promise(self, peer: str, message: messages.Message) -> bool:
        """Send a message that peers rely on, once all records so far are on disk (Raft §5: "before responding").

        Stock 0.3.17 never syncs (test_no_fsync): a node that loses power forgets the ballots and entries that it
        promised, and then one term can have two leaders (test_lost_unsynced_tail).
        """
        if self.journal.synced >= self.journal.position:
            return self._owner.send(peer, message)
        if self._promises and _supersedes((self.journal.position, peer, message), self._promises[-1]):
            self._promises.pop()  # heartbeats go on while a disk hangs: without this the queue would grow
        self._promises.append((self.journal.position, peer, message))
        self.journal.flush()
        return True

    def on_synced(self) -> None:
        """More of the log is durable: send the promises that waited for it."""
        while self._promises and self._promises[0][0] <= self.journal.synced:
            _, peer, message = self._promises.popleft()
            if message.term == self.term_now:  # nobody may rely on a promise of an earlier term
                crash_point("ballot-before-send" if isinstance(message, messages.Ballot) else "promise-before-send")
                self._owner.send(peer, message)

    def on_stock_message(self, node: RaftNode, message: dict[str, Any]) -> bool:
        """Translate and send a message that PySyncObj itself sends in an election."""
        kind, term = message["type"], self.term_now
        if kind == "request_vote":
            crash_point("candidacy-before-write")
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
            crash_point("ballot-before-write")
            return self.promise(node.id, messages.Ballot(message["term"], pre=False))
        raise Halted(f"PySyncObj sent a {kind!r} message, which this layer should have replaced")

    # ---- starting an election ---------------------------------------------------------------------------------------

    def tick_elections(self) -> None:
        """Start an election only when a majority would elect this node: the pre-vote of Raft thesis 9.6.

        Stock 0.3.17 raises its term and starts an election whenever it hears no leader. A node that comes back from a
        partition then deposes a healthy leader (test_disruptive: 20 of 20).
        """
        self.belief.tick(monotonic_s())
        alone = self.is_voter and not self._SyncObj__otherNodes  # no other can lead: there is no leader to wait for
        if self.disk_hangs() and not alone:
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

    def disk_hangs(self) -> bool:
        """Whether records wait for the disk, and none has become durable for `DISK_HANG_TIMEOUTS`."""
        now_s, synced = monotonic_s(), self.journal.synced
        if synced >= self.journal.position or synced != self._synced_seen:
            self._synced_seen, self._synced_at_s = synced, now_s
        return now_s - self._synced_at_s > DISK_HANG_TIMEOUTS * self.timing.election_s

    def _step_down(self) -> None:
        """Lead no more: a disk that hangs, or that does not count, must not keep others from an election."""
        if self.role == LEADER:
            self._SyncObj__setState(FOLLOWER)
            self._SyncObj__raftLeader = None

    def _check_pre_ballots(self) -> None:
        if self._majority(self._pre_ballots):
            self._pre_ballots = set()
            self._start_election()

    def _start_election(self, *, transfer: bool = False) -> None:
        self._election_granted, self._transferring = True, transfer
        self._elections_since_leader += 1
        self.elections += 1
        self._ballots = {self.node_id}
        self._SyncObj__raftElectionDeadline = 0  # the next tick is PySyncObj's own election

    def _SyncObj__connectedToAnyone(self) -> bool:
        """PySyncObj asks this before it starts an election.

        Our own check came earlier. Meanwhile the timeout may have passed by PySyncObj's reading of the clock, or the
        log may say that this node is no voter any more.
        """
        granted = self._election_granted and self.is_voter and self.may_be_candidate
        return granted and bool(super()._SyncObj__connectedToAnyone())

    def end_of_election_tick(self) -> None:
        """PySyncObj has had its chance to send requests. The next election needs pre-ballots again."""
        if self._election_granted:
            self._election_granted = self._transferring = self._SyncObj__transferInProgress = False

    def _last(self) -> tuple[int, int]:
        _, index, term = self.journal[-1]
        return index, term

    def leader_is_fresh(self) -> bool:
        """Whether a leader was heard within the shortest election timeout, or this node is the leader."""
        return self.role == LEADER or monotonic_s() - self._leader_heard_s < self.timing.election_s

    @property
    def silence_ms(self) -> int:
        """The time since a leader was last heard; at most 1e6 s, also if no leader ever was."""
        return int(min(monotonic_s() - self._leader_heard_s, 1e6) * 1000)

    def on_request_ballot(self, peer: str, request: messages.RequestBallot) -> None:
        """Answer a candidate, unless a leader is alive (Raft thesis 4.2.3) or this disk is not the one it means.

        Whether our own log names this node as a voter does not matter (Raft thesis 4.1). It matters that the
        candidate's log means this disk: a new disk does not remember its ballots. Stock 0.3.17 answers every candidate
        at once (test_disruptive), also on a node whose disk was emptied (test_amnesia: 20 of 20 lose acknowledged
        entries).
        """
        if request.term < self.term_now + request.pre:  # the candidate's term is too old: tell it ours
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
        super()._SyncObj__onMessageReceived(raft_node(peer), stock)

    def on_ballot(self, peer: str, ballot: messages.Ballot) -> None:
        """Count each voter once. Stock 0.3.17 counts a repeated message twice (test_repeated_ballot)."""
        if ballot.pre:
            if ballot.term == self.term_now + 1 and self._pre_ballots and self.role != LEADER:
                self._pre_ballots.add(peer)
                self._check_pre_ballots()
        elif peer not in self._ballots and ballot.term == self.term_now and peer in self.voters():
            self._ballots.add(peer)
            super()._SyncObj__onMessageReceived(raft_node(peer), {"type": "response_vote", "term": ballot.term})

    def on_timeout_now(self, peer: str, message: messages.TimeoutNow) -> None:
        """The leader hands over: start an election at once, and say that the leader asked for it.

        Otherwise the voters would refuse, because they have just heard the leader.
        """
        if message.term == self.term_now and peer == self.leader_id and self.is_voter and self.may_be_candidate:
            self._SyncObj__transferInProgress = True
            self._start_election(transfer=True)

    # ---- terms ------------------------------------------------------------------------------------------------------

    def follow(self, peer: str, term: int) -> None:
        """Follow a leader whose message has our term or a later one (Raft §5.2)."""
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
        self._SyncObj__raftLeader, self._followed = raft_node(peer), (term, peer)
        self._leader_heard_s = now_s
        self.belief.heard()
        self._pre_ballots, self._elections_since_leader = set(), 0

    def connection_lost(self, peer: str) -> None:
        """The connection to the leader broke, so the leader has probably died: ask for pre-ballots soon.

        Only the pre-vote makes this safe: if only our connection broke, the others still hear the leader and refuse.
        """
        if peer == self.leader_id and self.role == FOLLOWER:
            self._leader_heard_s = float("-inf")
            self.belief.end()
            soon_s = monotonic_s() + self.timing.election_s * self._rng.uniform(0.02, 0.3)
            self._SyncObj__raftElectionDeadline = min(self._SyncObj__raftElectionDeadline, soon_s)

    def progress(self, peer: str) -> None:
        """Part of a big message came from the leader, so the leader is alive.

        Tell the leader that we are alive too: until the message is whole, there is nothing else to answer.
        """
        if peer == self.leader_id and self.role == FOLLOWER:
            now_s = self._leader_heard_s = monotonic_s()
            self.belief.heard()
            self._SyncObj__raftElectionDeadline = now_s + self._SyncObj__generateRaftTimeout()
            if now_s - self._alive_sent_s >= self.timing.heartbeat_s:
                self._alive_sent_s = now_s
                self._owner.send(peer, messages.Appended(self.term_now, 0, success=False, reset=False))

    def learn_term(self, term: int) -> None:
        """A peer is in a later term: this node leads no more."""
        if term > self.term_now:
            self._SyncObj__setCurrentTerm(term, None)
            self._SyncObj__setState(FOLLOWER)
            self._SyncObj__raftLeader = None
            self.journal.flush()

    def _retry_delay_s(self) -> float:
        """The pause before this node asks for pre-ballots again when nobody leads. It disturbs no leader.

        The pause doubles with each election that this node has started. A ballot needs two syncs, the candidate's and
        then the voter's; without the doubling, slow disks could keep every candidate from winning.
        """
        doublings = 1 << min(max(self._elections_since_leader - 1, 0), BACKOFF_DOUBLINGS_MAX)
        return self.timing.election_s * self._rng.uniform(0.15, 0.6) * doublings

    def _SyncObj__generateRaftTimeout(self) -> float:
        """Draw from our own generator, so that a simulation's seed decides. Stock draws from the `random` module's.

        A candidate whose ballots were split tries again sooner than a follower that may still hear from its leader.
        """
        if self._election_granted or self.role == CANDIDATE:
            return self._retry_delay_s()
        return self.timing.election_s * (1 + self._rng.random())


def _supersedes(new: _Promise, old: _Promise) -> bool:
    """Whether both wait for the same position and peer, and the new one tells everything that the old one does."""
    (_, _, later), (_, _, earlier) = new, old
    return (
        new[:2] == old[:2]
        and isinstance(earlier, messages.Appended)
        and isinstance(later, messages.Appended)
        and (earlier.term, earlier.success, earlier.reset) == (later.term, later.success, later.reset)
        and earlier.next_index <= later.next_index
        and earlier.round <= later.round
    )

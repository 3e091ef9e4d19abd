"""Keeps the engine, the connections and the bootstrap in step with the membership entries of the log.

A membership entry counts for ballots and copies as soon as it is in the log, committed or not (Raft thesis 4.1).
Connections to members that leave are kept until the entry is committed; then those members are told. The leader writes
the founders as the first membership entry, and makes a learner a voter when it has caught up. A node that learns that
it was removed stops, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from quorate.cluster.raft import members
from quorate.cluster.raft.engine.clock import monotonic_s
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.engine.proposal_outcome import ProposalOutcome
from quorate.cluster.raft.members import REMOVED, Member, Members
from quorate.cluster.raft.membership.addresses import AddressBook
from quorate.cluster.raft.membership.bootstrap import Bootstrap, is_founder
from quorate.cluster.raft.membership.past_member import PastMember
from quorate.cluster.raft.membership.search import Search
from quorate.cluster.raft.remembered import forgotten_words, new_disk_words
from quorate.cluster.raft.storage.directory import NodeIdentity
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.raft.transport.transport import PeerTransport
from quorate.crash_points import crash_point
from quorate.errors import Conflict, Invalid, NoLeader, OutcomeUnknown, Removed

CHANGE_S = 10.0
REFUSE_AFTER_S = 0.2  # a member that leaves still gets the answers to what it asked: its removal, perhaps


class Membership:
    """The members as this node's log has them, and the changes that a leader makes to them."""

    def __init__(
        self,
        node_id: str,
        engine: Engine,
        transport: PeerTransport,
        bootstrap: Bootstrap,
        past: PastMember,
        configured: Mapping[str, str],
        snapshot: SnapshotMeta | None,
    ) -> None:
        self._past, self._past_known = past, past.known
        self._node_id, self._engine, self._transport, self._bootstrap = node_id, engine, transport, bootstrap
        self._book, self._search = AddressBook(configured), Search(engine.timing.election_s, monotonic_s())
        self.others: Mapping[str, str] = {}  # where this node finds them: a peer that was away may not know
        self._base = members.decode(snapshot.members) if snapshot and snapshot.members else None
        self._committed: Members | None = None
        self._committed_index = 0
        self._introductions: dict[str, Introduction] = {}
        self._forgot = False  # this node's disk was found to be an old copy since it started
        self._change_open = False
        self._refuse_at_s: float | None = None
        self.current: Members | None = None
        self.member_at = 0  # an index of the log at which this disk was a member; 0 if this node knows none
        self._read_committed(snapshot)
        self.use_members(engine.members_at(engine.journal.last_index))

    # ---- from the log -----------------------------------------------------------------------------------------------

    def use_members(self, data: bytes) -> None:
        """Use these members from now on; b"" means those of the snapshot before the log, or the configured peers."""
        self.current = members.decode(data) if data else self._base
        if self.current is not None:
            self._engine.set_members(self.current.voters(), self.current.learners())
        else:
            # A majority of a formed cluster is one of its founders, whatever peers are configured now.
            formed = self._bootstrap.identity.members
            self._engine.set_members(formed or self._bootstrap.expected or set(self._book.configured) - {self._node_id})
        self._update_connections()

    def _read_committed(self, snapshot: SnapshotMeta | None) -> None:
        """Take from the disk what is surely committed. Raises `Removed` if that is the removal of this node."""
        engine = self._engine
        if self._base is not None and snapshot is not None:
            self._note_committed(self._base, snapshot.index)
        for index, data in engine.member_entries(engine.commit_index):
            self._note_committed(members.decode(data), index)
        if not self.member_at and self._bootstrap.remembers_ballots:
            # The disk was a member; one that was found to be an old copy is none yet. So the first entry that names it
            # is committed, though this node forgot it.
            entries = engine.member_entries(engine.journal.last_index)
            self.member_at = next((index for index, data in entries if self._is_me(members.decode(data))), 0)
        self._check_not_removed()

    def _note_committed(self, known: Members, index: int) -> None:
        """Entries are committed again after a start: the newest one stays."""
        if index >= self._committed_index:
            self._committed, self._committed_index = known, index
        if self._is_me(known):
            self.member_at = max(self.member_at, index)

    def _check_not_removed(self) -> None:
        if self._committed is not None and self._has_left(self._bootstrap.identity, self.member_at):
            raise self.removed(f"({self._committed.reason})")

    def removed(self, how: str) -> Removed:
        """The error with which this node stops."""
        return Removed(
            f"this node was {REMOVED} {how}; its data directory is of no more use. To take {self._node_id} in again, "
            f"remove all but settings from the directory and add it: quorate members add {self._node_id} HOST:PORT"
        )

    def committed(self, data: bytes, index: int) -> None:
        """A membership entry is committed. Raises `Removed` if it removes this node."""
        crash_point("members-committed")
        self._note_committed(members.decode(data), index)
        self._check_not_removed()
        self._update_connections()

    def snapshot_installed(self, snapshot: SnapshotMeta) -> None:
        """A snapshot has replaced the log, and its members those of the log."""
        self._base = members.decode(snapshot.members) if snapshot.members else None
        if snapshot.members:
            self.committed(snapshot.members, snapshot.index)
        self.use_members(self._engine.members_at(self._engine.journal.last_index))

    def at(self, index: int) -> bytes:
        """The members at `index` of the log, encoded for a snapshot."""
        return self._engine.members_at(index) or (members.encode(self._base) if self._base else b"")

    def _is_me(self, of: Members | None) -> bool:
        me = None if of is None else of.get(self._node_id)
        return me is not None and me.incarnation == self._bootstrap.identity.incarnation

    def _update_connections(self) -> None:
        """Connect with all members, of the last committed entry and of the newest. Refuse other connected peers soon.

        A node that the log does not name, or that has no leader, connects with its configured peers too.
        """
        self._dial()
        self._refuse_soon()
        self.update_candidacy()

    def _refuse_soon(self) -> None:
        if self._refuse_at_s is None:
            self._refuse_at_s = monotonic_s() + REFUSE_AFTER_S

    def _dial(self) -> None:
        """Tell the transport all addresses of the peers to be connected with."""
        logged: dict[str, list[str]] = {}
        if self.current is None or self.current.get(self._node_id) is None or self._search.is_on:
            logged.update({id: [] for id in self._book.configured})
        for known in (self.current, self._committed):
            for member in () if known is None else known.members:
                logged.setdefault(member.id, []).append(member.raft)
        logged.pop(self._node_id, None)
        self._transport.set_members({id: self._book.candidates(id, each) for id, each in logged.items()})
        self.others = {id: self._book.own_word(id) or each[0] for id, each in logged.items() if each}

    def refuse_peers(self, refusal: Callable[[Introduction], str | None]) -> None:
        """Close the connections to the peers that `refusal` gives a reason for, and tell them."""
        for peer, introduction in list(self._introductions.items()):
            why = refusal(introduction) if self._transport.is_open(peer) else None
            if why is not None:
                self._transport.refuse(peer, why)

    def update_candidacy(self) -> None:
        """Allow elections if the cluster is formed and the log, if it names this node, means this disk."""
        if self._committed is not None and self._is_me(self._committed):
            self._bootstrap.join({member.id: member.incarnation for member in self._committed.members})
        me = None if self.current is None else self.current.get(self._node_id)
        mine = self._bootstrap.remembers_ballots if self.current is None else me is None or self._is_me(self.current)
        self._engine.allow_candidacy(self._bootstrap.formed and mine)

    def forget(self, incarnation: str) -> None:
        """This node's disk is another one from now on, which never was a member."""
        self._bootstrap.forget(incarnation)
        self.member_at, self._forgot = 0, True

    @property
    def disowned(self) -> str | None:
        """In words: the log means another disk than this node's; neither its copies nor its ballots count. Or None.

        The log of a disk that is an old copy may end before the entry that made it a voter.
        """
        meant = self.incarnation_of(self._node_id)  # "" if the log does not name this node, or not which disk is meant
        if meant == self._bootstrap.identity.incarnation or (not meant and not self._forgot):
            return None
        words = forgotten_words if self._bootstrap.formed or self._forgot else new_disk_words
        return words(self._node_id)

    def may_give_ballot(self, to: str) -> bool:
        """Whether this disk remembers every ballot of the voter that a candidate means: the one with incarnation `to`.

        A disk remembers the ballots of its own incarnation. If `to` is "", the candidate's log names no members yet: it
        means the founders.
        """
        return to == self._bootstrap.identity.incarnation if to else self._bootstrap.remembers_ballots

    def incarnation_of(self, peer: str) -> str:
        member = None if self.current is None else self.current.get(peer)
        return "" if member is None else member.incarnation

    def has_known_disk(self, peer: str) -> bool:
        """Whether the connected peer has the disk that the log means.

        Answers from another disk do not count, because it has forgotten the promises of the first one.
        """
        known, introduction = self.incarnation_of(peer), self._introductions.get(peer)
        return not known or introduction is None or introduction.incarnation == known

    def told_incarnation(self, peer: str) -> str:
        """The incarnation that the peer introduced itself with last; "" if it never did."""
        introduction = self._introductions.get(peer)
        return "" if introduction is None else introduction.incarnation

    def have_all_introduced(self, peers: Iterable[str]) -> bool:
        return all(peer in self._introductions for peer in peers)

    def set_initial_peers(self, peers: Mapping[str, str]) -> None:
        """Connect with these peers while the log names no members. Later they are further addresses of members."""
        self._book.configured = dict(peers)
        self.use_members(self._engine.members_at(self._engine.journal.last_index))

    # ---- from the connections ---------------------------------------------------------------------------------------

    def introduced(self, peer: str, introduction: Introduction) -> None:
        """A peer was accepted. If it has another disk than before, its copies no longer count."""
        before = self._introductions.get(peer)
        if before is not None and before.incarnation != introduction.incarnation:
            self._engine.forget_copies(peer)
        self._introductions[peer] = introduction
        if any([self._book.hear(peer, introduction.raft), self._book.hear_of_others(peer, introduction.others)]):
            self._dial()

    def refusal(self, peer: str, introduction: Introduction) -> str | None:
        """The reason to refuse a peer that was removed, or that this node's log does not name; or None.

        A peer that shows that it was a member is accepted unless it surely was removed. It may have joined later than
        our log tells, and it may even be the leader that will send us the newer log.
        """
        if self._has_left(introduction, introduction.member_at):
            replaced = self._committed is not None and self._committed.get(peer) is not None
            return f"{peer} was {REMOVED}" + (f": {peer} has another disk now" if replaced else "")
        if self.takes_for_member(peer, introduction):
            return None
        if self.current is None:
            return f"{peer} is not among this node's raft.peers"
        return f"{peer} is no member of this cluster yet: quorate members add {peer} HOST:PORT"

    def takes_for_member(self, peer: str, introduction: Introduction) -> bool:
        """Whether the log names it, or it has shown that it was a member, or this node has nothing to lose yet."""
        if any(known is not None and known.get(peer) for known in (self.current, self._committed)):
            return True
        if self._past.believes(introduction):
            return True
        if self.current is None:
            return peer in self._book.configured
        return self.current.get(self._node_id) is None and not self._past.has_secret  # it is being taken in

    def impostor(self, introduction: Introduction, replaces: Introduction | None) -> str | None:
        """The reason to refuse a node whose connection would replace that of the member with the right disk, or None.

        For example a node with an empty disk at the member's old address.
        """
        peer = introduction.node_id
        known = self.incarnation_of(peer)
        if replaces is None or not known or replaces.incarnation != known or introduction.incarnation == known:
            return None
        return f"{peer} is connected, with the disk that the log means; this node calls itself {peer} and has another"

    def _has_left(self, disk: NodeIdentity | Introduction, member_at: int) -> bool:
        """Whether a committed membership is known that lacks the disk and is later than one that had it.

        A disk does not become a member a second time. So whoever knows a later membership without it knows enough,
        whenever it joined itself, and however little of the log the disk has.
        """
        known = self._committed
        if known is None or disk.cluster_id is None or disk.cluster_id != self._bootstrap.identity.cluster_id:
            return False
        member = known.get(disk.node_id)
        if member is not None and member.incarnation == disk.incarnation:
            return False
        return 0 < member_at < self._committed_index or is_founder(disk)

    # ---- changes, on the leader -------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Refuse the peers that have left, and look for others. As a leader: write the founders into the log, and make
        learners that have caught up voters."""
        engine = self._engine
        if self._past.known != self._past_known:
            self._past_known = self._past.known
            self._refuse_soon()
        if self._refuse_at_s is not None and monotonic_s() >= self._refuse_at_s:
            self._refuse_at_s = None
            self.refuse_peers(lambda introduction: self.refusal(introduction.node_id, introduction))
        if self._search.changes(engine.believed_leader, monotonic_s()):
            self._dial()
        if self._change_open or not engine.may_change_members:
            return
        if self.current is None:
            founders = self._bootstrap.identity.members or {}
            configured = self._book.configured
            if set(founders) <= set(configured):
                self.propose(members.founding({id: configured[id] for id in founders}, founders))
            return
        for member in self.current.members:
            introduction = self._introductions.get(member.id)
            if not member.voter and introduction and self._transport.is_open(member.id) and engine.caught_up(member.id):
                self.propose(self.current.promoting(member.id, introduction.incarnation))
                return

    def propose(self, changed: Members) -> asyncio.Future[None]:
        """As a leader: put these members into the log. Fails with `NoLeader` if another change is under way."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: done.exception())  # it is seen: not every caller waits for it

        def done(result: object, outcome: ProposalOutcome) -> None:
            self._change_open = False
            if answer.done():
                return
            if outcome is ProposalOutcome.COMMITTED:
                answer.set_result(None)
            else:
                answer.set_exception(
                    NoLeader("another leader took over; the members did not change")
                    if outcome is ProposalOutcome.NEVER
                    else OutcomeUnknown("another leader took over before a majority had confirmed the change")
                )

        self._change_open = True
        if self._engine.propose_members(members.encode(changed), done) is None:
            self._change_open = False
            answer.set_exception(NoLeader("this node does not lead now, or another change is under way"))
        crash_point("members-proposed")
        return answer

    async def change(self, make: Callable[[Members], Members]) -> Members:
        """Make a change and wait until it is committed. Leader only.

        Raises the errors of `make`, `NoLeader`, `Conflict`, or `OutcomeUnknown` after `CHANGE_S`.
        """
        try:
            async with asyncio.timeout(CHANGE_S):
                while self._change_open or not self._engine.may_change_members or self.current is None:
                    if not self._engine.leads_its_term:
                        raise NoLeader("this node does not lead now")
                    await asyncio.sleep(0.02)
                changed = make(self.current)
                if changed.members == self.current.members:
                    return self.current
                if self._node_id not in changed.voters():  # PySyncObj always counts the leader's own copy
                    raise Invalid(
                        f"{self._node_id} leads: it does not remove itself. First: quorate leader --hand-over"
                    )
                self._check_committable(changed)
                await asyncio.shield(self.propose(changed))
                return changed
        except TimeoutError:
            raise OutcomeUnknown(f"no majority confirmed the change within {CHANGE_S:.0f} s") from None

    def _check_committable(self, changed: Members) -> None:
        """Raises `Conflict` if the voters that answer now are no majority of the changed members.

        A change counts as soon as it is in the log. A change that cannot be committed would leave the cluster without
        a majority.
        """
        missing = changed.voters() - {self._node_id} - self._engine.responsive_peers()
        if changed.voters() != (self.current or changed).voters() and 2 * len(missing) >= len(changed.voters()):
            raise Conflict(
                f"without {', '.join(sorted(missing))} there would be no majority, and nothing is heard of it now. "
                f"Bring it back, or: quorate members remove {min(missing)}"
            )

    def told_levels(self) -> dict[str, int | None]:
        """The feature level that each other member has told; None if it is not connected, or has another disk."""
        return {
            member.id: self._introductions[member.id].level
            if self._transport.is_open(member.id) and self.has_known_disk(member.id)
            else None
            for member in self.list_members()
            if member.id != self._node_id
        }

    def connected_incarnation(self, peer: str) -> str | None:
        introduction = self._introductions.get(peer)
        return introduction.incarnation if introduction is not None and self._transport.is_open(peer) else None

    def told_address(self, member: Member) -> str:
        """Where a connected member says it is; "" if it tells no address, or has not the disk that the log means."""
        introduction = self._introductions.get(member.id)
        if introduction is None or self.connected_incarnation(member.id) != member.incarnation:
            return ""
        return introduction.raft

    def connected_members(self) -> list[str]:
        """The other members that are connected, with the disks that the log means."""
        others = () if self.current is None else self.current.members
        return [m.id for m in others if m.incarnation and self.connected_incarnation(m.id) == m.incarnation]

    def list_members(self) -> list[Member]:
        return list(self.current.members) if self.current else []

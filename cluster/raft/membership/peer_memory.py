"""Remembers what the disks of peers surely had, and finds out whether this node's own disk has forgotten something.

A leader sees what its followers acknowledge, a follower sees its leader, a candidate sees its ballots. Besides, each
node tells in its introductions what its own disk has and what it remembers of all others. Introductions are sent again
when there is news. So the knowledge does not end with the node that saw it first.

What a peer remembers counts only when the peer has accepted this node: it may find out that the two have different
histories (`histories.py`). A node of another one remembers entries of its own, and this disk, which lacks them, has
forgotten nothing.

It is written to `storage/memory_file.py` on a thread of its own, never in the way of the log's syncs: within `WRITE_S`,
which outlives a killed process, and synced within `SYNC_S`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.elections import FOLLOWER, LEADER
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.membership.bootstrap import Bootstrap
from quorate.cluster.raft.membership.membership import Membership
from quorate.cluster.raft.remembered import OnDisk, Remembered, both, forgotten
from quorate.cluster.raft.storage.memory_file import MemoryFile
from quorate.cluster.raft.storage.writer import Writer
from quorate.cluster.raft.transport.handshake.introduction import Introduction

LOOK_S = 0.1
WRITE_S = 0.25
SYNC_S = 5.0
CLOSE_S = 5.0
KNOWN_MAX = 1_000  # disks that are kept in mind; more than any cluster has had lately

log = logging.getLogger(__name__)


class _Memories(msgspec.Struct, array_like=True):
    cluster_id: str
    known: list[Remembered]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Memories).decode


class PeerMemory:
    """Ticked by the replica, on the loop. `stored` is what `file` held at start."""

    def __init__(
        self,
        node_id: str,
        engine: Engine,
        membership: Membership,
        bootstrap: Bootstrap,
        file: MemoryFile,
        writer: Writer,
        stored: bytes,
    ) -> None:
        self._node_id, self._engine, self._membership, self._bootstrap = node_id, engine, membership, bootstrap
        self._file, self._writer = file, writer
        self._known: dict[tuple[str, str], Remembered] = {}  # by node id and incarnation
        self._unproved: dict[str, Introduction] = {}  # of connected peers that may still refuse this node
        self._told: list[Remembered] = []
        self._look_at_s = self._write_at_s = self._sync_at_s = float("-inf")
        self.has_news = False  # whether something is known that peers were not told
        self._changed = self._unsynced = self._writing = self._warned = False
        self._load(stored)

    def _load(self, stored: bytes) -> None:
        if not stored:
            return
        try:
            found = _decode(stored)
        except messages.MALFORMED as error:
            log.warning("what this node remembered of its peers cannot be read (%s): it begins anew", error)
            return
        if found.cluster_id == self._bootstrap.identity.cluster_id:
            self._known = {(each.node_id, each.incarnation): each for each in found.known}

    # ---- learning ---------------------------------------------------------------------------------------------------

    def note(self, known: Remembered) -> None:
        if known.node_id == self._node_id or not known.incarnation:
            return
        key = known.node_id, known.incarnation
        before = self._known.get(key)
        now = known if before is None else both(before, known)
        if now != before:
            self._known[key] = now
            self._changed = True
        if len(self._known) > KNOWN_MAX:
            self._known = {(each.node_id, each.incarnation): each for each in self._worth_keeping()}

    def heard(self, peer: str, message: messages.Message) -> None:
        """A ballot, or the request for one: both waited for the peer's disk, so it knows of its ballot."""
        match message:
            case messages.Ballot(pre=False):
                self._note_ballot(peer, message.term, self._node_id)
            case messages.RequestBallot(pre=False):
                self._note_ballot(peer, message.term, peer)

    def _note_ballot(self, peer: str, term: int, ballot: str) -> None:
        self.note(Remembered(peer, self._membership.told_incarnation(peer), term=term, ballot=ballot))

    def look(self) -> None:
        """Note what the engine sees: a leader, which copies are on its followers' disks; a follower, its leader.

        A leader has committed entries on its own disk: only there its copy counts, and it asked for ballots only after
        its log was synced. The only voter asks nobody, so its disk may not know the term until an entry of the term is
        committed.
        """
        engine = self._engine
        if engine.role == LEADER:
            for peer in engine.voters() - {self._node_id}:
                self._note_entry(peer, min(engine.copied_index(peer), engine.commit_index))
        elif engine.role == FOLLOWER and engine.leader_id is not None:
            self._note_entry(engine.leader_id, engine.commit_index)
            if engine.term_at(engine.commit_index) == engine.term_now:
                self._note_ballot(engine.leader_id, engine.term_now, engine.leader_id)

    def _note_entry(self, peer: str, index: int) -> None:
        if index >= self._engine.journal.first_index:
            term = self._engine.term_at(index)
            self.note(Remembered(peer, self._membership.told_incarnation(peer), entry_term=term, entry_index=index))

    def introduced(self, introduction: Introduction, *, again: bool) -> str:
        """A peer has introduced itself. If it does so again, on a connection that stands, it has accepted this node.

        Returns what this node's own disk has forgotten, in words, or "".
        """
        if introduction.level:  # 0.1.0 remembers nothing
            self._unproved[introduction.node_id] = introduction
        return self.accepted_by(introduction.node_id) if again else ""

    def accepted_by(self, peer: str) -> str:
        """The peer has accepted this node: learn what it remembers. Returns what `introduced` does."""
        introduction = self._unproved.pop(peer, None)
        return "" if introduction is None else self._learn(introduction)

    def have_all_told(self, peers: Iterable[str]) -> bool:
        """Whether nothing that a peer remembers is still to be learned."""
        return not self._unproved.keys() & set(peers)

    def _learn(self, introduction: Introduction) -> str:
        identity, missing = self._bootstrap.identity, ""
        mine = self._node_id, identity.incarnation
        # A disk from before it joined knows no cluster. Peers know its incarnation, and a later log makes it a voter.
        if introduction.cluster_id is None or identity.cluster_id not in (None, introduction.cluster_id):
            return missing
        for known in introduction.remembered:
            if max(known.term, known.entry_term) > self._engine.term_now + messages.TERMS_AHEAD_MAX:
                continue  # no disk was ever in such a term
            if (known.node_id, known.incarnation) == mine:
                missing = missing or forgotten(self._on_disk(), known, self._held_term(known.entry_index))
            else:
                self.note(known)
        return missing

    # ---- this node's own disk ---------------------------------------------------------------------------------------

    def _on_disk(self) -> OnDisk:
        journal = self._engine.journal
        term, ballot = journal.synced_vote
        return OnDisk(self._engine.term_at(journal.synced_index), journal.synced_index, term, ballot or "")

    def _held_term(self, index: int) -> int | None:
        journal = self._engine.journal
        return self._engine.term_at(index) if journal.first_index <= index <= journal.last_index else None

    def own(self) -> Remembered:
        """What peers may rely on: durable here, and committed."""
        engine, identity = self._engine, self._bootstrap.identity
        index = min(engine.commit_index, engine.journal.synced_index)
        disk = self._on_disk()
        return Remembered(self._node_id, identity.incarnation, engine.term_at(index), index, disk.term, disk.ballot)

    def to_tell(self) -> list[Remembered]:
        """For introductions: what this node's disk has, and what it remembers of the others."""
        self.look()
        self._told, self.has_news = [self.own(), *self._worth_keeping()], False
        return self._told

    def _worth_keeping(self) -> list[Remembered]:
        """Of each peer the disk that the log means, and the one that introduced itself."""
        membership = self._membership
        return [
            known
            for (peer, incarnation), known in sorted(self._known.items())
            if incarnation in (membership.incarnation_of(peer), membership.told_incarnation(peer))
        ]

    # ---- telling and writing ----------------------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Look and write when it is time to."""
        if now_s >= self._look_at_s and self._bootstrap.formed:
            self._look_at_s = now_s + LOOK_S
            self.look()
            self.has_news = self._told != [self.own(), *self._worth_keeping()]
            self._write_if_due(now_s)

    def peer_lost(self, peer: str, now_s: float) -> None:
        """From now on the peer's disk may be exchanged, and this node may end too: write at once what that disk had."""
        self.look()
        self._unproved.pop(peer, None)
        if self._changed or self._unsynced:
            self._sync_at_s = now_s
            self._write_if_due(now_s)

    def _write_if_due(self, now_s: float) -> None:
        sync = now_s >= self._sync_at_s and (self._changed or self._unsynced)
        if self._writing or not (sync or (self._changed and now_s >= self._write_at_s)):
            return
        self._write_at_s = now_s + WRITE_S
        if sync:
            self._sync_at_s = now_s + SYNC_S
        self._writing, self._changed, self._unsynced = True, False, not sync
        data = self._encoded()
        self._writer.run(lambda: self._file.write(data, durable=sync), self._written)

    def _written(self, result: BaseException | None) -> None:
        self._writing = False
        if result is None:
            self._warned = False
            return
        self._changed = True
        if not self._warned:
            self._warned = True
            log.warning("what this node remembers of its peers cannot be written (%s); trying on", result)

    def close(self) -> None:
        """Write all and sync it; blocking, for an orderly stop. Never raises."""
        self.look()
        data = self._encoded()
        try:
            self._writer.wait(lambda: self._file.write(data, durable=True), timeout_s=CLOSE_S)
        except Exception as error:
            log.warning("what this node remembers of its peers was not written: %s", error)

    def _encoded(self) -> bytes:
        known: Iterable[Remembered] = self._worth_keeping()
        return _encode(_Memories(self._bootstrap.identity.cluster_id or "", list(known)))

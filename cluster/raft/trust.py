"""What is taken from a member: a message that makes no sense is dropped, and said once in a while.

A member may lie, or may have the memory of another cluster. What it says can be checked against what this node knows
for sure: its own log, and who leads its term. So one peer's word never stops this node. (What this node finds out about
itself still does: a disk that fails, an entry that is committed and cannot be applied.) A leader is believed about what
is new. Raft does not bear a leader that lies about that.
"""

from __future__ import annotations

import logging

from quorate.cluster.raft import members, messages
from quorate.cluster.raft.engine.clock import monotonic_s
from quorate.cluster.raft.engine.elections import LEADER
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.engine.replication import KINDS, MEMBERS
from quorate.cluster.raft.line_limit import LineLimit
from quorate.errors import DataError

SAID_EVERY_S = 60.0

log = logging.getLogger(__name__)


class Trust:
    """Asked before any Raft message is taken."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lines: dict[str, LineLimit] = {}
        self.dropped = 0

    def drops(self, peer: str, message: messages.Message) -> bool:
        """Whether the message makes no sense. Then it is said, and nothing else may be done with it."""
        why = self._problem(peer, message)
        if why is None:
            return False
        self.dropped += 1
        limit = self._lines.setdefault(peer, LineLimit(1, SAID_EVERY_S))
        if (more := limit.allow(monotonic_s())) is not None:
            log.error("%s sent what makes no sense, and it was passed over: %s%s", peer, why, more)
        return True

    def _problem(self, peer: str, message: messages.Message) -> str | None:
        """In words, or None."""
        term = self._engine.term_now
        if message.term > term + messages.TERMS_AHEAD_MAX:
            return f"a message of term {message.term}, and this node is in term {term}"
        match message:
            case messages.Append():
                return self._of_leader(peer, message) or self._append(message)
            case messages.SnapshotChunk():
                return self._of_leader(peer, message) or self._chunk(message)
            case messages.Appended():
                return self._appended(message)
            case messages.RequestBallot(term=asked, last_term=last) if last >= asked:
                return f"it asks for a ballot of term {asked}, and its log ends in term {last}"
        return None

    def _of_leader(self, peer: str, message: messages.Append | messages.SnapshotChunk) -> str | None:
        """A term has one leader."""
        engine = self._engine
        if message.term != engine.term_now:
            return None
        if engine.role == LEADER:
            engine.doubt_own_term()
            return f"it leads term {message.term}, and so does {engine.node_id}: one node has forgotten a ballot"
        if engine.leader_of_term not in (None, peer):
            return f"it leads term {message.term}, which {engine.leader_of_term} leads"
        return None

    def _append(self, message: messages.Append) -> str | None:
        if message.term < self._engine.term_now:
            return None  # it is old, and is answered as that
        before = message.prev_term
        for term, command in message.entries:
            if not before <= term <= message.term:
                return f"an entry of term {term} after one of term {before}, sent in term {message.term}"
            if command[:1] not in KINDS:
                return f"an entry of the unknown kind {command[:1]!r}"
            if command[:1] == MEMBERS and not _are_members(command[1:]):
                return "a membership entry that cannot be read"
            before = term
        if message.prev_term > message.term:
            return f"an entry of term {message.prev_term}, in term {message.term}"
        return self._rewrites(message)

    def _rewrites(self, message: messages.Append) -> str | None:
        """Whether it has another entry than our log where ours is committed."""
        engine, prev = self._engine, message.prev_index
        committed = min(prev + len(message.entries), engine.commit_index)
        for index in range(max(prev, engine.journal.first_index), committed + 1):
            term = message.prev_term if index == prev else message.entries[index - prev - 1][0]
            if (why := self._differs(index, term)) is not None:
                return why
        return None

    def _chunk(self, chunk: messages.SnapshotChunk) -> str | None:
        if chunk.term < self._engine.term_now:
            return None
        if chunk.index_term > chunk.term or chunk.offset + len(chunk.data) > chunk.size:
            return f"a piece of a snapshot that ends at entry {chunk.index} of term {chunk.index_term}"
        if chunk.members and not _are_members(chunk.members):
            return "a snapshot whose members cannot be read"
        engine = self._engine
        same = engine.journal.first_index <= chunk.index <= engine.journal.last_index and (
            engine.term_at(chunk.index) == chunk.index_term
        )
        if same and engine.journal.chain_at(chunk.index) != chunk.chain:
            return f"a snapshot whose log differs from ours at entry {chunk.index}, or before it"
        return self._differs(chunk.index, chunk.index_term)

    def _differs(self, index: int, term: int) -> str | None:
        """Whether our log has another entry there, which is committed. Committed entries are the same on all nodes."""
        engine = self._engine
        if not engine.journal.first_index <= index <= engine.commit_index or engine.term_at(index) == term:
            return None
        ours = engine.term_at(index)
        return (
            f"its log has an entry of term {term} at index {index}; ours has one of term {ours}, which is committed "
            "and stays"
        )

    def _appended(self, message: messages.Appended) -> str | None:
        engine = self._engine
        if engine.role != LEADER or message.term != engine.term_now:
            return None
        if message.next_index > engine.journal.last_index + 1:
            return f"it holds entry {message.next_index - 1}, and the leader's log ends at {engine.journal.last_index}"
        if message.round > engine.read_round:
            return f"it answers round {message.round} of reads, and there were {engine.read_round}"
        return None


def _are_members(data: bytes) -> bool:
    try:
        members.decode(data)
    except DataError:
        return False
    return True

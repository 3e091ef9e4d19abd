"""One engine alone: the test gives it every message, tick and sync."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import TracebackType
from typing import Self

import pysyncobj.syncobj

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.elections import ElectionTiming
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.engine.proposal_outcome import ProposalOutcome
from quorate.cluster.raft.engine.replication import REGULAR
from quorate.cluster.raft.trust import Trust
from tests.unit.raft.small_logs import Disk

ELECTION_S = 1.0


class OneEngine:
    """The engine of node a, in a cluster of a, b and c, connected with both. A context: it has its own clock."""

    def __init__(self, disk: Disk | None = None, *, voters: str = "abc") -> None:
        self.disk = disk or Disk()
        self.now_s = 100.0
        self.sent: list[tuple[str, messages.Message]] = []
        self.applied: list[bytes] = []
        self.outcomes: list[ProposalOutcome] = []
        self.backlogs: dict[str, int] = {}
        self._voters = voters
        self._clock = pysyncobj.syncobj.monotonicTime

    def __enter__(self) -> Self:
        pysyncobj.syncobj.monotonicTime = lambda: self.now_s
        self.journal = self.disk.open(on_synced=lambda: self.engine.on_synced())
        self.engine = Engine(
            "a",
            self._voters,
            journal=self.journal,
            owner=self,
            timing=ElectionTiming(ELECTION_S),
            rng=random.Random(1),
        )
        self.trust = Trust(self.engine)
        for peer in self._voters.replace("a", ""):
            self.engine.peer_connected(peer)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        pysyncobj.syncobj.monotonicTime = self._clock

    # ---- what the engine asks, see `EngineOwner` -----------------------------------------------------------------

    def send(self, peer: str, message: messages.Message) -> bool:
        self.sent.append((peer, message))
        return True

    def backlog(self, peer: str) -> int:
        return self.backlogs.get(peer, 0)

    def apply(self, payload: bytes, index: int, term: int) -> None:
        self.applied.append(payload)

    def apply_level(self, payload: bytes) -> None:
        pass

    def may_give_ballot(self, incarnation: str) -> bool:
        return True

    def incarnation_of(self, peer: str) -> str:
        return ""

    def has_known_disk(self, peer: str) -> bool:
        return True

    def members_changed(self, members: bytes) -> None:
        pass

    def members_committed(self, members: bytes, index: int) -> None:
        pass

    def offer_snapshot(self, peer: str) -> None:
        pass

    def cancel_snapshot(self, peer: str) -> None:
        pass

    # ---- the script ------------------------------------------------------------------------------------------------

    def says(self, step: Callable[[], object]) -> list[tuple[str, messages.Message]]:
        """Run a step. Returns the messages that the engine sends in it."""
        self.sent.clear()
        step()
        return list(self.sent)

    def hears(self, peer: str, message: messages.Message) -> list[tuple[str, messages.Message]]:
        """Give it a message. Returns its immediate answers; those that wait for the disk come with `syncs`."""

        def hear() -> None:
            if not self.trust.drops(peer, message):
                self.engine.receive(peer, message)

        return self.says(hear)

    def syncs(self) -> list[tuple[str, messages.Message]]:
        def sync() -> None:
            self.journal.flush()
            self.disk.writer.drain()

        return self.says(sync)

    def follows(self, term: int, *commands: bytes, prev: tuple[int, int] = (1, 0), commit: int = 0) -> None:
        """Let it take entries of this term from b and sync them."""
        entries = [(term, REGULAR + command) for command in commands]
        self.hears("b", messages.Append(term, commit, *prev, entries))
        self.syncs()

    def leads(self) -> int:
        """Let it be elected, with b's pre-ballot and ballot. Returns the term."""
        self.now_s += 3 * ELECTION_S
        self.engine.tick()
        self.hears("b", messages.Ballot(self.engine.term_now + 1, pre=True))
        self.engine.tick()
        self.syncs()
        self.hears("b", messages.Ballot(self.engine.term_now, pre=False))
        self.syncs()
        return self.engine.term_now

    def proposes(self, payload: bytes) -> int:
        """Propose. Returns the index."""
        placed = self.engine.propose(payload, lambda result, outcome: self.outcomes.append(outcome))
        assert placed is not None
        return placed[0]

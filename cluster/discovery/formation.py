"""Nodes that know only Consul's address find each other there, and agree on ONE set of members.

Each node without a cluster is a candidate: it writes a key of its own, `quorate/CLUSTER/candidates/ID`, which a session
keeps alive. The key vanishes with its node. The first node that sees as many candidates as are expected writes the set
of them to `quorate/CLUSTER/members`. It does so with a check-and-set that only the first of all writes passes (Consul's
own Raft decides). From then on this key is the truth. It is never changed, so no second cluster of that name is formed.

A node that is not in the set was late. It joins only by `quorate members add`. A node with a cluster's identity on its
disk never comes here. docs/consul.md says what to do when a member of the set is gone before the cluster is formed.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from quorate.cluster.discovery.consul import RETRY_S_MAX, RETRY_S_MIN, TROUBLE, connect, in_words
from quorate.cluster.discovery.entries import read_entries
from quorate.config import Consul
from quorate.errors import ConfigError
from quorate.host_port import why_unreachable
from quorate.shown import name
from quorate.words import NAME, count

SESSION_S = 10  # the shortest that Consul allows; it may notice the end of a session only after twice that
WAIT_S = 1  # how long one query waits for a change; a stop is noticed that late at most

T = TypeVar("T")

log = logging.getLogger(__name__)


class _Row(msgspec.Struct, frozen=True, rename="pascal"):
    """A key of Consul. `session` is the one that holds it."""

    key: str
    value: bytes | None = None
    session: str | None = None
    create_index: int = 0


class Candidate(msgspec.Struct, frozen=True):
    """The value of a candidate's key."""

    id: str
    raft: str
    expect: int


class AgreedMembers(msgspec.Struct, frozen=True):
    """The value of the key that decides."""

    members: dict[str, str]  # node id -> raft address
    by: str


@dataclass(frozen=True, slots=True)
class Formation:
    """The agreed set. A node that is not `chosen` forms no cluster: it waits to be added."""

    members: list[tuple[str, str]]  # (node id, raft address), by id
    chosen: bool


def discover(
    settings: Consul,
    cluster: str,
    node_id: str,
    raft_address: str,
    expect: int,
    *,
    stop: threading.Event,
    told: Callable[[str], None] = lambda words: None,
) -> Formation | None:
    """Be a candidate until Consul holds a set of members; None if `stop` came first. Blocks, so it needs a thread.

    `told` is called with words that say what it waits for. Raises `ConfigError` for an error that waiting does not
    cure.
    """
    candidacy = _Candidacy(settings, cluster, Candidate(node_id, raft_address, expect), told)
    retry_s = RETRY_S_MIN
    try:
        while not stop.is_set():
            try:
                if (formation := candidacy.step()) is not None:
                    return formation
                retry_s = RETRY_S_MIN
            except (_NotYet, *TROUBLE) as error:
                at = "" if isinstance(error, _NotYet) else f"Consul at {settings.shown_address}: "
                candidacy.say(f"{at}{in_words(error)}; trying again")
                stop.wait(retry_s)
                retry_s = min(2 * retry_s, RETRY_S_MAX)
        return None
    finally:
        candidacy.leave()


class _NotYet(Exception):
    """Waiting goes on; the text says for which change."""


class _Candidacy:
    """One candidate: its session, its key, and the index up to which it has seen Consul's changes."""

    def __init__(
        self, settings: Consul, cluster: str, me: Candidate, told: Callable[[str], None] = lambda words: None
    ) -> None:
        self._settings, self._cluster, self._me, self._told = settings, cluster, me, told
        self._client = connect(settings)
        self._prefix = f"quorate/{cluster}/"
        self._key = f"{self._prefix}candidates/{me.id}"
        self._session: str | None = None
        self._renewed = 0.0
        self._index: str | None = None
        self.said = "nothing heard yet"

    def say(self, words: str) -> None:
        if words != self.said:
            self.said = words
            log.info("%s: %s", self._me.id, words)
            self._told(words)

    def step(self) -> Formation | None:
        """Query once, and wait a moment for news. Then renew the candidacy or write the set, as the answer demands."""
        rows = self._rows()
        if f"{self._prefix}members" in rows:
            return self._formation(rows[f"{self._prefix}members"])
        if not self._is_candidate(rows):
            self._index = None  # our own key may be the next change: do not wait for another one
            return None
        ready = self._ready(rows)
        if len(ready) < self._me.expect:
            here = ", ".join(f"{candidate.id} at {candidate.raft}" for candidate in ready)
            self.say(f"{len(ready)} of {count(self._me.expect, 'node')} of {self._cluster} are here: {here}")
            return None
        if (formed := self._formed_already()) is not None:
            return formed
        self._settle(ready[: self._me.expect])
        return None

    def _rows(self) -> dict[str, _Row]:
        index, answer = self._client.kv.get(self._prefix, recurse=True, index=self._index, wait=f"{WAIT_S}s")
        try:
            rows = msgspec.convert(answer or [], list[_Row])
            # An index that is lower than before comes from a Consul that lost its data: begin anew.
            self._index = index if self._index is None or int(index) >= int(self._index) else None
        except ValueError as error:
            raise _NotYet(f"{self._settings.shown_address} does not answer as Consul does ({error})") from None
        return {row.key: row for row in rows}

    def _is_candidate(self, rows: Mapping[str, _Row]) -> bool:
        """Whether our own key is there. Writes it if it is not, and keeps its session alive."""
        row = rows.get(self._key)
        if row is None or row.session != self._session or self._session is None:
            self._become_candidate(row)
            return False
        if time.monotonic() - self._renewed > SESSION_S / 4:
            self._client.session.renew(self._session)
            self._renewed = time.monotonic()
        return True

    def _become_candidate(self, row: _Row | None) -> None:
        other = row.session if row is not None else None
        if row is not None and other is not None and other != self._session:
            if (raft := _decode(row, Candidate).raft) != self._me.raft:
                raise _NotYet(f"another node calls itself {self._me.id}, at {raft}: ids must differ")
            self._client.session.destroy(other)  # our own session from before a restart: no other node has our address
        if self._session is not None:
            self._client.session.destroy(self._session)
        self._session = self._client.session.create(
            f"quorate {self._cluster} {self._me.id}", ttl=SESSION_S, lock_delay=0, behavior="delete"
        )
        self._renewed = time.monotonic()
        if not self._client.kv.put(self._key, msgspec.json.encode(self._me), acquire=self._session):
            raise _NotYet(f"{self._key} is still held by another session")

    def _ready(self, rows: Mapping[str, _Row]) -> list[Candidate]:
        """The candidates that expect as many nodes as we do, in the order in which they came; one for each address."""
        living = [row for key, row in rows.items() if key.startswith(f"{self._prefix}candidates/") and row.session]
        ready: dict[str, Candidate] = {}
        for row in sorted(living, key=lambda row: (row.create_index, row.key)):
            candidate = _decode(row, Candidate)
            if why := _why_no_member(candidate.id, candidate.raft):
                self.say(f"{row.key} is no candidate, and is left out: {why}")
            elif candidate.expect != self._me.expect:
                expected = count(candidate.expect, "node")
                self.say(f"{candidate.id} expects {expected} and {self._me.id} {self._me.expect}: left out")
            elif (first := ready.setdefault(candidate.raft, candidate)) is not candidate:
                self.say(f"{first.id} and {candidate.id} both claim {candidate.raft}: the second is left out")
        return list(ready.values())

    def _formed_already(self) -> Formation | None:
        """A running cluster of this name whose key is gone. A Consul that lost its data must not cause a second one."""
        running = self._running()
        return self._formation_of(running, chosen=False) if running else None

    def _running(self) -> dict[str, str]:
        """Nodes of this cluster that are registered in Consul as formed: node id -> raft address."""
        _, answer = self._client.health.service(self._settings.service)
        entries = (entry for entry in read_entries(answer) if entry.cluster == self._cluster)
        found = {entry.node: entry.raft for entry in entries if entry.cluster_id and entry.raft}
        return {node: raft for node, raft in found.items() if node != self._me.id}

    def _settle(self, chosen: Sequence[Candidate]) -> None:
        """Write the set if there is none. The next query reads the set that was written first."""
        members = AgreedMembers({candidate.id: candidate.raft for candidate in chosen}, by=self._me.id)
        self._client.kv.put(f"{self._prefix}members", msgspec.json.encode(members), cas=0)
        self._index = None

    def _formation(self, row: _Row) -> Formation:
        members = _decode(row, AgreedMembers).members
        if why := next(filter(None, map(_why_no_member, members, members.values())), None):
            raise ConfigError(f"Consul's key {self._prefix}members holds what is no member: {why}: delete it")
        listed = members.get(self._me.id)
        if listed is not None and listed != self._me.raft:
            raise ConfigError(
                f"the members of {self._cluster} agreed in Consul have {self._me.id} at {listed}, but this node is at "
                f"{self._me.raft}: give it that address, or another id and `quorate members add`"
            )
        if listed is None:  # the first members may be gone by now, and other nodes may have come
            members = {**members, **self._running()}
        return self._formation_of(members, chosen=listed is not None)

    def _formation_of(self, members: Mapping[str, str], *, chosen: bool) -> Formation:
        names = ", ".join(f"{id} at {address}" for id, address in sorted(members.items()))
        if chosen:
            self.say(f"the members of {self._cluster} are {names}")
        else:
            self.say(
                f"{self._cluster} has its members already: {names}. {self._me.id} is not one of them and waits until "
                f"`quorate members add {self._me.id} {self._me.raft}` adds it"
            )
        return Formation(sorted(members.items()), chosen)

    def leave(self) -> None:
        """Withdraw. If Consul does not answer now, the session ends by itself."""
        try:
            if self._session is not None:
                self._client.session.destroy(self._session)
        except TROUBLE as error:
            log.info(
                "Consul lists %s among those that form the cluster until its session ends: %s",
                self._me.id,
                in_words(error),
            )
        finally:
            self._client.http.session.close()


def _why_no_member(id: str, raft: str) -> str | None:
    """Whoever may write to Consul may have written it."""
    return why_unreachable(raft) if re.fullmatch(NAME, id) else f"{name(id)!r} is no name of a node"


def _decode(row: _Row, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(row.value or b"", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"Consul's key {row.key} holds nothing of Quorate's ({error}): delete it") from None

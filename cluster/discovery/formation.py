"""Nodes that know only Consul's address find each other there, and agree on ONE set of members.

Each node that has yet to form a cluster keeps a key of its own, `quorate/CLUSTER/candidates/ID`, alive by a session: it
vanishes with its node. Whoever first sees as many candidates as are expected writes the set of them to
`quorate/CLUSTER/members` with a check-and-set that only the first of all writes passes (Consul's own Raft decides).
That key is the truth ever after. It is never changed, so that nobody forms a second cluster of that name.

Who finds a set without itself in it was late, and joins only by `quorate members add`. A node with a cluster's identity
on its disk never comes here. See docs/consul.md for what to do when a member of the set is gone before forming.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from quorate.cluster.discovery.consul import RETRY_S_MAX, RETRY_S_MIN, TROUBLE, connect, in_words
from quorate.config import Consul, parse_address
from quorate.errors import ConfigError

SESSION_S = 10  # Consul's least; it may take twice that to notice
WAIT_S = 1  # how long one look waits for a change: bounds how late a stop is noticed

T = TypeVar("T")

log = logging.getLogger(__name__)


class Candidate(msgspec.Struct, frozen=True):
    """The value of a candidate's key."""

    id: str
    raft: str
    expect: int


class Members(msgspec.Struct, frozen=True):
    """The value of the one key that decides."""

    members: dict[str, str]  # node id -> raft address
    by: str


@dataclass(frozen=True, slots=True)
class Formation:
    """The agreed set. Whoever is not `chosen` forms nothing: it waits to be added."""

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
    """Take part until a set stands in Consul; None if `stop` came first. Blocks: give it a thread.

    `told` hears in words what it waits for. Raises `ConfigError` for what waiting does not cure.
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
                at = "" if isinstance(error, _NotYet) else f"Consul at {settings.address}: "
                candidacy.say(f"{at}{in_words(error)}; trying again")
                stop.wait(retry_s)
                retry_s = min(2 * retry_s, RETRY_S_MAX)
        return None
    finally:
        candidacy.leave()


class _NotYet(Exception):
    """Something else must change first; the text says what."""


class _Candidacy:
    """One candidate: its session, its key, and how far it has seen."""

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
        """Look once, waiting a moment for news; stand, or settle the matter, as what is seen demands."""
        rows = self._rows()
        if f"{self._prefix}members" in rows:
            return self._formation(rows[f"{self._prefix}members"])
        if not self._is_candidate(rows):
            self._index = None  # our own key may be news from before the next look: do not wait for more
            return None
        ready = self._ready(rows)
        if len(ready) < self._me.expect:
            here = ", ".join(f"{candidate.id} at {candidate.raft}" for candidate in ready)
            self.say(f"{len(ready)} of {self._me.expect} nodes of {self._cluster} are here: {here}")
            return None
        if (formed := self._formed_already()) is not None:
            return formed
        self._settle(ready[: self._me.expect])
        return None

    def _rows(self) -> dict[str, Mapping[str, Any]]:
        index, rows = self._client.kv.get(self._prefix, recurse=True, index=self._index, wait=f"{WAIT_S}s")
        # An index that went back is of a Consul that lost its data: look afresh.
        self._index = index if self._index is None or int(index) >= int(self._index) else None
        return {row["Key"]: row for row in rows or []}

    def _is_candidate(self, rows: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether our own key stands; make it stand otherwise, and keep its session alive."""
        row = rows.get(self._key)
        if row is None or row.get("Session") != self._session or self._session is None:
            self._become_candidate(row)
            return False
        if time.monotonic() - self._renewed > SESSION_S / 4:
            self._client.session.renew(self._session)
            self._renewed = time.monotonic()
        return True

    def _become_candidate(self, row: Mapping[str, Any] | None) -> None:
        other = row.get("Session") if row is not None else None
        if row is not None and other is not None and other != self._session:
            if (raft := _decode(row, Candidate).raft) != self._me.raft:
                raise _NotYet(f"another node calls itself {self._me.id}, at {raft}: ids must differ")
            self._client.session.destroy(other)  # ourselves, before a restart: nobody else has our address
        if self._session is not None:
            self._client.session.destroy(self._session)
        self._session = self._client.session.create(
            f"quorate {self._cluster} {self._me.id}", ttl=SESSION_S, lock_delay=0, behavior="delete"
        )
        self._renewed = time.monotonic()
        if not self._client.kv.put(self._key, msgspec.json.encode(self._me), acquire=self._session):
            raise _NotYet(f"{self._key} is still held by another session")

    def _ready(self, rows: Mapping[str, Mapping[str, Any]]) -> list[Candidate]:
        """Living candidates that expect what we do, first come first; one an address."""
        living = [row for key, row in rows.items() if key.startswith(f"{self._prefix}candidates/") and "Session" in row]
        ready: dict[str, Candidate] = {}
        for row in sorted(living, key=lambda row: (row["CreateIndex"], row["Key"])):
            candidate = _decode(row, Candidate)
            if candidate.expect != self._me.expect:
                self.say(
                    f"{candidate.id} expects {candidate.expect} nodes and {self._me.id} {self._me.expect}: left out"
                )
            elif (first := ready.setdefault(candidate.raft, candidate)) is not candidate:
                self.say(f"{first.id} and {candidate.id} both claim {candidate.raft}: the second is left out")
        return list(ready.values())

    def _formed_already(self) -> Formation | None:
        """A running cluster of this name, though its key is gone: a Consul that lost its data must not cost unity."""
        running = self._running()
        return self._formation_of(running, chosen=False) if running else None

    def _running(self) -> dict[str, str]:
        """Nodes of this name's cluster that stand in Consul as formed: node id -> raft address."""
        _, entries = self._client.health.service(self._settings.service)
        metas = [entry["Service"]["Meta"] for entry in entries]
        found = [meta for meta in metas if meta.get("cluster") == self._cluster and meta.get("cluster_id")]
        return {meta["node"]: meta["raft"] for meta in found if meta["node"] != self._me.id}

    def _settle(self, chosen: Sequence[Candidate]) -> None:
        """Write the set if none stands. Whoever wins, the next look reads it."""
        members = Members({candidate.id: candidate.raft for candidate in chosen}, by=self._me.id)
        self._client.kv.put(f"{self._prefix}members", msgspec.json.encode(members), cas=0)
        self._index = None

    def _formation(self, row: Mapping[str, Any]) -> Formation:
        members = _decode(row, Members).members
        for address in members.values():
            parse_address(address)
        listed = members.get(self._me.id)
        if listed is not None and listed != self._me.raft:
            raise ConfigError(
                f"the members of {self._cluster} agreed in Consul have {self._me.id} at {listed}, but this node is at "
                f"{self._me.raft}: give it that address, or another id and `quorate members add`"
            )
        if listed is None:  # its founders may be gone by now, and others have come
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
        """Withdraw. If Consul is away just now, the session ends by itself."""
        try:
            if self._session is not None:
                self._client.session.destroy(self._session)
        except TROUBLE as error:
            log.info("%s: candidacy left to expire: %s", self._me.id, in_words(error))
        finally:
            self._client.http.session.close()


def _decode(row: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.json.decode(row["Value"] or b"", type=kind)
    except msgspec.DecodeError as error:
        raise ConfigError(f"Consul's key {row['Key']} holds nothing of Quorate's ({error}): delete it") from None

"""A node's place in Consul: registered while it runs, tagged `leader` while it leads, gone when it stops.

Clients search for nodes in Consul, but counting never waits for it. So all of this runs on a thread of its own, and
every call has a deadline. An agent that is down, hangs, lost its data or refuses costs a line in the log and a sentence
in /status until it is back. The `leader` tag is a hint: two nodes may have it for a moment, and a node that was killed
keeps it until its check fails. The cluster's own answer (GET /leader) is the truth.

The node calls `start` when HTTP listens, `leader_changed` when the replica says so, and `stop` first at shutdown.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict
from urllib.parse import urlsplit

import msgspec
from consul.exceptions import ConsulException

from quorate.cluster.discovery.consul import RETRY_S_MAX, RETRY_S_MIN, TROUBLE, connect, in_words
from quorate.config import Consul

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """What a node tells Consul about itself."""

    node_id: str
    cluster: str  # its name, not its id
    http_url: str
    raft_address: str
    version: str

    @property
    def service_id(self) -> str:
        return f"quorate-{self.cluster}-{self.node_id}"


class _OwnEntry(msgspec.Struct, rename="pascal"):
    """What the agent stores for this node."""

    tags: list[str] | None = None
    meta: dict[str, str] | None = None


class RegistrationStatus(TypedDict):
    """The `consul` part of /status; its numbers are for /metrics too."""

    registered: bool
    detail: str  # in words: registered, or what is wrong and for how long
    address: str  # of the agent
    service: str
    id: str
    tags: list[str]
    registrations: int
    failures: int


class Registration:
    """One node's entry with its agent, kept up to date until `stop`.

    `health` is called when consul.check is `ttl`: it returns None while the node is ready, otherwise why it is not.
    """

    def __init__(
        self, settings: Consul, identity: ServiceIdentity, *, health: Callable[[], str | None] = lambda: None
    ) -> None:
        self._settings, self._identity, self._health = settings, identity, health
        self._client = connect(settings)
        self._leader, self._cluster_id = False, ""
        self._sent: Mapping[str, Any] | None = None  # what the agent stores for this node, as far as is known
        self._may_be_listed = False  # also if a registration was not confirmed
        self._trouble: str | None = "not registered yet"
        self._trouble_since = time.monotonic()
        self._registrations = self._failures = 0
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="consul", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def leader_changed(self, leads: bool) -> None:
        """Give or take the `leader` tag. Returns at once; may be called from any thread."""
        self._leader = leads
        self._wake.set()

    def cluster_formed(self, cluster_id: str) -> None:
        """Register the id of this node's cluster, so that new nodes never form another of its name. Returns at once."""
        self._cluster_id = cluster_id
        self._wake.set()

    def stop(self) -> None:
        """Deregister, and end the thread. Idempotent. It lasts a few deadlines of one call at most."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(4 * self._settings.timeout_ms / 1000 + 1)

    def status(self) -> RegistrationStatus:
        return {
            "registered": self._trouble is None,
            "detail": self._detail(),
            "address": self._settings.shown_address,
            "service": self._settings.service,
            "id": self._identity.service_id,
            "tags": list(self._wanted()["tags"]),
            "registrations": self._registrations,
            "failures": self._failures,
        }

    def _detail(self) -> str:
        if self._stop.is_set():
            return "deregistered: this node stops" if self._trouble is None else f"not deregistered: {self._trouble}"
        if self._trouble is None:
            return f"registered as {self._identity.service_id}" + (", leader" if self._leader else "")
        return f"{self._trouble}, for {time.monotonic() - self._trouble_since:.0f} s; counting goes on, trying again"

    # All that follows runs on the thread.

    def _run(self) -> None:
        retry_s = RETRY_S_MIN
        while not self._stop.is_set():
            self._wake.clear()  # first: a change from here on wakes the thread again
            try:
                self._keep_true()
            except Exception as error:  # only `stop` may end this thread
                if not isinstance(error, TROUBLE):
                    log.exception("unexpected while keeping the entry in Consul")
                self._failed(in_words(error))
                self._wake.wait(retry_s)
                retry_s = min(2 * retry_s, RETRY_S_MAX)
            else:
                retry_s = RETRY_S_MIN
                self._wake.wait(self._period_s)
        self._leave()

    @property
    def _period_s(self) -> float:
        """Seconds between two checks of the agent's entry. A TTL is renewed well before it ends."""
        return self._settings.interval_s / (3 if self._settings.check == "ttl" else 1)

    def _keep_true(self) -> None:
        """Register if the agent does not have what it should have, and report health if it expects that."""
        wanted = self._wanted()
        if wanted != self._sent or not self._known(wanted):
            self._register(wanted)
        if self._settings.check == "ttl" and not self._stop.is_set():
            self._report_health()
        if self._trouble is not None:
            log.info("registered with Consul at %s as %s", self._settings.shown_address, self._identity.service_id)
            self._trouble = None

    def _wanted(self) -> dict[str, Any]:
        me = self._identity
        meta = {"node": me.node_id, "cluster": me.cluster, "http": me.http_url, "raft": me.raft_address}
        tags = ["http", "raft", me.version, *(["leader"] if self._leader else [])]
        return {"tags": tags, "meta": {**meta, "version": me.version, "cluster_id": self._cluster_id}}

    def _known(self, wanted: Mapping[str, Any]) -> bool:
        """Whether the agent still has the entry as it was sent. An agent restarted without its data does not."""
        entry = self._entry()
        if entry is None:
            log.warning(
                "Consul at %s forgot %s: registering again", self._settings.shown_address, self._identity.service_id
            )
            return False
        if sorted(entry.tags or ()) == sorted(wanted["tags"]) and entry.meta == wanted["meta"]:
            return True
        log.warning(
            "Consul's entry %s was changed by somebody else (it says %s): registering again. Have two nodes this id?",
            self._identity.service_id,
            (entry.meta or {}).get("http", "no address"),
        )
        return False

    def _entry(self) -> _OwnEntry | None:
        answer = self._client.agent.services(f'ID == "{self._identity.service_id}"')
        try:
            return msgspec.convert(answer, dict[str, _OwnEntry]).get(self._identity.service_id)
        except msgspec.ValidationError as error:
            raise ConsulException(f"it answers what cannot be read ({error})") from None

    def _register(self, wanted: Mapping[str, Any]) -> None:
        url = urlsplit(self._identity.http_url)
        self._may_be_listed = True
        registered = self._client.agent.service.register(
            self._settings.service,
            service_id=self._identity.service_id,
            address=url.hostname,
            port=url.port or (443 if url.scheme == "https" else 80),
            tags=wanted["tags"],
            meta=wanted["meta"],
            check=self._check_definition(),
        )
        if not registered:
            raise ConsulException("the agent did not take the registration")
        self._sent = wanted
        self._registrations += 1

    def _check_definition(self) -> dict[str, str]:
        every = f"{self._settings.interval_s}s"
        forget = {"DeregisterCriticalServiceAfter": f"{self._settings.deregister_after_s}s"}
        if self._settings.check == "ttl":
            return {"ttl": every, **forget}
        return {"http": f"{self._identity.http_url}/readyz", "interval": every, "timeout": "2s", **forget}

    def _report_health(self) -> None:
        why_not, check = self._health(), f"service:{self._identity.service_id}"
        report = self._client.agent.check.ttl_pass if why_not is None else self._client.agent.check.ttl_fail
        if not report(check, (why_not or "ready")[:200]):
            self._sent = None
            raise ConsulException("the agent forgot this node's check")

    def _failed(self, words: str) -> None:
        self._failures += 1
        if self._trouble is None:
            self._trouble_since = time.monotonic()
        if self._trouble != (trouble := f"Consul at {self._settings.shown_address}: {words}"):
            log.warning("%s; counting goes on, trying again", trouble)
            self._trouble = trouble

    def _leave(self) -> None:
        """Deregister, with one attempt. If the agent does not answer, its check will find that the node is gone."""
        try:
            if self._may_be_listed:
                self._client.agent.service.deregister(self._identity.service_id)
                log.info("deregistered %s from Consul", self._identity.service_id)
                self._trouble = None
        except TROUBLE as error:
            self._trouble = f"Consul at {self._settings.shown_address}: {in_words(error)}"
            log.warning("%s: %s may stay listed until its check fails", self._trouble, self._identity.service_id)
        finally:
            self._client.http.session.close()

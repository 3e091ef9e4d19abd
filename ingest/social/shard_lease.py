"""A shard that is held by a session of Consul, and its positions in Consul's KV: whoever takes it over goes on there.

Each reader holds one shard; further readers wait for one to become free. A reader that dies loses its session after
`TTL_S`, or twice that as Consul counts it, and then another takes its shard. Two may read the same one for a while:
what both deliver counts once. While Consul is away the reader goes on, and keeps its positions in mind. If its session
is gone when Consul is back, it makes another, unless somebody else has its shard by then: that ends it, in words.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
from consul.exceptions import NotFound

from quorate.cluster.discovery.consul import TROUBLE, connect, in_words
from quorate.config import Consul
from quorate.errors import Conflict, NotReady
from quorate.ingest.social.places import SavedPlaces, read_saved, stem_of
from quorate.ingest.social.shard import Shard
from quorate.words import count

log = logging.getLogger(__name__)

TTL_S = 10  # the least that Consul takes
RENEWED_EVERY_S = TTL_S / 4
LOOK_EVERY_S = 1.0  # for a free shard, and for positions to keep
LEFT_S = 0.6  # for the last positions, and for giving the shard back


class ShardLease:
    """`PlacesKeeper` of the shard that it holds. Make it by `take`. It has a thread of its own, which asks Consul."""

    def __init__(self, client: Any, name: str, key: str, shard: Shard, session: str, content: bytes | None) -> None:
        self._client, self._key, self._session, self._content = client, key, session, content
        self.name, self.shard = name, shard
        self.kept_at_s: float | None = None
        self.lost = ""  # why it is held no more
        self.trouble = ""  # why Consul does not keep the positions at the moment
        self._wanted = self._kept = content or b""
        self._renewed_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    @classmethod
    def take(cls, settings: Consul, name: str, shards: int, may_go_on: Callable[[], bool] = lambda: True) -> ShardLease:
        """Wait until one of the shards is free. Raises `NotReady` if Consul cannot be asked at the start."""
        client = connect(settings)
        try:
            session = _new_session(client)
        except TROUBLE as error:
            raise NotReady(f"Consul at {settings.shown_address} gives no session: {in_words(error)}") from None
        keys = [f"quorate/stream/{stem_of(name)}/{index}-of-{shards}" for index in range(1, shards + 1)]
        has_said = False
        while may_go_on():
            try:
                for number, key in enumerate(keys, 1):
                    taken, content = _acquire(client, key, session)
                    if taken:
                        log.info("holding shard %d/%d", number, shards)
                        return cls(client, name, key, Shard(number, shards), session, content)
                client.session.renew(session)
            except NotFound:
                session = _new_session(client)
            except TROUBLE as error:
                log.warning("Consul cannot be asked for a free shard: %s; trying again", in_words(error))
            if not has_said:
                log.info("%s held by other readers; waiting until one is free", _are(shards))
                has_said = True
            time.sleep(LOOK_EVERY_S)
        raise NotReady("the wait for a shard was ended")

    # ---- as the keeper of positions ---------------------------------------------------------------------------------

    def load(self) -> SavedPlaces | None:
        return read_saved(self._content, f"{self._key} of Consul") if self._content else None

    def save(self, saved: SavedPlaces) -> None:
        """Returns at once; the thread has Consul keep it within about a second."""
        self._wanted = msgspec.json.encode(saved)

    def check(self) -> None:
        """Raises `Conflict` if the shard is held no more."""
        if self.lost:
            raise Conflict(self.lost)

    def close(self) -> None:
        """Keep the last positions, and give the shard back: another may take it at once."""
        self._stop.set()
        self._thread.join(LEFT_S)

    # ---- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self.lost and not self._stop.wait(LOOK_EVERY_S):
            self._try(self._keep)
        if not self.lost:
            self._try(self._keep)
            self._try(lambda: self._client.session.destroy(self._session))

    def _try(self, ask: Callable[[], object]) -> None:
        try:
            ask()
        except TROUBLE as error:
            why = in_words(error)
            if why != self.trouble:
                log.warning("Consul does not keep the positions: %s; reading goes on, and that is tried again", why)
            self.trouble = why
        except Exception:
            log.exception("unexpected while keeping the positions in Consul; it is tried again")
        else:
            self.trouble = ""

    def _keep(self) -> None:
        if time.monotonic() - self._renewed_s >= RENEWED_EVERY_S:
            self._renew()
        wanted = self._wanted
        if wanted == self._kept or self.lost:
            return
        if not self._client.kv.put(self._key, wanted, acquire=self._session):
            self._hold_again()
            return
        self._kept, self.kept_at_s = wanted, time.time()

    def _renew(self) -> None:
        try:
            self._client.session.renew(self._session)
        except NotFound:
            self._hold_again()
        self._renewed_s = time.monotonic()

    def _hold_again(self) -> None:
        """The session is gone: Consul, or this process, stood still for longer than it lasts."""
        self._session = _new_session(self._client)
        taken, _ = _acquire(self._client, self._key, self._session, self._wanted)
        if taken:
            log.warning("the session in Consul was gone; shard %s is held by a new one", self.shard)
            return
        self.lost = f"another reader has taken shard {self.shard} over; start this again, and it waits for a free one"


def _new_session(client: Any) -> str:
    return str(client.session.create("quorate stream", ttl=TTL_S, lock_delay=0))


def _acquire(client: Any, key: str, session: str, content: bytes | None = None) -> tuple[bool, bytes | None]:
    """Whether the key could be locked, and its content: that which is given, or that which it has."""
    _, found = client.kv.get(key)
    if found is not None and found.get("Session") and found["Session"] != session:
        return False, None
    content = (found or {}).get("Value") if content is None else content
    return bool(client.kv.put(key, content or b"", acquire=session)), content


def _are(shards: int) -> str:
    return f"{count(shards, 'shard')} {'is' if shards == 1 else 'are'}"

"""One topic and channel at every nsqd that has it: a `nsq.Reader` that lives on the node's loop.

pynsq negotiates and shares RDY among connections. What it would do to a node otherwise is replaced:

- It resolves names in the loop, asks one lookupd a poll, dials again after 15 s at the earliest, has no deadline on
  connecting, and goes on dialling after `close`. Here each address has a task, with growing pauses, that `stop` ends.
- Its backoff stops every connection for up to 128 s after one failure. Here `throttle` asks for one message at a time
  while nothing can be counted, and then for all again at once.
"""

# pynsq has no annotations:
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
import nsq
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from quorate import __version__
from quorate.ingest.nsq.connection import NsqdConnection, NsqDelivery

HEARTBEAT_S = 5
SILENT_S = 2.5 * HEARTBEAT_S  # an nsqd that missed two heartbeats is taken for dead
TICK_S = 0.25
REDISTRIBUTE_EVERY_S = 5.0
CONNECT_S = 5.0
RECONNECT_MIN_S, RECONNECT_MAX_S = 0.25, 15.0
LOOKUP_S = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NsqSettings:
    """The `nsq` section of a node's settings, and what tests want shorter."""

    lookupd: Sequence[str] = ()  # HTTP addresses, host:port
    nsqd: Sequence[str] = ()  # TCP addresses, host:port, besides those that lookupd knows
    topic: str = "votes"
    channel: str = "counter"
    max_in_flight: int = 200
    dead_letter: str = "votes_dead"  # empty: dead letters are only counted and logged
    lookupd_poll_s: float = 5
    auth_secret: str = ""
    msg_timeout_ms: int = 0  # nsqd gives a message to another after this (TOUCH starts it again); 0: as nsqd is set
    cast_timeout_s: float = 2.0  # of one try to count a group
    hold_s: float = 5.0  # how long a message that cannot be counted here is kept before another node may have it


class NsqdAddress(msgspec.Struct):
    """An nsqd, as nsqlookupd tells of it."""

    broadcast_address: str
    tcp_port: int
    http_port: int


class Subscription(nsq.Reader):
    """Calls `on_deliveries` with what arrives, on the loop. Answers go to each delivery's own connection.

    `on_trouble` is told whose it is and which, or "" when all is well with it again, and says whether that is news.
    """

    def __init__(
        self,
        settings: NsqSettings,
        hostname: str,
        on_deliveries: Callable[[NsqdConnection, list[NsqDelivery]], None],
        on_trouble: Callable[[str, str], bool],
    ) -> None:
        self._settings = settings
        self._on_deliveries, self._on_trouble = on_deliveries, on_trouble
        self._looked_up: set[str] = set()
        self._stats_urls: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._throttled = self._stopped = False
        self.depth: int | None = None
        self.too_late = 0
        super().__init__(
            topic=settings.topic,
            channel=settings.channel,
            message_handler=lambda message: None,  # never called: deliveries do not become pynsq's messages
            nsqd_tcp_addresses=list(settings.nsqd),
            lookupd_http_addresses=list(settings.lookupd),
            max_tries=0,
            max_in_flight=settings.max_in_flight,
            heartbeat_interval=HEARTBEAT_S,
            output_buffer_size=64 * 1024,
            output_buffer_timeout=25,  # the default adds up to 250 ms to a message that comes alone
            msg_timeout=settings.msg_timeout_ms / 1000 or None,
            auth_secret=settings.auth_secret or None,
            hostname=hostname,
            user_agent=f"quorate/{__version__}",
        )

    # ---- life -------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Called by pynsq on the loop's next turn; `start` has done it."""

    def start(self) -> None:
        self._tasks["tick"] = asyncio.create_task(self._tick())
        if self._settings.lookupd:
            self._tasks["look"] = asyncio.create_task(self._look())
        self._connect_missing()

    def pause(self) -> None:
        """No new messages. What is held stays to be answered for."""
        self.set_max_in_flight(0)

    async def stop(self) -> None:
        """Give back what is held and hang up. Idempotent, over in about a second."""
        self._stopped = True
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        await asyncio.gather(*(connection.end() for connection in list(self.conns.values())))

    async def _tick(self) -> None:
        for tick in itertools.count(1):
            await asyncio.sleep(TICK_S)
            for connection in list(self.conns.values()):
                with self._going_on(f"looking after {connection.id}"):
                    self._look_after(connection)
            if tick % round(REDISTRIBUTE_EVERY_S / TICK_S) == 0:
                with self._going_on("sharing what is asked for"):
                    self._redistribute_rdy_state()

    def _look_after(self, connection: NsqdConnection) -> None:
        connection.touch_old()
        if time.time() - connection.last_recv_timestamp > SILENT_S and not connection.is_full:
            silent = f"{connection.id} has been silent for {SILENT_S:g} s: hanging up"
            self._on_trouble(connection.id, silent)
            connection.close()

    @contextlib.contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        """One turn of a loop that nothing but `stop` may end: what fails is told, and tried again the next turn."""
        try:
            yield
        except Exception as error:
            if self._on_trouble(what, f"{what} failed as it never should, going on: {error!r}"):
                log.exception("nsq: %s", what)
        else:
            self._on_trouble(what, "")

    # ---- connections ------------------------------------------------------------------------------------------------

    def _wanted(self) -> set[str]:
        return {*self._settings.nsqd, *self._looked_up}

    def _connect_missing(self) -> None:
        for address in self._wanted() - self._tasks.keys():
            task = self._tasks[address] = asyncio.create_task(self._keep_connected(address))
            task.add_done_callback(functools.partial(self._not_wanted, address))

    def _not_wanted(self, address: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(address, None)

    async def _keep_connected(self, address: str) -> None:
        """Until nobody wants this nsqd any more. One that is left out by lookupd is kept while it is connected."""
        pause_s = RECONNECT_MIN_S
        while address in self._wanted():
            try:
                connection = await self._connect(address)
            except (OSError, TimeoutError) as error:
                why = str(error) or "too slow"
                self._on_trouble(address, f"no connection to nsqd {address} ({why}), trying again")
                pause_s = min(2 * pause_s, RECONNECT_MAX_S)
            else:
                self._on_trouble(address, "")
                log.info("taking %s/%s from nsqd %s", self.topic, self.channel, address)
                pause_s = RECONNECT_MIN_S
                await asyncio.shield(connection.ended)
                why = f" ({connection.error})" if connection.error else ""
                self._on_trouble(address, f"nsqd {address} hung up{why}, connecting again")
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))

    async def _connect(self, address: str) -> NsqdConnection:
        host, _, port = address.rpartition(":")
        async with asyncio.timeout(CONNECT_S):
            # pynsq would look the name up in the loop, which stops while a name server is slow.
            found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=1)
            connection = self._connection(str(found[0][4][0]), int(port))
            try:
                connection.connect()
                await asyncio.wait({connection.is_ready, connection.ended}, return_when=asyncio.FIRST_COMPLETED)
                if connection.ended.done():
                    raise ConnectionError(connection.error or "refused")
            except BaseException:
                connection.close()
                raise
        return connection

    def _connection(self, host: str, port: int) -> NsqdConnection:
        connection = NsqdConnection(host, port, self._on_chunk, **self.conn_kwargs)
        connection.on("identify_response", self._on_terms)
        connection.on("error", self._on_connection_error)
        connection.on("close", self._on_connection_close)
        connection.on("ready", self._on_connection_ready)
        return connection

    def _on_terms(self, conn: NsqdConnection, data: dict[str, Any], **_: Any) -> None:
        conn.msg_timeout_s = data.get("msg_timeout", 60_000) / 1000

    def _on_connection_ready(self, conn: NsqdConnection, **_: Any) -> None:
        if self._stopped:
            conn.close()
            return
        conn.on("response", conn.on_answer)
        conn.expect()  # of SUB
        super()._on_connection_ready(conn)
        conn.is_ready.set_result(None)

    def _on_connection_close(self, conn: NsqdConnection, **_: Any) -> None:
        self.conns.pop(conn.id, None)
        self.total_rdy = max(self.total_rdy - conn.rdy, 0)
        if conn.rdy_timeout:
            self.io_loop.remove_timeout(conn.rdy_timeout)
            conn.rdy_timeout = None
        if not self._stopped and len(self.conns) <= self.max_in_flight:
            self._share_ready()

    def _on_connection_error(self, conn: NsqdConnection, error: Exception, **_: Any) -> None:
        if str(error).startswith(("b'E_FIN_FAILED", "b'E_REQ_FAILED", "b'E_TOUCH_FAILED")):
            self.too_late += 1  # its timeout came first: another has it now, and its id protects it
        else:
            conn.error = str(error)
            self._on_trouble(conn.id, f"{conn.id}: {error}")

    def _on_chunk(self, conn: NsqdConnection, deliveries: list[NsqDelivery]) -> None:
        if self._stopped:
            conn.give_back(deliveries)
            return
        self._maybe_update_rdy(conn)
        self._on_deliveries(conn, deliveries)

    # ---- how much at once -------------------------------------------------------------------------------------------

    def _connection_max_in_flight(self) -> int:
        return 1 if self._throttled else int(super()._connection_max_in_flight())

    def throttle(self, on: bool) -> None:
        """While nothing can be counted, ask for one message at a time; then for all again, at once."""
        if on != self._throttled:
            self._throttled = on
            self._share_ready()

    def _share_ready(self) -> None:
        if self.max_in_flight > 0 and len(self.conns) <= self.max_in_flight:
            ready = self._connection_max_in_flight()
            for connection in list(self.conns.values()):
                self._send_rdy(connection, ready)

    # ---- lookup -----------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            with self._going_on("looking for nsqds"):
                await self._look_everywhere()
            with self._going_on("asking nsqds for their depth"):
                await self._look_how_deep()
            await asyncio.sleep(self._settings.lookupd_poll_s * random.uniform(0.9, 1.1))

    async def _look_everywhere(self) -> None:
        found = await asyncio.gather(*(self._look_up(address) for address in self._settings.lookupd))
        nsqds = [nsqd for answer in found for nsqd in answer or ()]
        if any(answer is not None for answer in found):  # with no answer at all, what was known holds
            self._looked_up = {f"{nsqd.broadcast_address}:{nsqd.tcp_port}" for nsqd in nsqds}
            self._stats_urls = {f"http://{nsqd.broadcast_address}:{nsqd.http_port}/stats" for nsqd in nsqds}
        self._connect_missing()

    async def _look_up(self, address: str) -> list[NsqdAddress] | None:
        """The topic's nsqds by one lookupd; None if it does not answer."""
        who = f"nsqlookupd {address}"
        base = address if "://" in address else f"http://{address}"
        try:
            answer = await self._get(f"{base.rstrip('/')}/lookup?topic={quote(self.topic)}")
            producers = msgspec.convert(answer["producers"], list[NsqdAddress])
        except HTTPClientError as error:
            if error.response is None or b"TOPIC_NOT_FOUND" not in error.response.body:
                self._on_trouble(who, f"{who}: {error}; is this nsqlookupd's HTTP address?")
                return None
            producers = []  # nobody has published to this topic yet
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._on_trouble(who, f"{who}: {error}")
            return None
        if self._on_trouble(who, ""):
            log.info("%s answers again", who)
        return producers

    async def _look_how_deep(self) -> None:
        query = f"format=json&topic={quote(self.topic)}&channel={quote(self.channel)}"
        urls = [f"{url}?{query}&include_clients=false&include_mem=false" for url in self._stats_urls]
        answers = await asyncio.gather(*map(self._get, urls), return_exceptions=True)
        known = [a for a in answers if isinstance(a, dict)]
        depths = [c["depth"] for a in known for t in a.get("topics") or () for c in t["channels"]]
        self.depth = sum(depths) if known else None

    async def _get(self, url: str) -> Any:
        answer = await AsyncHTTPClient().fetch(url, connect_timeout=LOOKUP_S, request_timeout=LOOKUP_S)
        return msgspec.json.decode(answer.body)

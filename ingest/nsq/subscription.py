"""One topic and channel at every nsqd that has it: the queue of NSQ, as a `nsq.Reader` on the node's loop.

pynsq negotiates with each nsqd and shares RDY (how many messages may come) among the connections. Three habits of pynsq
would harm a node, and are replaced:

- Connecting: pynsq resolves names on the loop, has no deadline, connects again after 15 s at the earliest, and goes on
  after `close`. Here each address has a task of its own, with pauses that grow, and `stop` ends it.
- Lookup: pynsq asks one nsqlookupd at a time. Here all are asked (`lookup.py`).
- Backoff: after one failure pynsq stops every connection for up to 128 s. Here `throttle` asks for one message at a
  time while nothing can be counted, and then at once for as many as usual.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakSet

import nsq

from quorate import __version__
from quorate.errors import QuorateError
from quorate.ingest.nsq.connection import NsqdConnection, NsqDelivery
from quorate.ingest.nsq.letter_box import make_box
from quorate.ingest.nsq.lookup import Lookup
from quorate.ingest.nsq.settings import NsqSettings
from quorate.ingest.split import split

HEARTBEAT_S = 5
SILENT_S = 2.5 * HEARTBEAT_S  # an nsqd that missed two heartbeats is taken for dead
TICK_S = 0.25
REDISTRIBUTE_EVERY_S = 5.0
CONNECT_S = 5.0
RECONNECT_MIN_S, RECONNECT_MAX_S = 0.25, 15.0
LETTERS_BYTES = 1024 * 1024  # in one MPUB; nsqd takes 5 MiB
LETTERS_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


class Subscription(nsq.Reader):
    """The `Queue` of `ingest/consumer.py`: it hands what arrives to `take`, and passes answers on to the connections.

    `note_trouble` gets a subject and its trouble, or "" when it has none any more, and says whether that is news.
    """

    def __init__(
        self,
        settings: NsqSettings,
        hostname: str,
        *,
        take: Callable[[Sequence[NsqDelivery]], None],
        note_trouble: Callable[[str, str], bool],
    ) -> None:
        self._settings = settings
        self._take, self._note_trouble = take, note_trouble
        self._lookup = Lookup(settings, note_trouble)
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by address, and two by name
        self._with_box: WeakSet[NsqdConnection] = WeakSet()  # whose nsqds keep dead letters for a replay
        self._throttled = self._stopped = False
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

    @property
    def depth(self) -> int | None:
        """How many messages wait in the nsqds that nsqlookupd knows; None while unknown."""
        return None if self._stopped else self._lookup.depth

    # ---- life -------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """pynsq calls this on the next turn of the loop, to connect. `start` does that instead."""

    def start(self) -> None:
        self._tasks["tick"] = asyncio.create_task(self._tick())
        if self._settings.lookupd:
            self._tasks["lookup"] = asyncio.create_task(self._poll_lookup())
        self._connect_missing()

    def pause(self) -> None:
        """No new messages. Those that were taken still wait for their answers."""
        self.set_max_in_flight(0)

    def resume(self) -> None:
        if not self._stopped:
            self.set_max_in_flight(self._settings.max_in_flight)
            self._share_ready()

    async def stop(self) -> None:
        """Give back what is held and hang up. Idempotent. It takes about a second at most."""
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
                with self._noting_errors(f"looking after {connection.id}"):
                    self._check(connection)
            if tick % round(REDISTRIBUTE_EVERY_S / TICK_S) == 0:
                with self._noting_errors("sharing what is asked for"):
                    self._redistribute_rdy_state()

    def _check(self, connection: NsqdConnection) -> None:
        """Keep what this connection delivered; close the connection if its nsqd is silent."""
        connection.touch_old()
        if time.monotonic() - connection.heard_s > SILENT_S and not connection.is_full:
            silent = f"{connection.id} has been silent for {SILENT_S:g} s: hanging up"
            self._note_trouble(connection.id, silent)
            connection.close()

    def _check_last_recv_timestamps(self) -> None:
        """pynsq calls this each minute, to do by the wall clock what `_check` does by the monotonic one."""

    async def _poll_lookup(self) -> None:
        while True:
            with self._noting_errors("looking for nsqds"):
                await self._lookup.find_nsqds()
                self._connect_missing()
            with self._noting_errors("asking nsqds for their depth"):
                await self._lookup.measure_depth()
            await asyncio.sleep(self._settings.lookupd_poll_s * random.uniform(0.9, 1.1))

    @contextlib.contextmanager
    def _noting_errors(self, what: str) -> Iterator[None]:
        """For one turn of a loop that only `stop` may end: an error is logged, and the next turn tries again."""
        try:
            yield
        except Exception as error:
            if self._note_trouble(what, f"{what} failed in a way that is a bug, going on: {error!r}"):
                log.exception("nsq: %s", what)
        else:
            self._note_trouble(what, "")

    # ---- answers ----------------------------------------------------------------------------------------------------

    def finish(self, deliveries: Iterable[NsqDelivery]) -> None:
        for connection, theirs in _by_connection(deliveries).items():
            connection.finish(theirs)

    def give_back(self, deliveries: Iterable[NsqDelivery]) -> int:
        return sum(connection.give_back(theirs) for connection, theirs in _by_connection(deliveries).items())

    def put_off(self, pauses: Mapping[NsqDelivery, float]) -> set[NsqDelivery]:
        put_off = set[NsqDelivery]()
        for connection, theirs in _by_connection(pauses).items():
            put_off.update(connection.put_off({delivery: pauses[delivery] for delivery in theirs}))
        return put_off

    @property
    def keeps_max(self) -> int:
        return int(super()._connection_max_in_flight()) // 4

    async def publish_dead_letters(self, deliveries: Sequence[NsqDelivery], letters: Sequence[bytes]) -> None:
        """On the connection that the messages came by: no other address is needed, and nsqd allows it."""
        if self._settings.dead_letter:
            await self._make_box(deliveries[0].connection)
            for part in split(letters, bytes_max=LETTERS_BYTES):
                connection = deliveries[0].connection
                await connection.publish(self._settings.dead_letter, part, timeout_s=LETTERS_TIMEOUT_S)

    async def _make_box(self, connection: NsqdConnection) -> None:
        """See once a connection that its nsqd keeps letters until they are replayed.

        An nsqd that was started again may have lost its disk. If this fails, the letters wait in the topic.
        """
        if connection not in self._with_box:
            address, topic = f"{connection.host}:{connection.port}", self._settings.dead_letter
            try:
                await asyncio.to_thread(make_box, address, topic, auth_secret=self._settings.auth_secret)
            except QuorateError as error:
                self._note_trouble("the letter box", error.detail)
            else:
                self._note_trouble("the letter box", "")
                self._with_box.add(connection)

    # ---- connections ------------------------------------------------------------------------------------------------

    def _wanted(self) -> set[str]:
        return {*self._settings.nsqd, *self._lookup.nsqds}

    def _connect_missing(self) -> None:
        for address in self._wanted() - self._tasks.keys():
            task = self._tasks[address] = asyncio.create_task(self._keep_connected(address))
            task.add_done_callback(functools.partial(self._on_unwanted, address))

    def _on_unwanted(self, address: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(address, None)

    async def _keep_connected(self, address: str) -> None:
        """As long as this nsqd is wanted. If nsqlookupd leaves it out, its connection is kept until that breaks."""
        pause_s = RECONNECT_MIN_S
        while address in self._wanted():
            try:
                connection = await self._connect(address)
            except (OSError, TimeoutError) as error:
                why = str(error) or "too slow"
                self._note_trouble(address, f"no connection to nsqd {address} ({why}), trying again")
                pause_s = min(2 * pause_s, RECONNECT_MAX_S)
            else:
                self._note_trouble(address, "")
                log.info("taking %s/%s from nsqd %s", self.topic, self.channel, address)
                pause_s = RECONNECT_MIN_S
                await asyncio.shield(connection.ended)
                why = f" ({connection.error})" if connection.error else ""
                self._note_trouble(address, f"nsqd {address} hung up{why}, connecting again")
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))

    async def _connect(self, address: str) -> NsqdConnection:
        """Connect to the first address that the name means and that answers."""
        host, _, port = address.rpartition(":")
        async with asyncio.timeout(CONNECT_S):
            # pynsq would resolve the name on the loop, which then stands still while a name server is slow.
            found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=1)
        *others, last = dict.fromkeys(str(each[4][0]) for each in found)
        for other in others:
            with contextlib.suppress(OSError):  # a time-out is one too
                return await self._connect_to(other, int(port), CONNECT_S / len(found))
        return await self._connect_to(last, int(port), CONNECT_S / len(found))

    async def _connect_to(self, host: str, port: int, within_s: float) -> NsqdConnection:
        async with asyncio.timeout(within_s):
            connection = self._connection(host, port)
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
        connection = NsqdConnection(host, port, self.topic, self._on_deliveries, **self.conn_kwargs)
        connection.on("error", self._on_connection_error)
        connection.on("close", self._on_connection_close)
        connection.on("ready", self._on_connection_ready)
        return connection

    def _on_connection_ready(self, conn: NsqdConnection, **_: Any) -> None:
        if self._stopped:
            conn.close()
            return
        conn.on("response", conn.on_answer)
        conn.expect()  # the answer to SUB
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
            self.too_late += 1  # the message timed out and was given to another node; the ids of its votes protect it
        else:
            conn.error = str(error)
            self._note_trouble(conn.id, f"{conn.id}: {error}")

    def _on_deliveries(self, conn: NsqdConnection, deliveries: list[NsqDelivery]) -> None:
        if self._stopped:
            conn.give_back(deliveries)
            return
        self._maybe_update_rdy(conn)
        self._take(deliveries)

    # ---- how much at once -------------------------------------------------------------------------------------------

    def _connection_max_in_flight(self) -> int:
        return 1 if self._throttled else int(super()._connection_max_in_flight())

    def throttle(self, on: bool) -> None:
        if on != self._throttled:
            self._throttled = on
            self._share_ready()

    def _share_ready(self) -> None:
        if self.max_in_flight > 0 and len(self.conns) <= self.max_in_flight:
            ready = self._connection_max_in_flight()
            for connection in list(self.conns.values()):
                self._send_rdy(connection, ready)


def _by_connection(deliveries: Iterable[NsqDelivery]) -> dict[NsqdConnection, list[NsqDelivery]]:
    found: dict[NsqdConnection, list[NsqDelivery]] = {}
    for delivery in deliveries:
        found.setdefault(delivery.connection, []).append(delivery)
    return found

"""The dead letters that one nsqd keeps, for commands that show and replay them.

They are in a channel of their own, `replay`, which nodes make before they publish the first letter: without a channel
the first one that is made, perhaps by somebody who only looks, would get all letters and end with them.

A letter that was taken stays at nsqd until it is finished. Those that are not finished go back at the end, and if the
command is killed, they come again by themselves after `MSG_TIMEOUT_S`. So one waits a little longer than that for more
letters, and sees all of them even after such a death. Its calls block.
"""

# pynsq has no annotations:
# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
from nsq import protocol

from quorate import __version__
from quorate.errors import Invalid, OutcomeUnknown
from quorate.ingest.nsq.publisher import CONNECT_S, NoNsqd, terms_in
from quorate.ingest.split import split

CHANNEL = "replay"
MSG_TIMEOUT_S = 3
IDLE_S = MSG_TIMEOUT_S + 0.5
ANSWER_S = 5.0
TOUCH_EVERY_S = 0.5
HEARTBEAT_S = 30
READY_MAX = 2_500  # letters that nsqd leaves with one connection
CONNECTIONS_MAX = 20
MPUB_BYTES = 1024 * 1024
FRAME_BYTES_MAX = 64 * 1024 * 1024

_frame_head = struct.Struct(">ii")
_message_head = struct.Struct(">qH16s")


@dataclass(frozen=True, slots=True)
class TakenLetter:
    """A letter as nsqd holds it. `id` is the message's."""

    id: bytes
    body: bytes
    published_ns: int  # Unix


class LetterBox:
    """Raises `NoNsqd` if nsqd cannot be reached or hangs up: then what was not finished stays there."""

    def __init__(self, address: str, topic: str, *, auth_secret: str = "") -> None:
        self.address, self._topic = address, topic
        self._auth_secret = auth_secret
        self._connections: list[_Subscriber] = []
        self._seen: set[bytes] = set()
        self._finished: set[bytes] = set()
        self._ended = threading.Event()
        self._toucher = threading.Thread(target=self._touch, name="touch", daemon=True)

    def __enter__(self) -> LetterBox:
        self._open()
        self._toucher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._toucher.join()
        for connection in self._connections:
            connection.end()

    @property
    def is_full(self) -> bool:
        """Whether so many letters are held that the others cannot be seen."""
        return len(self._connections) == CONNECTIONS_MAX and self._connections[-1].is_full

    def take(self, count_max: int) -> list[TakenLetter]:
        """Some letters that were not handed out before; none if there are no more."""
        end_s = time.monotonic() + IDLE_S
        while time.monotonic() < end_s and not self.is_full:
            if self._connections[-1].is_full:
                self._open()
            taken = [letter for letter in self._connections[-1].receive(count_max, end_s) if self._is_new(letter)]
            if taken:
                return taken
        return []

    def _is_new(self, letter: TakenLetter) -> bool:
        """A letter that timed out comes again."""
        is_new = letter.id not in self._seen
        self._seen.add(letter.id)
        if letter.id in self._finished:
            self.finish([letter])
        return is_new

    def finish(self, letters: Iterable[TakenLetter]) -> None:
        """They are replayed, or replaced by others."""
        for letter in letters:
            self._finished.add(letter.id)
            for connection in self._connections:
                connection.finish(letter.id)

    def publish(self, letters: Sequence[bytes]) -> None:
        """Put letters into the box; they are stored on return. Raises `OutcomeUnknown` if that is not known."""
        for part in split(letters, bytes_max=MPUB_BYTES):
            self._connections[-1].publish(self._topic, part)

    def _open(self) -> None:
        connection = _Subscriber(self.address, self._auth_secret)
        self._connections.append(connection)
        connection.subscribe(self._topic)

    def _touch(self) -> None:
        while not self._ended.wait(TOUCH_EVERY_S):
            for connection in list(self._connections):
                connection.touch()


def make_box(address: str, topic: str, *, auth_secret: str = "") -> None:
    """See that letters in this topic are kept until they are replayed. Raises `NoNsqd`."""
    connection = _Subscriber(address, auth_secret)
    try:
        connection.subscribe(topic, ready=0)
    finally:
        connection.end()


class _Subscriber:
    """One subscriber. Another thread may `touch`."""

    def __init__(self, address: str, auth_secret: str) -> None:
        self._address = address
        self._sending = threading.Lock()
        self._unread = bytearray()
        self._answers: deque[bytes] = deque()
        self._arrived: deque[TakenLetter] = deque()
        self._held: dict[bytes, None] = {}  # ids of what nsqd waits for an answer to
        self._ready, self._ready_max = 0, READY_MAX
        host, _, port = address.rpartition(":")
        with self._in_words():
            self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S)
            self._socket.settimeout(ANSWER_S)
        self._identify(auth_secret)

    @property
    def is_full(self) -> bool:
        return len(self._held) >= self._ready and not self._arrived

    def _identify(self, auth_secret: str) -> None:
        wanted = {
            "feature_negotiation": True,
            "heartbeat_interval": 1000 * HEARTBEAT_S,
            "msg_timeout": 1000 * MSG_TIMEOUT_S,
            "output_buffer_timeout": 25,
            "user_agent": f"quorate/{__version__}",
        }
        self._send(protocol.MAGIC_V2 + _sized(b"IDENTIFY", msgspec.json.encode(wanted)))
        answer = self._answer()
        with self._in_words():
            terms = terms_in(answer)
        self._ready_max = min(self._ready_max, READY_MAX if terms.max_rdy_count is None else terms.max_rdy_count)
        if terms.auth_required:
            self._send(_sized(b"AUTH", auth_secret.encode()))
            self._answer()

    def subscribe(self, topic: str, *, ready: int = READY_MAX) -> None:
        self._send(b"SUB %b %b\n" % (topic.encode(), CHANNEL.encode()))
        self._answer()
        self._ready = min(ready, self._ready_max)
        if self._ready:
            self._send(b"RDY %d\n" % self._ready)

    def receive(self, count_max: int, end_s: float) -> list[TakenLetter]:
        """What has arrived, or arrives first, until `end_s`."""
        while not self._arrived and time.monotonic() < end_s:
            self._read(min(end_s, time.monotonic() + 1.0))
            if self.is_full:
                break
        return [self._arrived.popleft() for _ in range(min(count_max, len(self._arrived)))]

    def finish(self, id: bytes) -> None:
        if id in self._held:
            del self._held[id]
            self._send(b"FIN %b\n" % id)

    def touch(self) -> None:
        with contextlib.suppress(NoNsqd):
            self._send(b"NOP\n" + b"".join(map(protocol.touch, list(self._held))))

    def publish(self, topic: str, bodies: Sequence[bytes]) -> None:
        self._send(protocol.mpub(topic, list(bodies)))
        try:
            self._answer()
        except NoNsqd as error:
            raise OutcomeUnknown(error.detail) from None

    def end(self) -> None:
        """Give back what is held, and close."""
        with contextlib.suppress(NoNsqd, Invalid):
            self._send(b"RDY 0\n" * (self._ready > 0) + b"".join(b"REQ %b 0\n" % id for id in self._held) + b"CLS\n")
            while self._answer() != b"CLOSE_WAIT":
                pass
        with contextlib.suppress(OSError):
            self._socket.close()

    # ---- frames -----------------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        with self._sending, self._in_words():
            self._socket.sendall(data)

    def _answer(self) -> bytes:
        end_s = time.monotonic() + ANSWER_S
        while not self._answers:
            if time.monotonic() > end_s:
                raise NoNsqd(f"{self._address} does not answer")
            self._read(end_s)
        return self._answers.popleft()

    def _read(self, end_s: float) -> None:
        """Read what comes before `end_s`."""
        with self._in_words():
            # The socket keeps its own timeout: another thread may be sending.
            if not select.select([self._socket], [], [], max(0.0, end_s - time.monotonic()))[0]:
                return
            data = self._socket.recv(256 * 1024)
            if not data:
                raise ConnectionError("hung up")
        self._unread += data
        at = 0
        while len(self._unread) - at >= 8:
            size, kind = _frame_head.unpack_from(self._unread, at)
            if not 4 <= size <= FRAME_BYTES_MAX:
                raise NoNsqd(f"what {self._address} sends cannot be read; is this nsqd's TCP address?")
            if len(self._unread) - at < 4 + size:
                break
            self._on_frame(kind, bytes(self._unread[at + 8 : at + 4 + size]))
            at += 4 + size
        del self._unread[:at]

    def _on_frame(self, kind: int, payload: bytes) -> None:
        if kind == protocol.FRAME_TYPE_MESSAGE:
            published_ns, _, id = _message_head.unpack_from(payload)
            self._held[id] = None
            self._arrived.append(TakenLetter(id, payload[_message_head.size :], published_ns))
        elif kind == protocol.FRAME_TYPE_ERROR:
            # These three: the letter timed out, and comes again.
            if not payload.startswith((b"E_FIN_FAILED", b"E_REQ_FAILED", b"E_TOUCH_FAILED")):
                raise Invalid(f"nsqd {self._address} refuses it: {payload.decode(errors='replace')}")
        elif payload == b"_heartbeat_":
            self._send(b"NOP\n")
        else:
            self._answers.append(payload)

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NoNsqd(f"nsqd {self._address}: {error.strerror or str(error) or 'no answer'}") from None


def _sized(line: bytes, body: bytes) -> bytes:
    return line + b"\n" + struct.pack(">i", len(body)) + body

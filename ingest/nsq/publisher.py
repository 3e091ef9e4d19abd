"""Publish votes to NSQ: many messages in one MPUB, tried at one nsqd after the other until one confirms them.

If a confirmation is lost, the messages are published again, and nsqd gives the copies new message ids. So every vote
must have an id of its own in the body. Then copies count once, whichever nsqd they are on. For the same reason votes
may be published to two nsqds on purpose: when one of them is lost, no vote is lost.

Its calls block. It is for commands and for users' programs. A node publishes its dead letters in another way
(`subscription.py`).
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
from nsq import protocol

from quorate import __version__
from quorate.errors import Invalid, OutcomeUnknown, QuorateError
from quorate.ingest.nsq.lookup import NSQDS_MAX, nsqds_in
from quorate.ingest.split import split
from quorate.unreadable import UNREADABLE
from quorate.vote import Vote
from quorate.web.fetch import fetch_json

MESSAGES_PER_MPUB = 1_000
MPUB_BYTES = 512 * 1024  # nsqd takes 5 MiB
MESSAGE_BYTES = 256 * 1024  # nsqd takes 1 MiB
ANSWER_BYTES_MAX = 64 * 1024
NO_NSQD = "what it answers cannot be read; is this nsqd's TCP address?"
CONNECT_S = 2.0
TRY_S = 5.0  # for one nsqd to confirm, before the next nsqd is tried
FIRST_MPUB, AIM_S = 64, 0.5  # messages in the first MPUB, and how long an MPUB should take at most
PAUSE_MIN_S, PAUSE_MAX_S = 0.05, 2.0


class NoNsqd(QuorateError):
    """None of the messages was published."""

    status, kind, title, retry_after_s = 503, "no-nsqd", "No nsqd takes messages", 1.0


def messages(votes: Iterable[Vote], pack: int = 1) -> Iterator[bytes]:
    """Bodies of `pack` votes each, as arrays if `pack` is over 1. A body that gets too long has fewer votes."""
    waiting: list[bytes] = []
    size = 0
    for vote in votes:
        line = msgspec.json.encode(vote)
        if waiting and (len(waiting) == pack or size + len(line) > MESSAGE_BYTES):
            yield _body(waiting, pack)
            waiting, size = [], 0
        waiting.append(line)
        size += len(line) + 1
    if waiting:
        yield _body(waiting, pack)


def batches(bodies: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Each list goes into one MPUB."""
    return split(bodies, bytes_max=MPUB_BYTES, count_max=MESSAGES_PER_MPUB)


def _body(lines: Sequence[bytes], pack: int) -> bytes:
    return lines[0] if pack == 1 else b"[" + b",".join(lines) + b"]"


class Publisher:
    """Publishes to the first of `nsqds` that confirms, or with `both` to two. `timeout_s` is for all tries of one MPUB.

    If no nsqd takes an MPUB at the first try, `on_wait` gets the reason, in words, before the next one.
    The number of messages in an MPUB follows the speed of the nsqd. An nsqd that syncs each message to its disk takes
    seconds for a thousand.
    """

    def __init__(
        self,
        nsqds: Sequence[str],
        topic: str,
        *,
        both: bool = False,
        timeout_s: float = 30.0,
        auth_secret: str = "",
        on_wait: Callable[[str], None] = lambda why: None,
    ) -> None:
        if len(set(nsqds)) < (2 if both else 1):
            raise Invalid("publishing to two nsqds needs the addresses of two" if both else "there is no nsqd to ask")
        self._addresses = list(dict.fromkeys(nsqds))
        self._topic, self._copies, self._timeout_s = topic, 2 if both else 1, timeout_s
        self._auth_secret = auth_secret
        self._on_wait = on_wait
        self._connections: dict[str, _PublisherConnection] = {}
        self._second_is_down = False
        self._mpub_messages = FIRST_MPUB
        self.messages = 0
        self.single = 0  # messages that only one of the two nsqds has
        self.used: set[str] = set()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def publish(self, bodies: list[bytes]) -> None:
        """Return when nsqd has confirmed all. Raises `NoNsqd` or `OutcomeUnknown` at the deadline, `Invalid` at once.

        With `both`, one copy is enough if the second is not confirmed by half the deadline, or was not the last time.
        """
        at = 0
        while at < len(bodies):
            at += self._publish(bodies[at : at + self._mpub_messages])

    def _publish(self, bodies: list[bytes]) -> int:
        """Publish these messages, or the first of them if they are too many for one MPUB. How many are confirmed."""
        end_s = time.monotonic() + self._timeout_s
        confirmed: list[str] = []
        unknown, why, pause_s = False, "", PAUSE_MIN_S
        while True:
            for address in [a for a in self._addresses if a not in confirmed]:
                began_s = time.monotonic()
                try_end_s = min(end_s, began_s + min(TRY_S, self._timeout_s / 3))
                try:
                    self._connection(address, try_end_s).mpub(self._topic, bodies, try_end_s)
                except _NotConfirmed as failure:
                    unknown, why = unknown or failure.was_sent, f"{address}: {failure}"
                    self._drop(address)
                    if failure.was_sent and not confirmed:  # perhaps more than it can take in the time
                        self._mpub_messages = max(1, len(bodies) // 4)
                        bodies = bodies[: self._mpub_messages]
                    continue
                self._pace(len(bodies), time.monotonic() - began_s)
                confirmed.append(address)
                self.used.add(address)
                self._prefer(confirmed)
                if len(confirmed) == self._copies:
                    break
            left_s = end_s - time.monotonic()
            missing = self._copies - len(confirmed)
            if not missing or (confirmed and (self._second_is_down or left_s < self._timeout_s / 2)):
                self._second_is_down = missing > 0
                self.messages += len(bodies)
                self.single += len(bodies) * missing
                return len(bodies)
            if left_s <= pause_s:
                raise self._gave_up(unknown, why)
            if pause_s == PAUSE_MIN_S and not confirmed:
                self._on_wait(f"{why}; trying for {left_s:.0f} s more")
            time.sleep(pause_s * random.uniform(0.5, 1))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _pace(self, messages: int, took_s: float) -> None:
        if took_s > AIM_S:
            self._mpub_messages = max(1, messages // 2)
        elif took_s < AIM_S / 2 and messages == self._mpub_messages:
            self._mpub_messages = min(2 * messages, MESSAGES_PER_MPUB)

    def _gave_up(self, unknown: bool, why: str) -> QuorateError:
        again = {"hint": "Run it again as you did: what is published twice counts once, by the ids of the votes."}
        if unknown:
            return OutcomeUnknown(f"an nsqd took messages and did not confirm them ({why})", **again)
        return NoNsqd(f"none of {', '.join(self._addresses)} takes messages ({why})", **again)

    def _connection(self, address: str, end_s: float) -> _PublisherConnection:
        if address not in self._connections:
            self._connections[address] = _PublisherConnection(address, self._auth_secret, end_s)
        return self._connections[address]

    def _drop(self, address: str) -> None:
        connection = self._connections.pop(address, None)
        if connection is not None:
            connection.close()

    def _prefer(self, confirmed: Sequence[str]) -> None:
        """Try the nsqds that confirmed this time first the next time."""
        self._addresses.sort(key=lambda address: address not in confirmed)


class NsqdTerms(msgspec.Struct):
    """What an nsqd answers to IDENTIFY, as far as it is of use."""

    auth_required: bool = False
    max_rdy_count: int | None = None


def terms_in(answer: bytes) -> NsqdTerms:
    """Raises `ConnectionError` if whoever answers there is no nsqd."""
    try:
        return msgspec.json.decode(answer, type=NsqdTerms)
    except UNREADABLE:
        raise ConnectionError(NO_NSQD) from None


class _NotConfirmed(Exception):
    """One nsqd did not confirm. If `was_sent`, it may have the messages nevertheless."""

    def __init__(self, why: str, *, was_sent: bool) -> None:
        super().__init__(why)
        self.was_sent = was_sent


class _PublisherConnection:
    """A connection to one nsqd, without heartbeats: nsqd only answers commands."""

    def __init__(self, address: str, auth_secret: str, end_s: float) -> None:
        host, _, port = address.rpartition(":")
        self._address = address
        try:
            self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S)
        except OSError as error:
            raise _NotConfirmed(error.strerror or str(error), was_sent=False) from None
        try:
            self._negotiate(auth_secret, end_s)
        except BaseException:
            self.close()
            raise

    def _negotiate(self, auth_secret: str, end_s: float) -> None:
        terms_wanted = {"feature_negotiation": True, "heartbeat_interval": -1, "user_agent": f"quorate/{__version__}"}
        hello = protocol.MAGIC_V2 + _sized(b"IDENTIFY", msgspec.json.encode(terms_wanted))
        terms = self._command(hello, end_s, was_sent=False)
        if terms != b"OK" and self._read_terms(terms).auth_required:
            self._command(_sized(b"AUTH", auth_secret.encode()), end_s, was_sent=False)

    @staticmethod
    def _read_terms(answer: bytes) -> NsqdTerms:
        try:
            return terms_in(answer)
        except OSError as error:
            raise _NotConfirmed(str(error), was_sent=False) from None

    def mpub(self, topic: str, bodies: list[bytes], end_s: float) -> None:
        body = b"".join([struct.pack(">i", len(bodies)), *(struct.pack(">i", len(b)) + b for b in bodies)])
        answer = self._command(_sized(b"MPUB " + topic.encode(), body), end_s, was_sent=True)
        if answer != b"OK":
            raise _NotConfirmed(f"answered {answer!r}", was_sent=True)

    def _command(self, command: bytes, end_s: float, *, was_sent: bool) -> bytes:
        """The answer to the command. If it is an error frame, nsqd has not done what the command says."""
        try:
            self._socket.settimeout(max(0.05, end_s - time.monotonic()))
            self._socket.sendall(command)
            size, kind = struct.unpack(">ii", self._read(8))
            if not 4 <= size <= ANSWER_BYTES_MAX:
                raise ConnectionError(NO_NSQD)
            payload = self._read(size - 4)
        except OSError as error:
            raise _NotConfirmed(error.strerror or str(error) or "no answer", was_sent=was_sent) from None
        if kind == protocol.FRAME_TYPE_ERROR:
            text = payload.decode(errors="replace")
            if text.startswith(("E_BAD_", "E_INVALID", "E_AUTH", "E_UNAUTHORIZED")):
                raise Invalid(f"nsqd {self._address} refuses it: {text}")
            raise _NotConfirmed(text, was_sent=False)
        return payload

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError("hung up")
            data += part
        return bytes(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


def _sized(line: bytes, body: bytes) -> bytes:
    return line + b"\n" + struct.pack(">i", len(body)) + body


def nsqds_of(lookupds: Sequence[str], *, timeout_s: float = 3.0) -> list[str]:
    """The nsqds that these nsqlookupds know, with any topics; of very many the first. Raises `NoNsqd` without one."""
    found: dict[str, None] = {}
    why = []
    for address in lookupds:
        base = address if "://" in address else f"http://{address}"
        try:
            nsqds = nsqds_in(fetch_json(f"{base.rstrip('/')}/nodes", timeout_s=timeout_s))
            found |= {nsqd.tcp: None for nsqd in nsqds}
        except (OSError, ValueError, KeyError, TypeError) as error:
            why.append(f"{address}: {error}")
    if not found:
        raise NoNsqd("no nsqlookupd knows one" + (f" ({'; '.join(why)})" if why else ": none has registered"))
    return list(found)[:NSQDS_MAX]

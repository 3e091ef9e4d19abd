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
from dataclasses import dataclass, field

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
SECOND_REST = 4.0  # where a second nsqd only fails slowly, it is asked a fifth of the time
OTHERS_EVERY_S = 10.0
REFUSALS = ("E_BAD_", "E_INVALID", "E_AUTH", "E_UNAUTHORIZED")
WORDS_MAX = 300  # of an nsqd's own


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

    If no nsqd takes an MPUB at the first try, `on_wait` gets the reason, in words, before the next one. `others` is
    asked for more nsqds from time to time while there are too few: what an nsqlookupd knows changes.
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
        others: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        if len(set(nsqds)) < (2 if both and others is None else 1):
            raise Invalid("publishing to two nsqds needs the addresses of two" if both else "there is no nsqd to ask")
        self._addresses = list(dict.fromkeys(nsqds))
        self._topic, self._copies, self._timeout_s = topic, 2 if both else 1, timeout_s
        self._auth_secret = auth_secret
        self._on_wait, self._others, self._others_due_s = on_wait, others, 0.0
        self._connections: dict[str, _PublisherConnection] = {}
        self._second_is_down = False
        self._second_due_s = 0.0  # when one that is down is asked again
        self._mpub_messages, self._mpub_most = FIRST_MPUB, MESSAGES_PER_MPUB
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
        What one nsqd refuses, another one may take. Only if all refuse, that is an error at once.
        """
        at = 0
        while at < len(bodies):
            at += self._publish(bodies[at : at + self._mpub_messages])

    def _publish(self, bodies: list[bytes]) -> int:
        """Publish these messages, or the first of them if they are too many for one MPUB. How many are confirmed."""
        end_s, pause_s = time.monotonic() + self._timeout_s, PAUSE_MIN_S
        mpub = _Mpub(bodies)
        while True:
            self._ask_all(mpub, end_s)
            left_s = end_s - time.monotonic()
            missing = self._copies - len(mpub.confirmed)
            if missing:
                self._look_for_others()
            is_late = left_s <= max(self._timeout_s / 2, pause_s)
            if not missing or (mpub.confirmed and (self._second_is_down or is_late)):
                self._second_is_down = missing > 0
                self.messages += len(mpub.bodies)
                self.single += len(mpub.bodies) * missing
                return len(mpub.bodies)
            if left_s <= pause_s:
                raise self._gave_up(mpub)
            if pause_s == PAUSE_MIN_S and not mpub.confirmed:
                self._on_wait(f"{mpub.why}; trying for {left_s:.0f} s more")
            time.sleep(pause_s * random.uniform(0.5, 1))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _look_for_others(self) -> None:
        now_s = time.monotonic()
        if self._others is None or now_s < self._others_due_s:
            return
        self._others_due_s = now_s + OTHERS_EVERY_S
        with contextlib.suppress(NoNsqd):
            if new := [address for address in self._others() if address not in self._addresses]:
                self._addresses += new
                self._second_is_down = False

    def _ask_all(self, mpub: _Mpub, end_s: float) -> None:
        """One after the other, until there are enough copies. Raises `Invalid` if all refuse."""
        asked = [address for address in self._addresses if address not in mpub.confirmed]
        refused = 0
        for address in asked:
            began_s = time.monotonic()
            if mpub.confirmed and self._second_is_down and began_s < self._second_due_s:
                return
            try_end_s = min(end_s, began_s + min(TRY_S, self._timeout_s / 3))
            try:
                self._connection(address, try_end_s).mpub(self._topic, mpub.bodies, try_end_s)
            except _NotConfirmed as failure:
                self._drop(address)
                refused += self._note(failure, address, mpub, time.monotonic() - began_s)
                continue
            self._pace(len(mpub.bodies), time.monotonic() - began_s)
            mpub.confirmed.append(address)
            self.used.add(address)
            self._prefer(mpub.confirmed)
            if len(mpub.confirmed) == self._copies:
                return
        if asked and refused == len(asked):
            raise Invalid(f"nsqd {mpub.why}")

    def _note(self, failure: _NotConfirmed, address: str, mpub: _Mpub, took_s: float) -> bool:
        """Whether that nsqd will never take these messages, nor fewer of them."""
        mpub.why = f"{address}{' refuses it' if failure.is_refusal else ''}: {failure}"
        mpub.is_unknown |= failure.was_sent
        fewer = max(1, len(mpub.bodies) // 4)
        if failure.is_too_big:
            self._mpub_most = fewer
            self._mpub_messages = min(self._mpub_messages, fewer)
        if mpub.confirmed:  # the second copy may wait, and not for long while it takes its time to fail
            self._second_due_s = time.monotonic() + SECOND_REST * took_s
        elif (failure.is_too_big or failure.was_sent) and len(mpub.bodies) > 1:  # perhaps too many for the time
            self._mpub_messages, mpub.bodies = fewer, mpub.bodies[:fewer]
        else:
            return failure.is_refusal
        return False

    def _pace(self, messages: int, took_s: float) -> None:
        if took_s > AIM_S:
            self._mpub_messages = max(1, messages // 2)
        elif took_s < AIM_S / 2 and messages == self._mpub_messages:
            self._mpub_messages = min(2 * messages, self._mpub_most)

    def _gave_up(self, mpub: _Mpub) -> QuorateError:
        again = {"hint": "Run it again as you did: what is published twice counts once, by the ids of the votes."}
        if mpub.is_unknown:
            return OutcomeUnknown(f"an nsqd took messages and did not confirm them ({mpub.why})", **again)
        return NoNsqd(f"none of {', '.join(self._addresses)} takes messages ({mpub.why})", **again)

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
    """One nsqd did not confirm. If `was_sent`, it may have the messages nevertheless. A refusal is for good, but if the
    MPUB `is_too_big` a smaller one may be taken."""

    def __init__(self, why: str, *, was_sent: bool, is_refusal: bool = False) -> None:
        super().__init__(why[:WORDS_MAX])
        self.was_sent, self.is_refusal = was_sent, is_refusal
        self.is_too_big = is_refusal and why.startswith("E_BAD_BODY") and "too big" in why


@dataclass(slots=True)
class _Mpub:
    """What becomes of some messages. They get fewer if they are too many at once."""

    bodies: list[bytes]
    confirmed: list[str] = field(default_factory=list)  # by these nsqds
    is_unknown: bool = False  # whether one may have them that did not confirm
    why: str = ""  # the last failure


class _PublisherConnection:
    """A connection to one nsqd, without heartbeats: nsqd only answers commands."""

    def __init__(self, address: str, auth_secret: str, end_s: float) -> None:
        host, _, port = address.rpartition(":")
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
            raise _NotConfirmed(text, was_sent=False, is_refusal=text.startswith(REFUSALS))
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

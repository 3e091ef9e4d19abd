"""Which nsqd gets votes, and how many at once, when one of them refuses what another one takes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from quorate.errors import Invalid
from quorate.ingest.nsq import publisher as publishing
from quorate.ingest.nsq.publisher import NoNsqd, Publisher
from quorate.words import count
from tests.support.timed import Timed

OK, TERMS = (0, b"OK"), b"{}"


class ScriptedNsqd:
    """Takes connections, and answers each MPUB as `answer` says of its bodies: kind of frame, and what is in it."""

    def __init__(self, answer: Callable[[list[bytes]], tuple[int, bytes]], terms: bytes = TERMS) -> None:
        self._answer, self._terms = answer, terms
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.taken: list[bytes] = []
        self.refused = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            stream = connection.makefile("rb")
            assert b"  V2" == stream.read(4)
            while command := stream.readline():
                (size,) = struct.unpack(">i", stream.read(4))
                kind, answer = self._done(command, stream.read(size))
                connection.sendall(struct.pack(">ii", 4 + len(answer), kind) + answer)
                if kind == 1:  # as nsqd does after a mistake
                    return

    def _done(self, command: bytes, body: bytes) -> tuple[int, bytes]:
        if command.startswith(b"IDENTIFY"):
            return 0, self._terms
        (number,) = struct.unpack_from(">i", body)
        bodies, at = list[bytes](), 4
        for _ in range(number):
            (size,) = struct.unpack_from(">i", body, at)
            bodies.append(body[at + 4 : at + 4 + size])
            at += 4 + size
        answer = self._answer(bodies)
        if answer == OK:
            self.taken += bodies
        else:
            self.refused += 1
        return answer

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)  # or it would go on accepting
        self._server.close()


Start = Callable[..., ScriptedNsqd]


@pytest.fixture
def nsqd() -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def start(answer: Callable[[list[bytes]], tuple[int, bytes]], terms: bytes = TERMS) -> ScriptedNsqd:
            return stack.enter_context(contextlib.closing(ScriptedNsqd(answer, terms)))

        yield start


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Timed:
    timed = Timed()
    monkeypatch.setattr(publishing, "time", timed)
    return timed


def takes(bodies: list[bytes]) -> tuple[int, bytes]:
    return OK


def takes_none(bodies: list[bytes]) -> tuple[int, bytes]:
    return 1, b"E_BAD_MESSAGE MPUB message too big 79 > 60"


BODIES = [b"vote %d" % number for number in range(500)]


def test_what_one_nsqd_refuses_another_one_may_take(nsqd: Start) -> None:
    """One was given a small --max-msg-size, or another secret."""
    small, good = nsqd(takes_none), nsqd(takes)
    with Publisher([small.address, good.address], "votes", timeout_s=30) as publisher:
        publisher.publish(BODIES)
    assert BODIES == good.taken
    assert 1 == small.refused, "who confirmed is asked first"


def test_what_all_refuse_is_told_at_once(nsqd: Start) -> None:
    nsqds = [nsqd(takes_none).address, nsqd(takes_none).address]
    with Publisher(nsqds, "votes", timeout_s=60) as publisher, pytest.raises(Invalid, match="E_BAD_MESSAGE"):
        publisher.publish(BODIES)


def test_a_refusal_beside_one_that_is_down_waits_for_that_one(nsqd: Start, timed: Timed) -> None:
    nsqds = [nsqd(takes_none).address, "127.0.0.1:1"]
    with Publisher(nsqds, "votes", timeout_s=30) as publisher, pytest.raises(NoNsqd):
        publisher.publish(BODIES)
    assert timed.now_s > 20


def test_of_two_copies_the_one_that_is_refused_is_missing(nsqd: Start, timed: Timed) -> None:
    small, good = nsqd(takes_none), nsqd(takes)
    with Publisher([small.address, good.address], "votes", both=True, timeout_s=30) as publisher:
        publisher.publish(BODIES)
        assert len(BODIES) == publisher.single
    assert BODIES == good.taken


def test_one_copy_is_enough_where_the_next_pause_would_pass_the_deadline(
    nsqd: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "PAUSE_MIN_S", 60.0)
    small, good = nsqd(takes_none), nsqd(takes)
    with Publisher([small.address, good.address], "votes", both=True, timeout_s=30) as publisher:
        publisher.publish(BODIES)
        assert len(BODIES) == publisher.single
    assert BODIES == good.taken


def test_a_second_nsqd_that_hangs_is_not_waited_for_each_time(nsqd: Start) -> None:
    """Its machine is gone, say. Otherwise a few votes would go there in each of the seconds that it is given."""
    over = threading.Event()
    asked: list[int] = []

    def hangs(bodies: list[bytes]) -> tuple[int, bytes]:
        asked.append(len(bodies))
        over.wait(60)
        return OK

    silent, good = nsqd(hangs), nsqd(takes)
    with Publisher([silent.address, good.address], "votes", both=True, timeout_s=7) as publisher:
        for body in BODIES:
            publisher.publish([body])
        assert len(BODIES) == publisher.single
    over.set()
    assert len(asked) < len(BODIES) // 5
    assert BODIES == good.taken


def test_a_second_nsqd_that_is_known_later_gets_its_copy(
    nsqd: Start, monkeypatch: pytest.MonkeyPatch, timed: Timed
) -> None:
    """nsqlookupd has forgotten one that was killed. Once it is back, it is known again."""
    monkeypatch.setattr(publishing, "OTHERS_EVERY_S", 0.0)
    first, second = nsqd(takes), nsqd(takes)
    known = [first.address]
    with Publisher(known, "votes", both=True, timeout_s=30, others=lambda: known) as publisher:
        publisher.publish(BODIES[:10])
        assert 10 == publisher.single
        known = [second.address]
        publisher.publish(BODIES[10:])
        assert 10 == publisher.single
    assert BODIES == first.taken
    assert BODIES[10:] == second.taken


def test_an_nsqd_with_a_small_body_gets_fewer_messages_at_a_time(nsqd: Start) -> None:
    """It was given a small --max-body-size. It is not asked to take more again and again."""

    def takes_a_few(bodies: list[bytes]) -> tuple[int, bytes]:
        size = 4 + sum(4 + len(body) for body in bodies)
        return OK if size <= 300 else (1, b"E_BAD_BODY MPUB body too big %d > 300" % size)

    small = nsqd(takes_a_few)
    with Publisher([small.address], "votes", timeout_s=30) as publisher:
        publisher.publish(BODIES)
    assert BODIES == small.taken
    assert small.refused <= 3, count(small.refused, "refusal")


@pytest.mark.parametrize("terms", [b"\xff{{{", b"[]", b"null", b"1"])
def test_terms_that_cannot_be_read_are_those_of_no_nsqd(nsqd: Start, timed: Timed, terms: bytes) -> None:
    strange = nsqd(takes, terms)
    with (
        Publisher([strange.address], "votes", timeout_s=30) as publisher,
        pytest.raises(NoNsqd, match="what it answers cannot be read"),
    ):
        publisher.publish(BODIES)

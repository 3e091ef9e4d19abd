"""What votes cost a node by HTTP, in steps: `tests/support/steps.py`."""

from __future__ import annotations

import pytest

from tests.support.http_node import MOOD, Node, running
from tests.support.steps import StepCount, Steps

ROUNDS = 5
VOTES = 250
REQUESTS, BULK = 25, 1_000


def steps_a_request(node: Node, bodies: list[bytes], *, key: bool = False) -> Steps:
    """On the node's loop, of each request but the first."""
    count = StepCount()
    with node.dial() as sock:

        def vote(number: int, body: bytes) -> None:
            keyed = b"Idempotency-Key: k%06d\r\n" % number if key else b""
            head = b"POST /votes HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n"
            sock.sendall(head % (keyed, len(body)) + body)
            assert sock.recv(65_536).startswith(b"HTTP/1.1 200 ")

        vote(0, bodies[0])
        times = (len(bodies) - 1) // ROUNDS
        for first in range(1, len(bodies), times):
            node.call(count.start)
            for number in range(first, first + times):
                vote(number, bodies[number])
            node.call(count.stop, times)
    return count.fewest()


@pytest.mark.parametrize(
    ("small", "known"), [(True, Steps(184, 163, 655)), (False, Steps(224, 183, 830))], ids=["small", "ASGI"]
)
def test_a_vote_alone_takes_no_more_steps_than_it_did(small: bool, known: Steps) -> None:
    """From its bytes to its answer, with a batch and an entry of its own, on a cluster of one node without a disk."""
    with running(small=small) as node:
        node.ask("POST", "/polls", MOOD)
        steps = steps_a_request(node, [b'{"option":"happy","id":"v%06d"}' % number for number in range(VOTES + 1)])
    assert {} == steps.beyond(known)


@pytest.mark.parametrize(
    ("key", "known"), [(False, Steps(874, 6_770, 12_510)), (True, Steps(1_405, 1_523, 7_274))], ids=["ids", "key"]
)
def test_a_thousand_votes_a_request_take_no_more_steps_than_they_did(key: bool, known: Steps) -> None:
    """With an id each, or all under one idempotency key.

    An id is hashed by three calls, which take half the time of the one that begins a hash.
    """
    vote = b'{"option":"happy"}' if key else b'{"option":"happy","id":"@.%03d"}'
    body = b"[%b]" % b",".join(vote if key else vote % place for place in range(BULK))
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        bodies = [body.replace(b"@", b"v%06d" % number) for number in range(REQUESTS + 1)]
        steps = steps_a_request(node, bodies, key=key)
    assert {} == steps.beyond(known)

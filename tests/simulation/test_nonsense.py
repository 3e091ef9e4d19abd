"""One member sends whatever fits the format: it never stops another node, and never changes what is committed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import get_args

import msgspec
import pytest

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.elections import LEADER
from tests.stock.one_engine import OneEngine

SEQUENCES = 150
MESSAGES = 60
ID = "0f" * 16

Draw = Callable[[], int]


def numbers(rng: random.Random, near: list[int]) -> Draw:
    """Numbers around those that mean something to the node, and wild ones."""

    def draw() -> int:
        if rng.random() < 0.7:
            return max(0, rng.choice(near) + rng.randint(-2, 2))
        return rng.choice([0, 1, 2**31, 2**32, 2**53, 2**62 - 1, 2**62, rng.randrange(2**62)])

    return draw


def entries(rng: random.Random, draw: Draw) -> list[tuple[int, bytes]]:
    return [
        (draw(), rng.choice([b"", b"\x00", b"\x01", b"\x02", b"\x03", b"\x07"]) + rng.randbytes(rng.randint(0, 9)))
        for _ in range(rng.choice([0, 0, 1, 1, 3]))
    ]


def any_message(rng: random.Random, draw: Draw) -> messages.Message:
    def flag() -> bool:
        return rng.random() < 0.5

    kinds: list[Callable[[], messages.Message]] = [
        lambda: messages.Append(draw(), draw(), draw(), draw(), entries(rng, draw), draw()),
        lambda: messages.Appended(draw(), draw(), flag(), flag(), draw()),
        lambda: messages.RequestBallot(draw(), draw(), draw(), flag(), flag(), ""),
        lambda: messages.Ballot(draw(), flag()),
        lambda: messages.TimeoutNow(draw()),
        lambda: messages.SnapshotChunk(
            draw(),
            draw(),
            draw(),
            rng.randbytes(16),
            rng.randbytes(rng.choice([0, 4])),
            draw(),
            "0f" * 16,
            draw(),
            b"x",
        ),
        lambda: messages.SnapshotAck(draw(), ID, draw()),
    ]
    return rng.choice(kinds)()


def take(engine: OneEngine, peer: str, message: messages.Message) -> None:
    if isinstance(message, messages.SnapshotChunk | messages.SnapshotAck):
        engine.trust.drops(peer, message)  # what is not dropped goes to the snapshots, see test_replica_hostile
    else:
        engine.hears(peer, message)


def test_all_messages_have_been_thought_of() -> None:
    rng = random.Random(1)
    drawn = {type(any_message(rng, lambda: 1)) for _ in range(500)}
    assert set(get_args(messages.Message)) == drawn


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_no_message_of_a_member_stops_a_node(role: str) -> None:
    for seed in range(SEQUENCES):
        rng = random.Random(f"{role} {seed}")
        with OneEngine() as a:
            a.follows(3, b"x", b"y", commit=3)
            if role == "leader":
                term = a.leads()
                a.proposes(b"z")
                a.syncs()
                a.hears("b", messages.Appended(term, a.journal.last_index + 1, success=True, reset=False))
            a.engine.tick()
            for _ in range(MESSAGES):
                committed = a.journal[: a.engine.commit_index]
                engine, journal = a.engine, a.journal
                near = [engine.term_now, journal.last_index, engine.commit_index, engine.read_round]
                message = any_message(rng, numbers(rng, near))
                try:
                    take(a, "c", message)
                    a.syncs()
                    a.engine.tick()
                except Exception as error:
                    error.add_note(f"seed {seed}: {message}")
                    raise
                assert committed == a.journal[: len(committed)], f"seed {seed}: {message}"


def test_a_leader_goes_on_leading_whatever_one_member_answers() -> None:
    """No answer in its own term, and no message that makes no sense, costs it its leadership."""
    rng = random.Random(7)
    with OneEngine() as a:
        term = a.leads()
        a.hears("b", messages.Appended(term, a.journal.last_index + 1, success=True, reset=False))
        a.engine.tick()
        for _ in range(3000):
            message = any_message(rng, numbers(rng, [term, a.journal.last_index]))
            if message.term > term and message.term <= term + 10:
                message = msgspec.structs.replace(message, term=term)  # a later term that is possible does end it
            if message.term > term and message.term < term + 2**33:
                continue
            take(a, "c", message)
            a.engine.tick()
            assert (LEADER, term) == (a.engine.role, a.engine.term_now), message

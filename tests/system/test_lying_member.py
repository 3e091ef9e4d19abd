"""A member that lies, beside two that count votes: it says what it likes, as fast as it can, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from quorate.cluster.entry import FEATURE_LEVEL
from quorate.cluster.raft import messages
from quorate.cluster.raft.members import REMOVED
from quorate.cluster.raft.storage.directory import IDENTITY_NAME, NodeIdentity
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.raft.transport.streams import CALLS, INTRODUCTIONS, PART_BYTES, RAFT, REFUSALS
from quorate.processes.node import NodeProcess
from tests.simulation.test_nonsense import any_message, numbers
from tests.support.cluster import Cluster
from tests.system.test_wrong_key import KEY
from tests.unit.raft.raw_peer import RawPeer, encode

LIES_S, VOTES = 1.0, 20  # each time
MORE = 0x80

Say = Callable[[RawPeer], None]


class _Identity(msgspec.Struct):
    identity: NodeIdentity


def lies(term: int) -> Iterator[Say]:
    """What it says again and again, each for a while."""
    rng = random.Random(7)

    def nonsense(peer: RawPeer) -> None:
        message = any_message(rng, numbers(rng, [term, 20]))
        # A later term may be true, so it ends a leadership.
        message = msgspec.structs.replace(message, term=min(term, message.term))
        peer.say(RAFT, messages.encode(message))

    def call(kind: str, body: bytes) -> Say:
        return lambda peer: peer.say(CALLS, encode([1, rng.randrange(2**32), kind, body]))

    yield nonsense
    yield call("nothing", b"")
    yield call("members", b"\xc1")
    yield call("read", encode(["results", "mood", "weak", 2**62, 1e9]))
    yield lambda peer: peer.say(RAFT, bytes(PART_BYTES), more=MORE)
    yield lambda peer: peer.say(RAFT, messages.encode(messages.Appended(term, 1, success=False, reset=True)))


async def lie(node: NodeProcess, introduction: Introduction, say: Say, until_s: float) -> None:
    """Say it to this node until then, and in the end that the node was removed. If it is hung up on, it comes again."""
    while time.monotonic() < until_s:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            async with await RawPeer.connect(node.place.raft.port) as peer, asyncio.timeout(LIES_S + 1):
                await peer.greet("n3", key=KEY.encode())
                peer.say(INTRODUCTIONS, encode(introduction))
                reading = asyncio.create_task(peer.is_hung_up_on(within_s=60))
                while time.monotonic() < until_s and not reading.done():
                    for _ in range(50):
                        say(peer)
                    await peer.writer.drain()
                    await asyncio.sleep(0)
                peer.say(REFUSALS, f"{node.id} was {REMOVED}".encode())
                await peer.writer.drain()
                reading.cancel()


@pytest.mark.timeout(120)
def test_a_member_that_lies_stops_nobody_and_loses_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path, 3, {"raft.key": KEY}) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        three = cluster["n3"]
        if three.leads():
            with cluster.client() as client:
                client.transfer_leadership()
            cluster.leader(other_than=three)
        disk = msgspec.json.decode((three.folder / IDENTITY_NAME).read_bytes(), type=_Identity).identity
        name = disk.cluster_name or "quorate"
        three.kill()
        honest = [cluster["n1"], cluster["n2"]]
        said = Introduction("n3", disk.incarnation, name, disk.cluster_id, disk.members, [], "", level=FEATURE_LEVEL)
        said.member_at = 2
        term = cluster.leader(other_than=three).get("/status")["raft"]["term"]

        async def all_hear(say: Say, votes: str) -> None:
            until_s = time.monotonic() + LIES_S
            lying = [lie(node, said, say, until_s) for node in honest]
            await asyncio.gather(*lying, asyncio.to_thread(cluster.cast, votes, VOTES))

        told = list(lies(term))
        for number, say in enumerate(told):
            asyncio.run(all_hear(say, f"during-{number}"))
            assert [True, True] == [node.running for node in honest]
        cast = VOTES * len(told)
        counted = [node.get("/polls/mood/results?level=linearizable") for node in honest]
        assert [cast, cast] == [shown and shown["results"]["happy"] for shown in counted]
        for node in honest:
            lines = node.place.log.read_text()
            assert "link to n3" in lines, "it was let in"
            assert "Traceback" not in lines

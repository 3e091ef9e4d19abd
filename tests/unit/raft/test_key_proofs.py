"""Who proves first that it has the key, and two keys at a time while the key is exchanged."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.raft.transport.handshake.cipher import BadFrame, agree
from quorate.cluster.raft.transport.handshake.credentials import Credentials
from quorate.cluster.raft.transport.handshake.handshake import NOTHING_BYTES
from quorate.cluster.raft.transport.inquiry import ask_who_is_at
from quorate.cluster.raft.transport.streams import INTRODUCTIONS
from tests.support.waiting import until
from tests.unit.raft.raw_peer import KEY, Node, RawPeer, Run, pair
from tests.unit.raft.test_link_reasons import OTHER, refused

NEW = b"the next key of this cluster"


def test_who_dials_and_proves_nothing_is_shown_nothing(run: Run) -> None:
    """What is sealed with the key can be used to try keys on, as fast as a machine can."""

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as stranger:
            await stranger.greet()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stranger.frame(), 0.3)

    run(main())


def test_who_dials_with_another_key_is_shown_nothing_that_was_sealed(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as stranger:
            hello = await stranger.greet(key=OTHER)
            stranger.introduce()
            told = await stranger.frame()
            assert NOTHING_BYTES == len(told)
            assert stranger.hello is not None
            for key in (KEY, OTHER):
                with pytest.raises(BadFrame):
                    agree(key, dialled=True, ours=stranger.hello, theirs=hello).open(told)
            assert await stranger.is_hung_up_on()

    run(main())


def test_who_dials_and_proves_itself_is_shown_who_is_there(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as peer:
            await peer.come_in()
            assert INTRODUCTIONS == (await peer.hear())[0]

    run(main())


KEYS = [
    ((KEY,), (KEY, NEW)),
    ((KEY,), (NEW, KEY)),
    ((KEY, NEW), (NEW, KEY)),
    ((NEW, KEY), (NEW,)),
    ((NEW,), (KEY, NEW)),
]


@pytest.mark.parametrize(("here", "there"), KEYS)
@pytest.mark.parametrize("dialler", ["n1", "n2"])
def test_two_nodes_with_a_key_in_common_connect(
    run: Run, here: tuple[bytes, ...], there: tuple[bytes, ...], dialler: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            one.transport.credentials, two.transport.credentials = Credentials(here), Credentials(there)
            one.dial(two) if dialler == "n1" else two.dial(one)
            await until("both are in", lambda: one.transport.is_open("n2") and two.transport.is_open("n1"))
            told = await ask_who_is_at(f"127.0.0.1:{one.port}", "n1", "n2", Credentials(there))
            assert "n1" == told.node_id

    run(main())


def test_two_nodes_without_a_key_in_common_say_so(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            one.transport.credentials, two.transport.credentials = Credentials((KEY, NEW)), Credentials((OTHER,))
            one.dial(two)
            two.dial(one)
            await until("both know", lambda: refused(one, "n2") and refused(two, "n1"))
            assert "its raft.key is another one" in refused(one, "n2")
            assert "its raft.key is another one" in refused(two, "n1")

    run(main())


async def until_back(one: Node, two: Node, ups: int) -> None:
    await until("they are back", lambda: len(one.up) + len(two.up) >= ups + 2)


def test_a_key_is_exchanged_one_node_after_the_other(run: Run) -> None:
    """At each step the connection is made again, and it comes about."""

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            await pair(one, two)
            steps = [(one, (NEW, KEY)), (two, (NEW, KEY)), (one, (NEW,)), (two, (NEW,))]
            for node, keys in steps:
                node.transport.credentials = Credentials(keys)
                ups = len(one.up) + len(two.up)
                one.transport.refuse("n2", "it is started again")
                await until_back(one, two, ups)

    run(main())

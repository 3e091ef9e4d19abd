"""Votes from NSQ are counted exactly once, also if messages come again or are published twice."""

from __future__ import annotations

import asyncio

import pytest

from quorate.vote import Vote
from tests.services.nsq.counting import crash, source, vote
from tests.services.nsq.raw import RawClient
from tests.services.nsq.servers import Servers
from tests.support.local_cluster import DyingCaster, local_cluster
from tests.support.on_loop import on_loop
from tests.support.waiting import until, wait_for

# ---- bodies ---------------------------------------------------------------------------------------------------------

BODIES = [
    ("an option as plain text", b"happy", {"happy": 1, "sad": 0}),
    ("with the end of its line", b"sad\r\n", {"happy": 0, "sad": 1}),
    ("a vote", b'{"option":"happy","weight":3}', {"happy": 3, "sad": 0}),
    ("a vote on several lines", b'{\n "option": "happy"\n}\n', {"happy": 1, "sad": 0}),
    ("an array", b' [{"option":"happy"},{"option":"sad","poll":"mood"}]', {"happy": 1, "sad": 1}),
    ("NDJSON", b'{"option":"happy"}\n\n{"option":"happy"}\r\n{"option":"sad"}\n', {"happy": 2, "sad": 1}),
    ("ids that repeat", b'[{"option":"happy","id":"a"},{"option":"happy","id":"a"}]', {"happy": 1, "sad": 0}),
]


@pytest.mark.parametrize(("body", "tally"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
@on_loop
async def test_bodies(servers: Servers, body: bytes, tally: dict[str, int]) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    async with source(counted.submitter, nsqd):
        nsqd.publish("votes", body)
        await until("it is counted", lambda: counted.total)
        await until("it is finished", lambda: nsqd.unfinished("votes", "counter") == 0)
    assert tally == counted.results()


# ---- once -----------------------------------------------------------------------------------------------------------


@on_loop
async def test_every_message_counts_and_is_finished(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    nsqd.publish("votes", *[b"happy"] * 700, *[b"sad"] * 300)
    async with source(counted.submitter, nsqd) as taking:
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0 and counted.total == 1_000)
        assert (1_000, 1_000, 0) == tuple(taking.status()[name] for name in ("messages", "applied", "duplicates"))
    assert {"happy": 700, "sad": 300} == counted.results()
    # Messages that arrive together share an entry of the log.
    assert len(counted.replica.proposed) < 200


@on_loop
async def test_a_message_that_timed_out_while_it_was_counted_counts_once(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    nsqd.publish("votes", b"happy", vote("sad"), vote("sad", "id-1"), b'[{"option":"happy"},{"option":"happy"}]')
    silent = DyingCaster(counted.submitter)
    async with source(silent, nsqd, msg_timeout_ms=1_000) as stuck:
        await until("all are counted", lambda: silent.counted == 5)
        await crash(stuck)
    async with source(counted.submitter, nsqd, node_id="n2") as taking:
        await until("all came again", lambda: taking.status()["duplicates"] == 5)
        assert 4 == taking.status()["redelivered"]
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0)
    assert {"happy": 3, "sad": 2} == counted.results()


@on_loop
async def test_a_message_that_takes_long_to_count_is_not_delivered_again(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    async with source(counted.submitter, nsqd, msg_timeout_ms=1_000, cast_timeout_s=10) as taking:
        counted.replica.held = []
        nsqd.publish("votes", b"happy")
        await until("it is proposed", lambda: counted.replica.held)
        await asyncio.sleep(2.5)  # more than two timeouts
        held, counted.replica.held = counted.replica.held, None
        for entry, answer in held:
            counted.replica.commit(entry, answer)
        await until("it is finished", lambda: nsqd.unfinished("votes", "counter") == 0)
        assert (0, 0) == (taking.status()["redelivered"], nsqd.channel("votes", "counter")["timeout_count"])
    assert 1 == counted.total


@on_loop
async def test_the_same_vote_published_to_two_nsqds_counts_once(servers: Servers) -> None:
    lookupd, counted = servers.lookupd(), await local_cluster()
    both = [servers.nsqd(lookupd_tcp_address=lookupd.tcp) for _ in range(2)]
    for nsqd in both:
        nsqd.publish("votes", *(vote("happy" if n % 3 else "sad", f"v{n}") for n in range(300)))
    async with source(counted.submitter, lookupd) as taking:
        await until("all copies are seen", lambda: taking.status()["duplicates"] == 300)
    assert {"happy": 200, "sad": 100} == counted.results()


@on_loop
async def test_nsqds_whose_message_ids_collide_lose_nothing(servers: Servers) -> None:
    """Two nsqds on one host have the same node id. The doubles then give the same message ids; nsqd may by chance."""
    counted = await local_cluster()
    flags = {"first_id": 1} if servers.kind == "double" else {}
    first, second = servers.nsqd(node_id=7, **flags), servers.nsqd(node_id=7, **flags)
    first.publish("votes", *[b"happy"] * 500)
    second.publish("votes", *[b"sad"] * 300, *[b"happy"] * 200)
    async with source(counted.submitter, first, second) as taking:
        await until("all are counted", lambda: taking.status()["applied"] == 1_000, seen=lambda: taking.status())
    assert {"happy": 700, "sad": 300} == counted.results()


@on_loop
async def test_another_channel_gets_every_vote_too(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    with RawClient(nsqd.address).subscribe("votes", "archive", ready=100) as archive:
        async with source(counted.submitter, nsqd):
            await until("both channels are there", lambda: nsqd.channel("votes", "counter")["client_count"])
            nsqd.publish("votes", *(b"happy" for _ in range(50)))
            await until("all are counted", lambda: counted.total == 50)
        assert 50 == len({message.id for message in archive.messages(50)})


# ---- pausing and stopping -------------------------------------------------------------------------------------------


@on_loop
async def test_a_paused_source_takes_nothing_until_it_is_resumed(servers: Servers) -> None:
    lookupd, counted = servers.lookupd(), await local_cluster()
    nsqd = servers.nsqd(lookupd_tcp_address=lookupd.tcp)
    nsqd.publish("votes", b"happy")
    async with source(counted.submitter, lookupd) as taking:
        await until("it flows", lambda: counted.total == 1)
        taking.pause()
        await until("nothing is asked for", lambda: [0] == nsqd.ready("votes", "counter"))
        nsqd.publish("votes", *[b"happy"] * 300)
        later = servers.nsqd(lookupd_tcp_address=lookupd.tcp)
        later.publish("votes", b"sad")
        await until("the later nsqd is found", lambda: taking.status()["connections"] == 2)
        assert 1 == counted.total
        taking.resume()
        await until("all are counted", lambda: counted.total == 302)
        await until("both are asked for as many", lambda: [100] == nsqd.ready("votes", "counter"))
    assert 0 == nsqd.unfinished("votes", "counter")


@on_loop
async def test_stopping_gives_unfinished_messages_to_another_node_at_once(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    counted.replica.lead(None)
    nsqd.publish("votes", *[b"happy"] * 300)
    async with source(counted.submitter, nsqd, hold_s=60) as stopping:
        await until("many are in flight", lambda: stopping.status()["in_flight"] >= 100)
        await stopping.stop(1_000.0)  # it does not wait so long
    assert (0, 300) == (nsqd.channel("votes", "counter")["in_flight_count"], nsqd.unfinished("votes", "counter"))
    counted.replica.lead("n1")
    async with source(counted.submitter, nsqd, node_id="n2"):
        await until("all are counted", lambda: counted.total == 300)
    assert 300 == counted.total


@on_loop
async def test_stopping_finishes_messages_that_are_being_counted(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    nsqd.publish("votes", *[b"happy"] * 2_000)
    async with source(counted.submitter, nsqd):
        await until("it flows", lambda: counted.total >= 200)
    assert 0 == nsqd.channel("votes", "counter")["in_flight_count"]
    assert 2_000 == counted.total + nsqd.unfinished("votes", "counter")


@on_loop
async def test_a_source_without_any_nsqd_starts_and_stops(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    nsqd.kill()
    async with source(counted.submitter, nsqd) as taking:
        await until("it says so", lambda: "no connection to nsqd" in taking.status()["last_error"])
        nsqd.start()
        nsqd.publish("votes", b"happy")
        await until("it is counted once nsqd is there", lambda: counted.total == 1)


# ---- looking at it --------------------------------------------------------------------------------------------------


@on_loop
async def test_status_shows_depth_and_connections(servers: Servers) -> None:
    lookupd, counted = servers.lookupd(), await local_cluster()
    nsqd = servers.nsqd(lookupd_tcp_address=lookupd.tcp)
    nsqd.publish("votes", b"happy")
    async with source(counted.submitter, lookupd) as taking:
        await until("the depth is known", lambda: taking.status()["depth"] == 0)
        status = taking.status()
    assert ("votes", "counter", [nsqd.tcp]) == (status["topic"], status["channel"], status["nsqd"])


@on_loop
async def test_a_vote_sent_by_http_and_by_nsq_counts_once(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    await counted.submitter.cast([Vote("happy", "u1")], timeout_s=30)
    async with source(counted.submitter, nsqd) as taking:
        nsqd.publish("votes", vote("happy", "u1"))
        await until("it is seen", lambda: taking.status()["duplicates"] == 1)
    assert 1 == counted.total
    wait_for("it is finished", lambda: nsqd.unfinished("votes", "counter") == 0)

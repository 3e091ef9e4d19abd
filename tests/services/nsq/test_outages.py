"""Votes from NSQ are counted exactly once when an nsqd dies, and when the cluster cannot count for a while."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import pytest

from tests.services.nsq.counting import source
from tests.services.nsq.servers import DURABLE, Servers
from tests.support.local_cluster import local_cluster
from tests.support.on_loop import on_loop
from tests.support.waiting import until

# ---- nsqd dies ------------------------------------------------------------------------------------------------------


@on_loop
async def test_what_is_queued_in_a_killed_nsqd_is_counted_after_its_restart(servers: Servers) -> None:
    lookupd, counted = servers.lookupd(), await local_cluster()
    nsqd = servers.nsqd(**DURABLE, lookupd_tcp_address=lookupd.tcp)
    nsqd.publish("votes", *[b"happy"] * 400)
    async with source(counted.submitter, lookupd) as taking:
        await until("some are counted", lambda: counted.total >= 100)
        nsqd.post("/channel/pause?topic=votes&channel=counter")
        await until("none is in flight", lambda: nsqd.channel("votes", "counter")["in_flight_count"] == 0)
        nsqd.publish("votes", *[b"sad"] * 100)
        await until("all are queued", lambda: nsqd.unfinished("votes", "counter") == 500 - counted.total)
        nsqd.kill()
        await until("the loss is seen", lambda: taking.status()["connections"] == 0)
        nsqd.start()
        nsqd.post("/channel/unpause?topic=votes&channel=counter")
        await until("all are counted", lambda: counted.total >= 500 and nsqd.unfinished("votes", "counter") == 0)
    assert {"happy": 400, "sad": 100} == counted.results()


@on_loop
async def test_messages_that_are_held_when_their_nsqd_dies_are_counted(servers: Servers) -> None:
    """nsqd loses messages in flight. Then this node has the only copy."""
    nsqd, counted = servers.nsqd(**DURABLE), await local_cluster()
    nsqd.publish("votes", *[b"happy"] * 20)
    async with source(counted.submitter, nsqd, hold_s=0.2) as taking:
        counted.replica.lead(None)
        await until("all are held", lambda: taking.status()["in_flight"] == 20 or taking.status()["messages"] >= 20)
        nsqd.kill()
        await until("the loss is seen", lambda: taking.status()["connections"] == 0)
        await asyncio.sleep(0.5)  # longer than messages are held
        counted.replica.lead("n1")
        nsqd.start()
        await until("all are counted", lambda: counted.total >= 20, seen=lambda: taking.status())
        await until("and finished", lambda: nsqd.unfinished("votes", "counter") == 0)
    assert {"happy": 20, "sad": 0} == counted.results()


@on_loop
async def test_an_nsqd_that_keeps_everything_is_killed_while_messages_flow(servers: Servers) -> None:
    if servers.kind != "double":
        pytest.skip("nsqd loses what is in flight when it is killed: test_conformance.py shows it")
    nsqd, counted = servers.nsqd(**DURABLE, keep_all=1), await local_cluster()
    nsqd.publish("votes", *[b"happy"] * 3_000)
    async with source(counted.submitter, nsqd, max_in_flight=50):
        for least in (500, 1_500, 2_500):
            await until("it goes on", partial(lambda least: counted.total >= least, least))
            nsqd.kill()
            nsqd.start()
        await until("all are finished", lambda: counted.total >= 3_000 and nsqd.unfinished("votes", "counter") == 0)
    assert 3_000 == counted.total


@on_loop
async def test_an_nsqd_that_stops_answering_does_not_hold_up_another(servers: Servers) -> None:
    frozen, well, counted = servers.nsqd(), servers.nsqd(), await local_cluster()
    async with source(counted.submitter, frozen, well) as taking:
        await until("both are connected", lambda: taking.status()["connections"] == 2)
        frozen.pause()
        well.publish("votes", *[b"happy"] * 100)
        await until("the other's are counted", lambda: counted.total == 100)
        frozen.resume()


@on_loop
async def test_nsqds_are_found_when_they_come_and_kept_without_lookupd(servers: Servers) -> None:
    lookupd, counted = servers.lookupd(), await local_cluster()
    async with source(counted.submitter, lookupd) as taking:
        nsqd = servers.nsqd(lookupd_tcp_address=lookupd.tcp)
        nsqd.publish("votes", b"happy")
        await until("the new one is found", lambda: counted.total == 1)
        lookupd.kill()
        await until("lookupd is missed", lambda: "nsqlookupd" in taking.status()["last_error"])
        nsqd.stop()
        nsqd.start()
        nsqd.publish("votes", b"happy")
        await until("the known one is found again", lambda: counted.total == 2)


@on_loop
async def test_each_trouble_is_logged_once_and_again_when_it_returns(caplog: pytest.LogCaptureFixture) -> None:
    """It does not matter how often and in which order the servers are tried."""
    counted = await local_cluster()
    gone: dict[str, Any] = {"nsqd": ["127.0.0.1:1", "127.0.0.1:2"], "lookupd": ["127.0.0.1:3"], "lookupd_poll_s": 0.05}
    counted.replica.lead(None)
    async with source(counted.submitter, **gone) as taking:
        await asyncio.sleep(2)  # each nsqd is tried a few times, nsqlookupd many times
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert 3 == len(said) == len(set(said)), said
        for _ in range(2):
            taking.troubles.note("cluster", "no leader")
            taking.troubles.note("cluster", "no leader")
            taking.troubles.note("cluster", "")
    assert 2 == sum("no leader" in record.getMessage() for record in caplog.records)


@on_loop
async def test_tcp_and_http_addresses_that_are_mixed_up_are_reported_once(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    mixed_up: dict[str, Any] = {"nsqd": [nsqd.http], "lookupd": [nsqd.http], "lookupd_poll_s": 0.05}
    async with source(counted.submitter, **mixed_up) as taking:
        await asyncio.sleep(1.5)  # each is tried a few times
        assert 0 == taking.status()["connections"]
    said = "\n".join(sorted(record.getMessage() for record in caplog.records))
    assert 2 == len(caplog.records), said
    assert "is this nsqd's TCP address?" in said
    assert "is this nsqlookupd's HTTP address?" in said
    assert not any(record.exc_info for record in caplog.records)


@on_loop
async def test_a_lookupd_that_answers_again_is_reported(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    lookupd, counted = servers.lookupd(), await local_cluster()
    lookupd.kill()
    async with source(counted.submitter, lookupd) as taking:
        await until("lookupd is missed", lambda: "nsqlookupd" in taking.status()["last_error"])
        lookupd.start()
        await until("it is told", lambda: f"nsqlookupd {lookupd.http} answers again" in caplog.text)


# ---- when nothing can be counted ------------------------------------------------------------------------------------


@on_loop
async def test_without_a_leader_messages_are_given_back_and_later_flow_again_at_once(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    counted.replica.lead(None)
    nsqd.publish("votes", *[b"happy"] * 500)
    async with source(counted.submitter, nsqd, hold_s=0.2, max_in_flight=100) as taking:
        await until("some are given back", lambda: taking.status()["requeued"] > 100)
        assert taking.status()["throttled"]
        await until("one message at a time is asked for", lambda: [1] == nsqd.ready("votes", "counter"))
        start_s = time.monotonic()
        counted.replica.lead("n1")
        await until("all are counted", lambda: counted.total == 500)
        took_s = time.monotonic() - start_s
        assert not taking.status()["throttled"]
        await until("all are asked for again", lambda: [100] == nsqd.ready("votes", "counter"))
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0)
    assert took_s < 3.6, "pynsq's backoff would have waited 3.6 s after the first failure"
    assert 500 == counted.total


@on_loop
async def test_big_messages_that_cannot_be_counted_do_not_fill_the_memory(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    padding = b" " * 900_000
    for _ in range(30):
        nsqd.publish("votes", b'[{"option":"happy"}' + padding + b"]")
    counted.replica.lead(None)
    async with source(counted.submitter, nsqd, hold_s=30) as taking:
        await until("much is held", lambda: taking.status()["in_flight_bytes"] > 16_000_000)
        await asyncio.sleep(0.5)
        assert taking.status()["in_flight_bytes"] < 18_000_000
        counted.replica.lead("n1")
        await until("all is counted", lambda: counted.total == 30)
        await until("all is finished", lambda: nsqd.unfinished("votes", "counter") == 0)
        assert 0 == taking.status()["in_flight_bytes"]


@on_loop
async def test_another_node_counts_what_one_node_cannot(servers: Servers) -> None:
    nsqd, counted, cut_off = servers.nsqd(), await local_cluster(), await local_cluster()
    cut_off.replica.lead(None)
    async with source(cut_off.submitter, nsqd, hold_s=0.2):
        nsqd.publish("votes", *[b"happy"] * 50)
        await until("the node without a leader has some", lambda: nsqd.channel("votes", "counter")["in_flight_count"])
        async with source(counted.submitter, nsqd, node_id="n2"):
            await until("all are counted", lambda: counted.total == 50)
            await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0)


@on_loop
async def test_an_unknown_outcome_is_tried_again_and_counts_once(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    async with source(counted.submitter, nsqd) as taking:
        counted.replica.held = []
        nsqd.publish("votes", *[b"happy"] * 30)
        await until("all are proposed", lambda: counted.replica.held and taking.status()["votes"] >= 1)
        for entry, _ in counted.replica.held:
            counted.replica.state.apply(entry)  # committed, but the answer is lost
        counted.replica.lead("n2")
        counted.replica.held = None
        counted.replica.lead("n1")
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0 and counted.total >= 30)
        assert taking.status()["duplicates"] >= 1
    assert 30 == counted.total

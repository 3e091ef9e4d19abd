"""Votes from NSQ are counted exactly once, whatever comes again, dies or is published twice."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import Any

import pytest

from quorate.vote import Vote
from tests.services.nsq.counting import Crashing, cluster, crash, on_loop, source, until
from tests.services.nsq.raw import RawClient, Received
from tests.services.nsq.servers import DURABLE, Server, Servers
from tests.support.waiting import wait_for


def vote(option: str, id: str | None = None, **more: object) -> bytes:
    return json.dumps({"option": option} | ({"id": id} if id else {}) | more).encode()


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
    nsqd, counted = servers.nsqd(), await cluster()
    async with source(counted.submitter, nsqd):
        nsqd.publish("votes", body)
        await until("it is counted", lambda: counted.total)
        await until("it is finished", lambda: nsqd.unfinished("votes", "counter") == 0)
    assert tally == counted.results()


# ---- once -----------------------------------------------------------------------------------------------------------


@on_loop
async def test_every_message_counts_and_is_finished(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    nsqd.publish("votes", *[b"happy"] * 700, *[b"sad"] * 300)
    async with source(counted.submitter, nsqd) as taking:
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0 and counted.total == 1_000)
        assert (1_000, 1_000, 0) == tuple(taking.status()[name] for name in ("messages", "applied", "duplicates"))
    assert {"happy": 700, "sad": 300} == counted.results()
    # Group commit: a thousand messages are a few entries, not a thousand.
    assert len(counted.replica.proposed) < 200


@on_loop
async def test_a_message_that_timed_out_while_it_was_counted_counts_once(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    nsqd.publish("votes", b"happy", vote("sad"), vote("sad", "id-1"), b'[{"option":"happy"},{"option":"happy"}]')
    silent = Crashing(counted.submitter)
    async with source(silent, nsqd, msg_timeout_ms=1_000) as stuck:
        await until("all are counted", lambda: silent.counted == 5)
        await crash(stuck)
    async with source(counted.submitter, nsqd, node_id="n2") as taking:
        await until("all came again", lambda: taking.status()["duplicates"] == 5)
        assert 4 == taking.status()["redelivered"]
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0)
    assert {"happy": 3, "sad": 2} == counted.results()


@on_loop
async def test_work_that_takes_long_is_not_given_to_another(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
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
    lookupd, counted = servers.lookupd(), await cluster()
    both = [servers.nsqd(lookupd_tcp_address=lookupd.tcp) for _ in range(2)]
    for nsqd in both:
        nsqd.publish("votes", *(vote("happy" if n % 3 else "sad", f"v{n}") for n in range(300)))
    async with source(counted.submitter, lookupd) as taking:
        await until("all copies are seen", lambda: taking.status()["duplicates"] == 300)
    assert {"happy": 200, "sad": 100} == counted.results()


@on_loop
async def test_nsqds_whose_message_ids_collide_lose_nothing(servers: Servers) -> None:
    """Two nsqds on one host have one node id. (The doubles are made to give the very same ids; nsqd does by chance.)"""
    counted = await cluster()
    flags = {"first_id": 1} if servers.kind == "double" else {}
    first, second = servers.nsqd(node_id=7, **flags), servers.nsqd(node_id=7, **flags)
    first.publish("votes", *[b"happy"] * 500)
    second.publish("votes", *[b"sad"] * 300, *[b"happy"] * 200)
    async with source(counted.submitter, first, second) as taking:
        await until("all are counted", lambda: taking.status()["applied"] == 1_000, seen=lambda: taking.status())
    assert {"happy": 700, "sad": 300} == counted.results()


@on_loop
async def test_another_channel_gets_every_vote_too(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    with RawClient(nsqd.address).subscribe("votes", "archive", ready=100) as archive:
        async with source(counted.submitter, nsqd):
            await until("both channels are there", lambda: nsqd.channel("votes", "counter")["client_count"])
            nsqd.publish("votes", *(b"happy" for _ in range(50)))
            await until("all are counted", lambda: counted.total == 50)
        assert 50 == len({message.id for message in archive.messages(50)})


# ---- nsqd dies ------------------------------------------------------------------------------------------------------


@on_loop
async def test_what_is_queued_in_a_killed_nsqd_is_counted_after_its_restart(servers: Servers) -> None:
    lookupd, counted = servers.lookupd(), await cluster()
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
async def test_messages_held_when_their_nsqd_dies_are_counted_all_the_same(servers: Servers) -> None:
    """nsqd loses what was in flight; we are then the only ones who have it."""
    nsqd, counted = servers.nsqd(**DURABLE), await cluster()
    nsqd.publish("votes", *[b"happy"] * 20)
    async with source(counted.submitter, nsqd, hold_s=0.2) as taking:
        counted.replica.lead(None)
        await until("all are held", lambda: taking.status()["in_flight"] == 20 or taking.status()["messages"] >= 20)
        nsqd.kill()
        await until("the loss is seen", lambda: taking.status()["connections"] == 0)
        await asyncio.sleep(0.5)  # past the time they would have been given back
        counted.replica.lead("n1")
        nsqd.start()
        await until("all are counted", lambda: counted.total >= 20, seen=lambda: taking.status())
        await until("and finished", lambda: nsqd.unfinished("votes", "counter") == 0)
    assert {"happy": 20, "sad": 0} == counted.results()


@on_loop
async def test_a_double_that_keeps_all_is_killed_in_mid_flow(servers: Servers) -> None:
    if servers.kind != "double":
        pytest.skip("nsqd loses what is in flight when it is killed: test_conformance.py shows it")
    nsqd, counted = servers.nsqd(**DURABLE, keep_all=1), await cluster()
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
    frozen, well, counted = servers.nsqd(), servers.nsqd(), await cluster()
    async with source(counted.submitter, frozen, well) as taking:
        await until("both are connected", lambda: taking.status()["connections"] == 2)
        frozen.pause()
        well.publish("votes", *[b"happy"] * 100)
        await until("the other's are counted", lambda: counted.total == 100)
        frozen.resume()


@on_loop
async def test_nsqds_are_found_when_they_come_and_kept_without_lookupd(servers: Servers) -> None:
    lookupd, counted = servers.lookupd(), await cluster()
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
async def test_each_trouble_is_logged_once_and_again_when_it_came_back(caplog: pytest.LogCaptureFixture) -> None:
    """However often all of them are tried, and whichever was tried last."""
    counted = await cluster()
    gone: dict[str, Any] = {"nsqd": ["127.0.0.1:1", "127.0.0.1:2"], "lookupd": ["127.0.0.1:3"], "lookupd_poll_s": 0.05}
    counted.replica.lead(None)
    async with source(counted.submitter, **gone) as taking:
        await asyncio.sleep(2)  # some tries of each nsqd, many of lookupd
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert 3 == len(said) == len(set(said)), said
        for _ in range(2):
            taking._note("cluster", "no leader")
            taking._note("cluster", "no leader")
            taking._note("cluster", "")
    assert 2 == sum("no leader" in record.getMessage() for record in caplog.records)


@on_loop
async def test_http_addresses_and_others_mixed_up_are_told_once(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    mixed_up: dict[str, Any] = {"nsqd": [nsqd.http], "lookupd": [nsqd.http], "lookupd_poll_s": 0.05}
    async with source(counted.submitter, **mixed_up) as taking:
        await asyncio.sleep(1.5)  # some tries of each
        assert 0 == taking.status()["connections"]
    said = "\n".join(sorted(record.getMessage() for record in caplog.records))
    assert 2 == len(caplog.records), said
    assert "is this nsqd's TCP address?" in said
    assert "is this nsqlookupd's HTTP address?" in said
    assert not any(record.exc_info for record in caplog.records)


@on_loop
async def test_a_lookupd_that_answers_again_is_told(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    lookupd, counted = servers.lookupd(), await cluster()
    lookupd.kill()
    async with source(counted.submitter, lookupd) as taking:
        await until("lookupd is missed", lambda: "nsqlookupd" in taking.status()["last_error"])
        lookupd.start()
        await until("it is told", lambda: f"nsqlookupd {lookupd.http} answers again" in caplog.text)


def ready(nsqd: Server) -> list[int]:
    """How many messages each consumer asks for at a time."""
    return [client["ready_count"] for client in nsqd.channel("votes", "counter")["clients"]]


# ---- when nothing can be counted ------------------------------------------------------------------------------------


@on_loop
async def test_without_a_leader_messages_go_back_and_flow_again_at_once(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    counted.replica.lead(None)
    nsqd.publish("votes", *[b"happy"] * 500)
    async with source(counted.submitter, nsqd, hold_s=0.2, max_in_flight=100) as taking:
        await until("some are given back", lambda: taking.status()["requeued"] > 100)
        assert taking.status()["throttled"]
        await until("one message at a time is asked for", lambda: [1] == ready(nsqd))
        start_s = time.monotonic()
        counted.replica.lead("n1")
        await until("all are counted", lambda: counted.total == 500)
        took_s = time.monotonic() - start_s
        assert not taking.status()["throttled"]
        await until("all are asked for again", lambda: [100] == ready(nsqd))
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0)
    assert took_s < 3.6, "pynsq's backoff would have waited 3.6 s after the first failure"
    assert 500 == counted.total


@on_loop
async def test_big_messages_that_cannot_be_counted_do_not_fill_the_memory(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
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
async def test_what_one_node_cannot_count_another_does(servers: Servers) -> None:
    nsqd, counted, cut_off = servers.nsqd(), await cluster(), await cluster()
    cut_off.replica.lead(None)
    async with source(cut_off.submitter, nsqd, hold_s=0.2):
        nsqd.publish("votes", *[b"happy"] * 50)
        await until("the node without a leader has some", lambda: nsqd.channel("votes", "counter")["in_flight_count"])
        async with source(counted.submitter, nsqd, node_id="n2"):
            await until("all are counted", lambda: counted.total == 50)
            await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0)


@on_loop
async def test_an_unknown_outcome_is_tried_again_and_counts_once(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
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


# ---- stopping -------------------------------------------------------------------------------------------------------


@on_loop
async def test_stopping_gives_what_is_unfinished_to_another_at_once(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    counted.replica.lead(None)
    nsqd.publish("votes", *[b"happy"] * 300)
    async with source(counted.submitter, nsqd, hold_s=60) as stopping:
        await until("many are in flight", lambda: stopping.status()["in_flight"] >= 100)
        start_s = time.monotonic()
        await stopping.stop()
        assert time.monotonic() - start_s < 5
    assert (0, 300) == (nsqd.channel("votes", "counter")["in_flight_count"], nsqd.unfinished("votes", "counter"))
    counted.replica.lead("n1")
    async with source(counted.submitter, nsqd, node_id="n2"):
        await until("all are counted", lambda: counted.total == 300, deadline_s=10)
    assert 300 == counted.total


@on_loop
async def test_stopping_finishes_what_is_being_counted(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    nsqd.publish("votes", *[b"happy"] * 2_000)
    async with source(counted.submitter, nsqd):
        await until("it flows", lambda: counted.total >= 200)
    assert 0 == nsqd.channel("votes", "counter")["in_flight_count"]
    assert 2_000 == counted.total + nsqd.unfinished("votes", "counter")


@on_loop
async def test_a_source_without_any_nsqd_starts_and_stops(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    nsqd.kill()
    async with source(counted.submitter, nsqd) as taking:
        await until("it says so", lambda: "no connection to nsqd" in taking.status()["last_error"])
        nsqd.start()
        nsqd.publish("votes", b"happy")
        await until("it is counted once nsqd is there", lambda: counted.total == 1)


# ---- what is no vote ------------------------------------------------------------------------------------------------

POISON = [
    (b'{"option":', "invalid", "no vote in JSON"),
    (b"[]", "invalid", "no vote in the message"),
    (b"[1,2]", "invalid", "not a vote"),
    (b'{"option":"happy","weight":0}', "invalid", "weight is 0"),
    (b'{"opinion":"happy"}', "invalid", "not a vote"),
    (b"happy\nsad", "invalid", "control character"),
    (b"\xff\xfe", "invalid", "not UTF-8"),
    (b"x" * 300, "too_large", "300 bytes"),
    (b"[" * 100_000, "invalid", ""),
    (b"[" + b",".join([b'{"option":"happy"}'] * 10_001) + b"]", "too_large", "10,001 votes"),
]


def letters(client: RawClient, count: int) -> list[tuple[dict[str, object], bytes]]:
    def split(message: Received) -> tuple[dict[str, object], bytes]:
        head, _, rest = message.body.partition(b"\n")
        return json.loads(head), rest

    return [split(message) for message in client.messages(count)]


@on_loop
async def test_poison_is_kept_with_its_reason_and_finished(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    bodies = [body for body, _, _ in POISON]
    nsqd.publish("votes", *bodies, b"happy")
    async with source(counted.submitter, nsqd, dead_letter="votes.dead") as taking:
        await until("the good one is counted", lambda: counted.total == 1)
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0)
        assert len(POISON) == taking.status()["poison"]
    with RawClient(nsqd.address).subscribe("votes.dead", "look", ready=100) as client:
        found = {body: head for head, body in letters(client, len(POISON))}
    assert set(bodies) == {b if b in bodies else next(x for x in bodies if x.startswith(b)) for b in found}
    for (body, reason, detail), head in [(row, found.get(row[0])) for row in POISON]:
        if head is not None:
            assert reason == head["reason"]
            assert detail in str(head["detail"]), body[:100]


@on_loop
async def test_rejected_votes_are_kept_and_may_be_sent_again(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    nsqd.publish(
        "votes",
        b"unheard-of",
        b'[{"option":"happy"},{"option":"new"},{"option":"happy","weight":"1"},{"option":"sad","poll":"none"}]',
        vote("happy", "same"),
    )
    nsqd.publish("votes", vote("sad", "same"))
    async with source(counted.submitter, nsqd, dead_letter="votes.dead") as taking:
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0 and counted.total >= 2)
        expected = {"unknown_option": 2, "unknown_poll": 1, "invalid": 1, "conflict": 1}
        await until("all are decided", lambda: expected == taking.status()["rejected"])
    with RawClient(nsqd.address).subscribe("votes.dead", "look", ready=100) as client:
        found = letters(client, 5)
    again = [line for head, body in found if head["reason"] == "unknown_option" for line in body.splitlines()]
    assert {"unheard-of", "new"} == {json.loads(line)["option"] for line in again}

    counted = await cluster(["unheard-of", "new"])
    nsqd.publish("votes", *again, *again)
    async with source(counted.submitter, nsqd):
        await until("they count now", lambda: nsqd.unfinished("votes", "counter") == 0 and counted.total >= 2)
    assert {"unheard-of": 1, "new": 1} == counted.results()


@on_loop
async def test_votes_after_the_close_are_rejected_but_resent_ones_are_duplicates(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    async with source(counted.submitter, nsqd) as taking:
        nsqd.publish("votes", vote("happy", "early"))
        await until("it is counted", lambda: counted.total == 1)
        await counted.submitter.set_poll_state("mood", "closed", timeout_s=1)
        nsqd.publish("votes", vote("happy", "early"), vote("happy", "late"))
        await until("both are decided", lambda: sum(taking.status()["rejected"].values()) == 1)
        await until("both are finished", lambda: nsqd.unfinished("votes", "counter") == 0)
        assert 1 == taking.status()["duplicates"]
    assert 1 == counted.total


@on_loop
async def test_poison_whose_letter_cannot_be_published_is_not_lost(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    nsqd.publish("votes", b"[1]")
    async with source(counted.submitter, nsqd, dead_letter="no*topic"):
        await until("it was tried", lambda: "dead letters could not be published" in caplog.text)
    assert 1 == nsqd.unfinished("votes", "counter")


# ---- looking at it --------------------------------------------------------------------------------------------------


@on_loop
async def test_status_tells_depth_and_connections(servers: Servers) -> None:
    lookupd, counted = servers.lookupd(), await cluster()
    nsqd = servers.nsqd(lookupd_tcp_address=lookupd.tcp)
    nsqd.publish("votes", b"happy")
    async with source(counted.submitter, lookupd) as taking:
        await until("the depth is known", lambda: taking.status()["depth"] == 0)
        status = taking.status()
    assert ("votes", "counter", [nsqd.tcp]) == (status["topic"], status["channel"], status["nsqd"])


@on_loop
async def test_messages_counted_by_http_and_by_nsq_are_one_vote(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await cluster()
    await counted.submitter.cast([Vote("happy", "u1")], timeout_s=1)
    async with source(counted.submitter, nsqd) as taking:
        nsqd.publish("votes", vote("happy", "u1"))
        await until("it is seen", lambda: taking.status()["duplicates"] == 1)
    assert 1 == counted.total
    wait_for("it is finished", lambda: nsqd.unfinished("votes", "counter") == 0)

"""Messages that are no votes, and votes that were rejected, are kept in the dead letter topic."""

from __future__ import annotations

import json

import pytest

from tests.services.nsq.counting import source, vote
from tests.services.nsq.raw import RawClient, Received
from tests.services.nsq.servers import Servers
from tests.support.local_cluster import local_cluster
from tests.support.on_loop import on_loop
from tests.support.waiting import until

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
    nsqd, counted = servers.nsqd(), await local_cluster()
    bodies = [body for body, _, _ in POISON]
    nsqd.publish("votes", *bodies, b"happy")
    async with source(counted.submitter, nsqd, dead_letter="votes.dead") as taking:
        await until("the good one is counted", lambda: counted.total == 1)
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0)
        assert len(POISON) == taking.status()["poison"]
    with RawClient(nsqd.address).subscribe("votes.dead", "replay", ready=100) as client:
        found = {body: head for head, body in letters(client, len(POISON))}
    assert set(bodies) == {b if b in bodies else next(x for x in bodies if x.startswith(b)) for b in found}
    for (body, reason, detail), head in [(row, found.get(row[0])) for row in POISON]:
        if head is not None:
            assert reason == head["reason"]
            assert detail in str(head["detail"]), body[:100]


@on_loop
async def test_rejected_votes_are_kept_and_may_be_sent_again(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
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
    with RawClient(nsqd.address).subscribe("votes.dead", "replay", ready=100) as client:
        found = letters(client, 5)
    again = [line for head, body in found if head["reason"] == "unknown_option" for line in body.splitlines()]
    assert {"unheard-of", "new"} == {json.loads(line)["option"] for line in again}

    counted = await local_cluster(["unheard-of", "new"])
    nsqd.publish("votes", *again, *again)
    async with source(counted.submitter, nsqd):
        await until("they count now", lambda: nsqd.unfinished("votes", "counter") == 0 and counted.total >= 2)
    assert {"unheard-of": 1, "new": 1} == counted.results()


@on_loop
async def test_votes_after_the_close_are_rejected_but_resent_ones_are_duplicates(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    async with source(counted.submitter, nsqd) as taking:
        nsqd.publish("votes", vote("happy", "early"))
        await until("it is counted", lambda: counted.total == 1)
        await counted.submitter.set_poll_state("mood", "closed", timeout_s=30)
        nsqd.publish("votes", vote("happy", "early"), vote("happy", "late"))
        await until("both are decided", lambda: sum(taking.status()["rejected"].values()) == 1)
        await until("both are finished", lambda: nsqd.unfinished("votes", "counter") == 0)
        assert 1 == taking.status()["duplicates"]
    assert 1 == counted.total


@on_loop
async def test_a_message_whose_dead_letter_cannot_be_published_is_not_lost(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    nsqd.publish("votes", b"[1]")
    async with source(counted.submitter, nsqd, dead_letter="no*topic"):
        await until("it was tried", lambda: "dead letters could not be published" in caplog.text)
    assert 1 == nsqd.unfinished("votes", "counter")

"""Cluster clients are sent to the leader; all others are served where they are."""

from __future__ import annotations

from quorate.cluster.submit.submitter import Submitter
from tests.support.local_replica import LocalReplica
from tests.support.resp_client import Error, command, xadd
from tests.support.resp_node import running

LEADER = "127.0.0.1:7001"


def follow_n2(replica: LocalReplica) -> None:
    leader = LocalReplica("n2")
    leader.state = replica.state
    Submitter(leader)
    replica.peers["n2"] = leader
    replica.lead("n2")


def test_only_who_has_asked_for_the_nodes_is_sent_to_the_leader() -> None:
    with running(leader_address=LEADER) as node, node.connect() as client, node.connect() as other:
        node.create()
        client.ask("CLUSTER", "KEYSLOT", "poll:mood")
        node.http.call(follow_n2, node.http.replica)
        moved = Error(f"MOVED {client.ask('CLUSTER', 'KEYSLOT', 'poll:mood')} {LEADER}")
        client.send(xadd(1) + command("HGETALL", "poll:mood") + command("PING"))
        assert [moved, moved, "PONG"] == client.replies(3)
        client.ask("READONLY")
        assert ["happy", "0", "sad", "0"] == client.ask("HGETALL", "poll:mood")
        other.send(xadd(1))
        assert isinstance(other.reply(), str), "it is forwarded and counted"
        other.ask("READONLY")
        assert ["happy", "1", "sad", "0"] == other.ask("HGETALL", "poll:mood")


def test_who_leads_or_does_not_know_the_leader_s_address_sends_nobody_away() -> None:
    for address, leader in ((LEADER, "n1"), (None, "n2")):
        with running(leader_address=address) as node, node.connect() as client:
            node.create()
            client.ask("CLUSTER", "KEYSLOT", "poll:mood")
            client.ask("READONLY")
            node.http.call(node.http.replica.lead, leader)
            assert ["happy", "0", "sad", "0"] == client.ask("HGETALL", "poll:mood")


def test_the_slot_of_a_key_is_that_of_redis() -> None:
    """From the Redis Cluster specification: CRC16 of 123456789 is 0x31C3, and braces choose what is hashed."""
    with running() as node, node.connect() as client:
        assert 0x31C3 == client.ask("CLUSTER", "KEYSLOT", "123456789")
        assert client.ask("CLUSTER", "KEYSLOT", "user1000") == client.ask("CLUSTER", "KEYSLOT", "{user1000}.following")
        assert client.ask("CLUSTER", "KEYSLOT", "foo{}{bar}") == 8363

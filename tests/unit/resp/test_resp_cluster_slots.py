"""What cluster clients are told while no leader is known: redis-py gives a command up if no node has its slot."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.resp.door import ClusterNode
from tests.support.resp_client import command
from tests.support.resp_node import running


async def nobody_leads() -> Sequence[ClusterNode]:
    return [ClusterNode("n0", "127.0.0.1", 7000, leads=False), ClusterNode("n1", "127.0.0.1", 7001, leads=False)]


def test_the_node_that_is_asked_has_the_slots_while_no_leader_is_known() -> None:
    with running(nodes=nobody_leads) as node, node.connect() as client:
        client.send(command("CLUSTER", "SLOTS") + command("CLUSTER", "NODES") + command("CLUSTER", "INFO"))
        ((slots,), lines, info) = client.replies(3)
    assert [0, 16_383, 7001, 7000] == [*slots[:2], *(place[1] for place in slots[2:])]
    own, other = lines.splitlines()
    assert ("myself,master", "0-16383", "slave") == (own.split()[2], own.split()[-1], other.split()[2])
    assert "cluster_state:fail" in info

"""What a node tells a peer of itself: the first message under the cipher, and again when something has changed."""

from __future__ import annotations

import msgspec

from quorate.cluster.raft.messages import Count
from quorate.cluster.raft.remembered import Remembered

INTRODUCTION_BYTES_MAX = 256 * 1024


class Introduction(msgspec.Struct, array_like=True):
    """The first sealed message: which node this is. It is sent again when something in it has changed.

    A new field goes to the end, with a default that means "not told": 0.1.0 passes over fields that it does not know,
    and tells none of those after `member_at`. So no field is ever moved, taken away or given another type, and nothing
    may rely on a peer having read a new one. `Introductions.own` fills them, by name.
    """

    node_id: str
    incarnation: str
    cluster_name: str
    cluster_id: str | None
    members: dict[str, str] | None  # the founders: node id -> incarnation
    expected: list[str]  # the nodes to form a cluster with; empty if the node was not asked to form one
    http: str
    member_at: Count = 0  # a log index at which this disk was a member of the cluster; 0 if it knows none
    level: Count = 0  # the feature level of its program
    committed: Count = 0  # an index up to which its log is committed
    chain: bytes = b""  # the log's chain value at `committed`: equal on all nodes of one history
    remembered: list[Remembered] = []  # what surely was on the disks of the members, this node's own among them
    raft: str = ""  # the host:port at which peers reach it, as its own settings have it
    others: dict[str, str] = {}  # where it finds the other members: hearsay, good enough to dial
    proof: bytes = b""  # that it has had the log of its cluster, see `membership/past_member.py`


encode_introduction = msgspec.msgpack.Encoder().encode
read_introduction = msgspec.msgpack.Decoder(Introduction).decode

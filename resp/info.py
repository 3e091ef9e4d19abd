"""What INFO, CLIENT INFO and CLUSTER tell. To cluster clients all of 16,384 slots are in one place, at the leader."""

from __future__ import annotations

import binascii
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from quorate.errors import Invalid, NotReady
from quorate.resp.door import ClusterNode
from quorate.resp.encoding import Value, Verbatim
from quorate.resp.parsing import Command
from quorate.resp.session import Session

SLOTS = 16_384
PROTOCOL_OF = "8.6.0"  # the version of Redis whose XADD this is: clients look at it to know what they may send
SECTIONS = ("server", "clients", "memory", "persistence", "replication", "stats", "cluster", "keyspace")
STATM = Path("/proc/self/statm")  # of Linux


def line_of(session: Session) -> str:
    return f"id={session.number} addr={session.address or '?'} name={session.name} db=0 resp={session.protocol}"


def sections(session: Session, asked: list[str], polls: Callable[[], int | None]) -> str:
    """INFO. What is not known here is left out, and not told as 0. `polls`: how many the caller may see, if any."""
    door = session.door
    all_of_them = not asked or any(word in ("all", "default", "everything") for word in asked)
    told: dict[str, dict[str, object]] = {
        "server": {
            "redis_version": PROTOCOL_OF,
            "redis_mode": "cluster" if session.in_cluster else "standalone",
            "quorate_version": door.version,
            "quorate_node": door.node_id,
        },
        "clients": {
            "connected_clients": door.counts.connections,
            "maxclients": door.limits.connections,
            "blocked_clients": 0,  # no command here blocks
        },
        "memory": _memory(),
        "persistence": {"loading": int(not door.reads.staleness.is_known), "aof_enabled": 1},
        "replication": {"role": "master", "connected_slaves": door.majority - 1},
        "stats": {
            "total_connections_received": Session.made,
            "total_commands_processed": sum(door.counts.commands.values()),
        },
        "cluster": {"cluster_enabled": int(session.in_cluster)},
    }
    if (all_of_them or "keyspace" in asked) and (seen := polls()) is not None:
        told["keyspace"] = {"db0": f"keys={seen},expires=0,avg_ttl=0"}
    blocks = [
        "\r\n".join([f"# {name.capitalize()}", *(f"{key}:{value}" for key, value in told[name].items()), ""])
        for name in SECTIONS
        if told.get(name) and (all_of_them or name in asked)
    ]
    return "\r\n".join(blocks)


def _memory() -> dict[str, object]:
    try:
        return {"used_memory": int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")}
    except OSError:
        return {}


async def cluster(session: Session, arguments: Command) -> Value:
    match arguments[0].upper():
        case b"INFO":
            return Verbatim(await _info(session))
        case b"MYID":
            return _id(session.door.node_id)
        case b"SLOTS":
            return [[0, SLOTS - 1, *([node.host, node.port, _id(node.id), []] for node in await _nodes(session))]]
        case b"SHARDS":
            nodes = await _nodes(session)
            return [{"slots": [0, SLOTS - 1], "nodes": [_shard(node, nodes[0]) for node in nodes]}]
        case b"NODES":
            nodes = await _nodes(session)
            return Verbatim("".join(_line(node, nodes[0], session.door.node_id) for node in nodes))
        case b"KEYSLOT" if len(arguments) == 2:
            return slot_of(arguments[1])
    raise Invalid("CLUSTER takes SLOTS, SHARDS, NODES, INFO, MYID and KEYSLOT here")


async def _nodes(session: Session) -> list[ClusterNode]:
    """First the node that has the slots: the leader; while none is known, this one, which forwards as all nodes do.

    redis-py gives up a command, retries and all, when no node says who has its slot.
    """
    own_id = session.door.node_id
    nodes = sorted(await session.door.nodes(), key=lambda node: (not node.leads, node.id != own_id, node.id))
    if not nodes:
        raise NotReady("no node is known that serves RESP; ask again in a moment")
    return nodes


async def _info(session: Session) -> str:
    nodes = await session.door.nodes()
    state = "ok" if any(node.leads for node in nodes) else "fail"
    told = {
        "cluster_state": state,
        "cluster_slots_assigned": SLOTS,
        "cluster_slots_ok": SLOTS if state == "ok" else 0,
        "cluster_known_nodes": len(nodes),
        "cluster_size": 1,
    }
    return "".join(f"{key}:{value}\r\n" for key, value in told.items())


def _id(node_id: str) -> str:
    """40 digits, as those of Redis' nodes: clients check that."""
    return hashlib.blake2b(node_id.encode(), digest_size=20).hexdigest()


def _shard(node: ClusterNode, first: ClusterNode) -> dict[str, Value]:
    role = "master" if node is first else "replica"
    address: dict[str, Value] = {"id": _id(node.id), "port": node.port, "ip": node.host, "endpoint": node.host}
    return {**address, "role": role, "replication-offset": 0, "health": "online"}


def _line(node: ClusterNode, first: ClusterNode, own_id: str) -> str:
    flags = ("myself," if node.id == own_id else "") + ("master" if node is first else "slave")
    of = "-" if node is first else _id(first.id)
    slots = f" 0-{SLOTS - 1}" if node is first else ""
    return f"{_id(node.id)} {node.host}:{node.port}@0 {flags} {of} 0 0 0 connected{slots}\n"


def slot_of(key: bytes) -> int:
    """CRC16 (XMODEM) of the key, or of what stands in its first braces (Redis Cluster specification)."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1) if start >= 0 else -1
    if end > start + 1:
        key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS

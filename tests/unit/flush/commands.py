"""What the tests of the flush have a replica apply: polls, votes, and another leadership."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quorate.cluster import entry
from quorate.cluster.entry import CastVotes, Choice, Command, CreatePoll, Result
from tests.support.local_replica import LocalReplica


async def apply(replica: LocalReplica, *commands: Command) -> list[Result]:
    batch = entry.encode_batch(list(commands))
    applied = await replica.propose(entry.encode_entry(replica.now_ms(), [batch]))
    return applied.results[0]


def poll(id: str = "mood", options: Sequence[str] = ("happy", "sad"), **fields: Any) -> CreatePoll:
    return CreatePoll(
        id, fields.pop("title", id), list(options), "open", None, fields.pop("write_ins", False), **fields
    )


def votes(option: str, count: int = 1, *, poll: str | None = None) -> CastVotes:
    choice = Choice(option, poll, 1, entry.fingerprint_of(option, poll, 1))
    return CastVotes([choice], plain=[(0, count)])


def adopt_by(replica: LocalReplica) -> Any:
    """The way in which a node raises the generation."""

    async def command(command: Command) -> tuple[Result, int]:
        return (await apply(replica, command))[0], replica.state.version

    return command


def elect(replica: LocalReplica, term: int) -> None:
    """A new leadership of the same node."""
    replica.lead(None)
    replica.term = term
    replica.lead(replica.node_id)


def form_cluster_entry(replica: LocalReplica) -> bytes:
    """An entry that forms the cluster, at this replica's time."""
    batch = entry.encode_batch([entry.FormCluster("c1", b"k" * 16, 1_000_000)])
    return entry.encode_entry(replica.state.time_ms, [batch])

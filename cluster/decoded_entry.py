"""What an entry of the log says, for people and programs that look at it: `quorate log` and `GET /log`.

Ids of votes are keyed hashes in the log, and stay that. The key is left out.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from quorate.cluster.entry import decode_batch, decode_entry, decode_raise
from quorate.unreadable import UNREADABLE


def decoded(kind: str, payload: bytes) -> dict[str, Any]:
    """`kind` is what the log calls it: see `LoggedEntry`."""
    try:
        if kind == "feature level":
            return {"kind": kind, "level": decode_raise(payload).level}
        if kind != "batches":
            return {"kind": kind}
        envelope = decode_entry(payload)
        batches = [[_command(command) for command in decode_batch(batch)] for batch in envelope.batches]
    except UNREADABLE as error:
        return {"kind": "unreadable", "why": str(error)}
    return {"kind": kind, "time_ms": envelope.time_ms, "batches": batches}


def _command(command: Any) -> dict[str, Any]:
    """The fields of a command that is no vote; of votes, how many there are for each choice."""
    told: dict[str, Any] = {"command": type(command).__name__}
    if not hasattr(command, "choices"):
        fields = {field: getattr(command, field) for field in command.__struct_fields__ if field != "hash_key"}
        others: dict[str, Any] = msgspec.to_builtins(fields)
        return told | others
    votes: dict[int, int] = dict(getattr(command, "plain", None) or getattr(command, "sums", []))
    picks = getattr(command, "picks", b"")
    for (pick,) in struct.iter_unpack("<I", picks[: len(picks) // 4 * 4]):
        votes[pick] = votes.get(pick, 0) + 1
    choices = [
        {"option": each.option, "poll": each.poll, "weight": each.weight, "votes": votes.get(place, 0)}
        for place, each in enumerate(command.choices)
    ]
    return told | {"votes": sum(votes.values()), "choices": choices}

"""`quorate log`: the log of a stopped node, shown and checked."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from quorate.cli.node_options import as_json, print_json
from quorate.cli.numbers import NumberRange
from quorate.cli.output import echo
from quorate.words import count

data_option = click.option(
    "--data",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of a node that is stopped. Nothing in it is changed.",
)


@click.group()
def log() -> None:
    """Show the log of a stopped node, or check it: every checksum, and the chain of all entries."""


@log.command()
@data_option
@as_json
def verify(folder: Path, as_json: bool) -> None:
    """Check the log in DIR as a start of the node would. Ends with exit code 1 if it is damaged, and says where.

    Bytes at the end that a crash tore are no damage: nobody was told of them, and a start cuts them off.
    """
    from quorate.cluster.raft.storage.stopped_log import read_stopped

    read = read_stopped(folder)
    last, torn = read.log.last, read.log.torn_bytes
    found = {
        "first": read.log.base.index + 1,
        "last": last.index,
        "term": read.log.term,
        "chain": last.chain.hex(),
        "torn_bytes": torn,
        "snapshot": None if read.snapshot is None else read.snapshot.index,
    }
    if as_json:
        print_json(found)
        return
    entries = f"{count(len(read.log.entries), 'entry')}, up to {last.index:,} of term {last.term:,}"
    echo(f"{folder}: {entries}; the chain holds: {last.chain.hex()}")
    if read.snapshot is not None:
        echo(f"the newest snapshot ends at entry {read.snapshot.index:,}, and its checksum is right")
    if torn:
        echo(
            f"{count(torn, 'byte')} at the end were torn by a crash; nobody was told of them, and a start cuts them off"
        )


@log.command()
@data_option
@click.option("--from", "first", type=NumberRange(1, 2**63), default=1, help="Index of the first entry to show.")
@click.option("--to", "last", type=NumberRange(1, 2**63), default=2**63, help="Index of the last one.")
@as_json
def show(folder: Path, first: int, last: int, as_json: bool) -> None:
    """Show the entries of the log in DIR, one a line: index, term, time, and what they do. Ids of votes are hashes."""
    from quorate.cluster.raft.storage.stopped_log import read_stopped

    read = read_stopped(folder).log
    for (data, index, term), chain in zip(read.entries, read.chains, strict=True):
        if first <= index <= last:
            entry = {"index": index, "term": term, "chain": chain.hex(), **_decoded(data)}
            print_json(entry) if as_json else echo(_line(entry))


def _decoded(data: bytes) -> dict[str, Any]:
    from quorate.cluster.entry import decode_batch, decode_entry, decode_raise
    from quorate.cluster.raft.engine.replication import LEVEL, MEMBERS, NO_OP, REGULAR
    from quorate.unreadable import UNREADABLE

    kind, payload = data[:1], data[1:]
    names = {NO_OP: "begin of a leadership", MEMBERS: "members", LEVEL: "feature level"}
    try:
        if kind == LEVEL:
            return {"kind": names[kind], "level": decode_raise(payload).level}
        if kind != REGULAR:
            return {"kind": names.get(kind, "unknown")}
        envelope = decode_entry(payload)
        batches = [[_command(command) for command in decode_batch(batch)] for batch in envelope.batches]
    except UNREADABLE as error:
        return {"kind": "unreadable", "why": str(error)}
    return {"kind": "batches", "time_ms": envelope.time_ms, "batches": batches}


def _command(command: Any) -> dict[str, Any]:
    """The fields of a command that is no vote; of votes, how many there are for each choice."""
    import msgspec

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


def _line(entry: dict[str, Any]) -> str:
    head = f"{entry['index']:>8}  term {entry['term']}"
    if entry["kind"] != "batches":
        return f"{head}  {entry['kind']}"
    moment = datetime.fromtimestamp(entry["time_ms"] / 1000, UTC).isoformat(timespec="milliseconds")
    said = [words for batch in entry["batches"] for command in batch for words in _words(command)]
    return f"{head}  {moment}  {'; '.join(said) or 'only a time'}"


def _words(command: dict[str, Any]) -> Iterator[str]:
    if "choices" not in command:
        fields = ", ".join(f"{name}={value!r}" for name, value in command.items() if name != "command")
        yield f"{command['command']}({fields})"
        return
    for each in command["choices"]:
        where = "" if each["poll"] is None else f" in {each['poll']!r}"
        yield f"{count(each['votes'], 'vote')} for {each['option']!r}{where}"

"""`quorate log`: the log of a node, shown, and that of a stopped one checked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from quorate.cli.busy import busy
from quorate.cli.node_options import as_json, asks_nodes, client_of, is_by_flag, print_json
from quorate.cli.numbers import NumberRange
from quorate.cli.output import echo
from quorate.words import count

INDEX_MAX = 2**62

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
    """Show the log of a node, or check that of a stopped one: every checksum, and the chain of all entries."""


@log.command()
@data_option
@as_json
def verify(folder: Path, as_json: bool) -> None:
    """Check the log in DIR as a start of the node would. Ends with exit code 1 if it is damaged, and says where.

    Bytes at the end that a crash tore are no damage: nobody was told of them, and a start cuts them off.
    """
    from quorate.cluster.raft.storage.stopped_log import read_stopped

    with busy(f"reading {folder}"):
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
@click.option(
    "--data",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of a node that is stopped, instead of a node that runs. Nothing in it is changed.",
)
@click.option("--from", "first", type=NumberRange(1, INDEX_MAX), help="Index of the first entry to show.")
@click.option("--to", "last", type=NumberRange(1, INDEX_MAX), default=INDEX_MAX, help="Index of the last one.")
@as_json
@asks_nodes()
@click.pass_context
def show(
    ctx: click.Context,
    folder: Path | None,
    first: float | None,
    last: float,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> None:
    """Show the entries of a node's log, one a line: index, term, time, and what they do. Ids of votes are hashes.

    A node that runs is asked for what it has applied and still holds; that needs the role operate. A node that is
    stopped is read from its folder: --data DIR.
    """
    if folder is not None and (is_by_flag(ctx, "nodes") or is_by_flag(ctx, "consul")):
        raise click.UsageError("--data reads a folder, and --node asks a node that runs: give one of them.")
    begin = None if first is None else int(first)
    entries = _stopped(folder, begin) if folder is not None else _running(nodes, timeout_s, begin)
    found = False
    for entry in entries:
        if entry["index"] > last:
            break
        print_json(entry) if as_json else echo(_line(entry))
        found = True
    if not found:
        wanted = f" from {begin or 1:,}" + ("" if last == INDEX_MAX else f" to {int(last):,}")
        echo(f"There is no entry{wanted}. Without --from and --to, all that is held is shown.", err=True)


def _stopped(folder: Path, first: int | None) -> Iterator[dict[str, Any]]:
    from quorate.cluster.decoded_entry import decoded
    from quorate.cluster.raft.log_point import logged_entry
    from quorate.cluster.raft.storage.stopped_log import read_stopped

    with busy(f"reading {folder}"):
        read = read_stopped(folder).log
    for (data, index, term), chain in zip(read.entries, read.chains, strict=True):
        if first is None or index >= first:
            entry = logged_entry(data, index, term, chain)
            yield {"index": index, "term": term, "chain": chain.hex(), **decoded(entry.kind, entry.payload)}


def _running(nodes: list[str], timeout_s: float, first: int | None) -> Iterator[dict[str, Any]]:
    """All pages are of the node that gave the first one."""
    while True:
        with client_of(nodes, timeout_s) as client:
            reply = client.log_page(first)
        nodes, page = [reply.url], reply.json()
        yield from page["entries"]
        first = page["next"]
        if first is None:
            return


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

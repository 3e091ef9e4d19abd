"""`quorate sink`: where tallies are written, how that goes, and taking sinks over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.output import change_is_made, echo
from quorate.cli.question import agree
from quorate.words import count, did_you_mean

if TYPE_CHECKING:
    from quorate.client.http import JsonClient


@click.group()
def sink() -> None:
    """Show where tallies are written and how that goes, or take a sink over."""


@sink.command()
@as_json
@asks_nodes()
def show(as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Show how the leader's flush goes, for each sink."""
    with client_of(nodes, timeout_s) as client:
        leader = client.leader()
    with client_of([leader["http"]], timeout_s) as client:
        status = client.status()
    flush, sinks = status.get("flush"), _sinks(status)
    if as_json:
        print_json({"leader": leader["id"], "flush": flush, "sinks": sinks})
    elif not sinks:
        echo(f"{leader['id']} leads and has no sink (flush.sinks is empty)")
    for place, each in enumerate(() if as_json else sinks.values()):
        if place:
            echo()
        for name, value in _lines(leader["id"], each):
            echo(f"{name:<12} {value}")


@sink.command(short_help="Let this cluster write over another one's documents.")
@click.argument("name", metavar="[SINK]", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@asks_nodes(timeout_s=30.0)
def adopt(name: str | None, yes: bool, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Take SINK over, or all sinks: when a flush stopped, as its sink holds another cluster's tallies or newer ones.

    Documents of other clusters become this cluster's own; polls that it has too are written over with its tallies, the
    others keep what they hold. Documents that were deleted are written again, in all sinks. Doing it twice is harmless.
    """
    with client_of(nodes, timeout_s) as client:
        if not yes:
            named = _named(client, name)
            agree(f"Let this cluster write over what stands in {' and '.join(named) or 'its sinks'}?")
        adopted = client.request("POST", "/sink/adopt", params={"sink": name} if name else None).json()
    change_is_made()
    if as_json:
        print_json(adopted)
    else:
        echo(
            f"Taken over from other clusters: {count(adopted['documents'], 'document')}. Generation "
            f"{adopted['generation']}: the leader writes every poll again."
        )


def _named(client: JsonClient, name: str | None) -> list[str]:
    """The sinks that are meant; none to whoever may not see them. Raises `QuorateError` if it could not be done."""
    from quorate.errors import Invalid

    client.leader()
    status = client.status()
    known = list(_sinks(status))
    if "sinks" in status and not known:
        raise Invalid("there is nothing to take over: no sink is set (flush.sinks is empty)")
    if name is not None and known and name not in known:
        raise Invalid(f"there is no sink {name!r}{did_you_mean(name, known)}")
    return known if name is None else [name]


def _sinks(status: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """By name. A node of version 0.1.0 has one sink at most and tells it as `flush`."""
    flush = status.get("flush")
    sinks: Mapping[str, Mapping[str, Any]] = status.get("sinks", {} if flush is None else {flush["sink"]: flush})
    return sinks


def _lines(leader: str, flush: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "sink", f"{flush['sink']}, written by {leader}"
    yield "phase", flush["phase"]
    if flush["last_success_version"] is None:
        yield "written", "not yet by this leader"
    else:
        yield "written", f"up to version {flush['last_success_version']:,}, {flush['last_success_age_s']:.1f} s ago"
    yield "behind by", f"{count(flush['pending_polls'], 'poll')}, {count(flush['lag_versions'] or 0, 'version')}"
    yield (
        "documents",
        ", ".join(f"{count:,} {outcome}" for outcome, count in flush["documents"].items() if count) or "none",
    )
    if flush["last_error"] is not None:
        yield "error", flush["last_error"]
    if last := flush.get("deviations", {}).get("last"):  # nodes of 0.1.0 have none
        yield "not ours", last
    if flush["import"] is not None:  # None: this sink does not import
        yield "imported", f"{count(flush['import']['imported'], 'poll')} put there by hand"
        for id, why in flush["import"]["problems"].items():
            yield "left alone", f"{id}: {why}"

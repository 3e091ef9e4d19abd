"""`quorate sink`: where tallies are written, how that goes, and taking a sink over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from quorate.cli.asking import as_json, asks_nodes, client_of, print_json


@click.group()
def sink() -> None:
    """Show where tallies are written and how that goes, or take it over."""


@sink.command()
@as_json
@asks_nodes()
def show(as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Show how the leader's flush goes."""
    with client_of(nodes, timeout_s) as client:
        leader = client.leader()
    with client_of([leader["http"]], timeout_s) as client:
        flush = client.status().get("flush")
    if as_json:
        print_json({"leader": leader["id"], "flush": flush})
    elif flush is None:
        click.echo(f"{leader['id']} leads and has no sink (flush.sink is none)")
    else:
        for name, value in _lines(leader["id"], flush):
            click.echo(f"{name:<12} {value}")


@sink.command(short_help="Let this cluster write over another one's documents.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@asks_nodes(timeout_s=30.0)
def adopt(yes: bool, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Take the sink over, when the flush stopped because it holds another cluster's tallies or newer ones.

    Documents of other clusters become this cluster's own; polls that it has too are written over with its tallies, the
    others keep what they hold. Documents that were deleted are written again. Doing it twice is harmless.
    """
    if not yes:
        click.confirm("Let this cluster write over what stands in its sink?", abort=True, err=True)
    with client_of(nodes, timeout_s) as client:
        adopted = client.request("POST", "/sink/adopt").json()
    if as_json:
        print_json(adopted)
    else:
        click.echo(
            f"{adopted['documents']:,} documents of other clusters are this cluster's now. Generation "
            f"{adopted['generation']}: the leader writes every poll again."
        )


def _lines(leader: str, flush: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "sink", f"{flush['sink']}, written by {leader}"
    yield "phase", flush["phase"]
    if flush["last_success_version"] is None:
        yield "written", "not yet by this leader"
    else:
        yield "written", f"up to version {flush['last_success_version']:,}, {flush['last_success_age_s']:.1f} s ago"
    yield "behind by", f"{flush['pending_polls']:,} polls, {flush['lag_versions'] or 0:,} versions"
    yield "documents", ", ".join(f"{count:,} {fate}" for fate, count in flush["documents"].items() if count) or "none"
    if flush["last_error"] is not None:
        yield "error", flush["last_error"]
    yield "imported", f"{flush['import']['imported']:,} polls put there by hand"
    for id, why in flush["import"]["problems"].items():
        yield "left alone", f"{id}: {why}"

"""`quorate status`, `quorate nodes`, `quorate leader`"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.output import change_is_made, echo
from quorate.cli.status_words import status_words
from quorate.cli.table import print_table


@click.command()
@as_json
@asks_nodes()
def status(as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Show a node as it sees itself, first in words: the first of --node that answers."""
    with client_of(nodes, timeout_s) as client:
        found = client.status()
    if as_json:
        print_json(found)
        return
    if words := status_words(found):
        echo(*words, "")
    lines = list(_flat(found))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        echo(f"{name:<{width}} {value}")


@click.command()
@as_json
@asks_nodes()
def nodes(as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Show all nodes of the cluster, as the first of --node that answers sees them."""
    with client_of(nodes, timeout_s) as client:
        found = client.members()
    if as_json:
        print_json(found)
        return
    headings = ["ID", "ROLE", "REACHABLE", "VERSION", "INDEX", "LAG", "LEVEL", "HTTP", "RAFT"]
    keys = ["id", "role", "reachable", "version", "log_index", "lag", "feature_level", "http", "raft"]
    rows = [[_word(node.get(key)) for key in keys] for node in found["nodes"]]
    print_table(headings, rows)


@click.command()
@click.option("--hand-over", is_flag=True, help="First have the leader hand over to the most caught-up node.")
@as_json
@asks_nodes()
def leader(hand_over: bool, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Say who leads; exit code 3 if nobody is known to."""
    with client_of(nodes, timeout_s) as client:
        if hand_over:
            client.transfer_leadership()
            change_is_made()
        found = client.leader()
    if as_json:
        print_json(found)
    else:
        echo(f"{found['id']} leads since term {found['term']}: {found['http']}")


def _word(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(str(_word(item)) for item in value)
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """One line for each value: `{"raft": {"term": 5}}` becomes `raft.term 5`."""
    for key, inner in value.items():
        name = f"{before}{key}"
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{name}.")
        elif isinstance(inner, list) and any(isinstance(item, Mapping) for item in inner):
            for place, item in enumerate(inner):
                yield from _flat(item, f"{name}.{item.get('id', place)}.")
        elif isinstance(inner, int) and not isinstance(inner, bool):
            yield name, f"{inner:,}"
        else:
            yield name, "-" if inner in (None, "", []) else _word(inner)

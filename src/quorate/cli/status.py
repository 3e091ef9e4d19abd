"""`quorate status`, `quorate nodes`, `quorate leader`"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.output import change_is_made, echo
from quorate.cli.status_summary import HEADINGS, member_rows, summary
from quorate.cli.status_words import status_words
from quorate.cli.table import print_table

NARROWEST, WIDEST = 40, 120  # columns


@click.command()
@click.option("--all", "show_all", is_flag=True, help="All that it says, with its settings, a line a value.")
@as_json
@asks_nodes()
def status(show_all: bool, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Show a node as it sees itself: the first of --node that answers.

    First in sentences: who leads, who is missing, and whether votes count. Then a line for each member and each part.
    """
    with client_of(nodes, timeout_s) as client:
        found = client.status()
    if as_json:
        print_json(found)
        return
    if words := status_words(found):
        echo(*(line for sentence in words for line in _folded(sentence)), "")
    if show_all:
        _print_columns(list(_flat(found)), fold=False)
        return
    if members := member_rows(found):
        print_table(HEADINGS, members)
        echo()
    _print_columns(list(summary(found)), fold=True)
    echo("", "All of it, with the settings: quorate status --all")


def _print_columns(lines: Sequence[tuple[str, Any]], *, fold: bool) -> None:
    width = max((len(name) for name, _ in lines), default=0) + 1
    for name, value in lines:
        line = f"{name:<{width}}{value}"
        echo(*(_folded(line, indent=width) if fold else [line]))


def _folded(text: str, *, indent: int = 0) -> list[str]:
    """The text in lines as wide as the terminal, 80 columns where there is none."""
    columns = max(NARROWEST, min(shutil.get_terminal_size().columns, WIDEST))
    return textwrap.wrap(text, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


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

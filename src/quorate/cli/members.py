"""`quorate members`"""

from __future__ import annotations

from typing import Any

import click

from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.output import change_is_made
from quorate.cli.table import print_table


@click.group(invoke_without_command=True)
@as_json
@asks_nodes()
@click.pass_context
def members(context: click.Context, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Show who belongs to the cluster, as its log has it; add, remove, replace or update a member."""
    if context.invoked_subcommand is None:
        with client_of(nodes, timeout_s) as client:
            _show(client.cluster_members(), as_json)


def _show(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"members": found})
        return
    rows = [[m["id"], "voter" if m["voter"] else "learner", m["raft"], m["incarnation"] or "-"] for m in found]
    print_table(["ID", "ROLE", "RAFT", "INCARNATION"], rows)


@members.command()
@click.argument("id")
@click.argument("address")
@as_json
@asks_nodes(30.0)
def add(id: str, address: str, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Add node ID, whose links listen at ADDRESS (host:port). Start it with raft.bootstrap = false.

    It is a learner until it has caught up, then a voter.
    """
    _change("add", id, address, as_json, nodes, timeout_s)


@members.command()
@click.argument("id")
@as_json
@asks_nodes(30.0)
def remove(id: str, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Remove node ID for good. It stops, and says why."""
    _change("remove", id, None, as_json, nodes, timeout_s)


@members.command()
@click.argument("id")
@click.option("--address", help="Where its links listen now, host:port; without it: where they did.")
@as_json
@asks_nodes(30.0)
def replace(id: str, address: str | None, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Put node ID's new, empty disk in the place of the one it lost.

    Start it on an empty data folder first: nothing changes unless it answers with another disk. A node that has its
    disk and has moved is not replaced: it tells its new address itself, or see `quorate members update`.
    """
    _change("replace", id, address, as_json, nodes, timeout_s)


@members.command()
@click.argument("id")
@click.option("--address", required=True, help="Where its links listen now, host:port.")
@as_json
@asks_nodes(30.0)
def update(id: str, address: str, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Write into the log that node ID, with the disk it has, is at another address. It has to answer there.

    A node that reaches the cluster tells its address itself. This is for one that nobody finds any more.
    """
    _change("update", id, address, as_json, nodes, timeout_s)


def _change(action: str, id: str, address: str | None, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    with client_of(nodes, timeout_s) as client:
        changed = client.change_members(action, id, address)
    change_is_made()
    _show(changed, as_json)

"""`quorate log-level`"""

from __future__ import annotations

import click

from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.output import change_is_made, echo
from quorate.errors import QuorateError


@click.command("log-level")
@click.argument("level", required=False, type=click.Choice(["debug", "info", "warning", "error"]))
@as_json
@asks_nodes()
def log_level(level: str | None, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Show the least severity of the lines that each node writes, or change it to LEVEL until the node starts again.

    Every node of --node is asked, also those that come after one that fails.
    """
    from quorate.client.http import DEFAULT_NODES

    found, failed = [], list[QuorateError]()
    for node in nodes or DEFAULT_NODES:
        try:
            with client_of([node], timeout_s) as client:
                found.append(client.log_level(level))
        except QuorateError as error:
            failed.append(error)
    if level is not None and found:
        change_is_made()
    if as_json:
        print_json(found)
    else:
        for each in found:
            echo(f"{each['node']} writes {each['level']} and above")
    if failed:
        raise failed[0]

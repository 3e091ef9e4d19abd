"""`quorate settings`"""

from __future__ import annotations

from typing import Any

import click

from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.output import change_is_made, echo
from quorate.cli.settings import warn
from quorate.cli.table import print_table


@click.group(invoke_without_command=True)
@as_json
@asks_nodes()
@click.pass_context
def settings(context: click.Context, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Show the settings that concern the whole cluster, and which nodes say otherwise; set those of the cluster.

    What is not listed holds for one node alone: `quorate config show`, and `quorate status`.
    """
    if context.invoked_subcommand is None:
        _show(as_json, nodes, timeout_s)


@settings.command()
@as_json
@asks_nodes()
def show(as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Show them."""
    _show(as_json, nodes, timeout_s)


@settings.command("set")
@click.argument("name")
@click.argument("value")
@as_json
@asks_nodes()
def set_(name: str, value: str, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Set NAME to VALUE for all nodes, from one version on.

    \b
    quorate settings set votes.dedup_window 2000000
    """
    with client_of(nodes, timeout_s) as client:
        changed = client.set_setting(name, _read(value))
    change_is_made()
    if as_json:
        print_json(changed)
    else:
        echo(f"{name} is {_words(changed['value'])} from version {changed['version']:,} on")
        warn([changed["warning"]] if "warning" in changed else [])


def _show(as_json: bool, nodes: list[str], timeout_s: float) -> None:
    with client_of(nodes, timeout_s) as client:
        found = client.settings()
    if as_json:
        print_json(found)
        return
    rows = [
        [each["name"], _HOLDS_FOR[each["scope"]], _words(each["value"]), _others(each)] for each in found["settings"]
    ]
    print_table(["SETTING", "HOLDS FOR", "VALUE", "WHO SAYS OTHERWISE"], rows)
    for id, why in found["untold"].items():
        echo(f"{id} did not say: {why}")


_HOLDS_FOR = {"cluster": "the cluster", "alike": "all alike"}


def _others(setting: dict[str, Any]) -> str:
    return ", ".join(f"{id}: {_words(setting['nodes'][id])}" for id in setting["differ"]) or "-"


def _words(value: Any) -> str:
    from quorate.config.write import toml_value

    return f"{value:,}" if type(value) is int else toml_value(value)


def _read(value: str) -> Any:
    """A number, written as in TOML (2_000_000), or a text."""
    try:
        return int(value)
    except ValueError:
        return value

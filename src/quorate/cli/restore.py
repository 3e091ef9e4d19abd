"""`quorate restore`"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from quorate.cli.backup import what_is_in
from quorate.cli.backup_places import read_backup_at
from quorate.cli.busy import busy
from quorate.cli.node_options import as_json, print_json
from quorate.cli.output import change_is_made, echo
from quorate.cli.question import agree
from quorate.cli.settings import warn
from quorate.words import count

if TYPE_CHECKING:
    from quorate.cluster.raft.restoring import Restored
    from quorate.config import Config

ADOPT_S = 30.0  # for each sink


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=str))
@click.option(
    "--config",
    "settings",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    required=True,
    help="The TOML file of the node that is to have it.",
)
@click.option("--adopt", is_flag=True, help="Let the new cluster write over what stands in its sinks.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def restore(file: str, settings: Path, adopt: bool, yes: bool, as_json: bool) -> int:
    """Make a new cluster of a backup: FILE goes into the empty folder of one node, which is not running.

    The node becomes the only voter of a cluster with a new id. Start it, then add nodes with empty folders: quorate
    members add. The old cluster must count no more: what it counts is not in the new one.

    FILE may be s3://BUCKET/NAME, in the store that backup.s3_endpoint names.
    """
    from quorate.cluster.raft.restoring import restore as restore_data
    from quorate.cluster.raft.storage.directory import check_unused
    from quorate.config import load

    loaded = load(settings, flags={})
    warn(loaded.warnings)
    config = loaded.config
    check_unused(config.node.data)
    with busy(f"reading {file}"):
        checked, state = read_backup_at(file, config.backup.s3_endpoint)
    if not yes:
        echo(
            f"{file} is whole, version {checked.head.version:,}:",
            *(f"  {each}" for each in what_is_in(checked)),
            err=True,
        )
        agree(f"Restore it into {config.node.data}, as a new cluster?")
    with busy(f"writing {config.node.data}"):
        done = restore_data(
            config.node.data, config.node.id, str(config.raft_address()), state, cluster_name=config.node.cluster
        )
    change_is_made()
    with busy("taking the sinks over"):
        adopted = _adopt(config, done.cluster_id) if adopt else {}
    if as_json:
        print_json({**msgspec.to_builtins(checked.head), **_told(config, done), "adopted": adopted})
    else:
        _say(config, settings, done, adopted, adopt)
    return 1 if any(isinstance(each, str) for each in adopted.values()) else 0


def _told(config: Config, done: Restored) -> dict[str, Any]:
    return {
        "cluster_id": done.cluster_id,
        "restored_from": done.before,
        "generation": done.generation,
        "node": config.node.id,
        "data": str(config.node.data),
    }


def _adopt(config: Config, cluster_id: str) -> dict[str, int | str]:
    """How many documents of each sink are the new cluster's now, or why none could be taken over."""
    from quorate.adapters import make_sinks
    from quorate.sinks.sink import SinkError

    adopted: dict[str, int | str] = {}
    for sink in make_sinks(config):
        try:
            adopted[sink.name] = sink.adopt(cluster_id, timeout_s=ADOPT_S)
        except SinkError as error:
            adopted[sink.name] = str(error)
        finally:
            sink.close()
    return adopted


def _say(config: Config, settings: Path, done: Restored, adopted: dict[str, int | str], adopt: bool) -> None:
    echo(
        f"{config.node.id} is now the only voter of cluster {done.cluster_id}, at version {done.version:,} of cluster "
        f"{done.before}.",
        f"  Start it: quorate node --config {shlex.quote(str(settings))}",
        "  Then start the other nodes on empty folders, and for each: quorate members add ID HOST:PORT",
    )
    for name, found in adopted.items():
        if isinstance(found, int):
            echo(f"  {name}: {count(found, 'document')} taken over; they are written again when the node leads")
        else:
            echo(f"  {name} is not taken over: {found}. When the node runs: quorate sink adopt {name}", err=True)
    if not adopt and config.flush.sinks:
        echo(
            f"  What stands in {', '.join(config.flush.sinks)} is of the old cluster, and the flush leaves it alone. "
            "To write over it, when the node runs: quorate sink adopt"
        )

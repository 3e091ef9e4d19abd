"""`quorate recover`"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from quorate.cli.busy import busy
from quorate.cli.node_options import as_json, print_json
from quorate.cli.output import change_is_made, echo
from quorate.cli.settings import warn


@click.command()
@click.option(
    "--config",
    "file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    required=True,
    help="The survivor's TOML file.",
)
@click.option("--unsafe", is_flag=True, help="Say that you know what may be lost.")
@as_json
def recover(file: Path, unsafe: bool, as_json: bool) -> int:
    """Go on from one survivor when a majority of the disks is lost for ever.

    The node must be stopped. It becomes the only voter of a cluster that goes on from its own log; what only the lost
    nodes had is lost. Add new nodes to it afterwards: quorate members add.
    """
    from quorate.cluster.raft.unsafe_recovery import recover as recover_data
    from quorate.config import load

    loaded = load(file, flags={})
    warn(loaded.warnings)
    config = loaded.config
    if not unsafe:
        raise click.UsageError(
            "what was acknowledged by the lost nodes alone may be lost, and nobody can say how much that is. If a "
            "majority can still be brought back, do that instead. Otherwise: --unsafe"
        )
    with busy(f"reading {config.node.data}"):
        done = recover_data(config.node.data, config.node.id, str(config.raft_address()))
    change_is_made()
    if as_json:
        told = {"node": config.node.id, "data": str(config.node.data), "cluster_id": done.cluster_id}
        index = {"last_index": done.last_index, "last_term": done.last_term, "committed": done.committed}
        print_json({**told, "recovered_from": done.before, **index})
        return 0
    echo(
        f"{config.node.id} is now the only voter of cluster {done.cluster_id}, which goes on from {done.before}.",
        f"  Its log ends at index {done.last_index} (term {done.last_term}); up to {done.committed} it knew to be "
        "committed.",
        "  What the lost nodes had acknowledged beyond that index is lost; clients that send it again are counted.",
        "  Entries above the committed ones are kept: some may never have been acknowledged.",
        f"  Start it: quorate node --config {shlex.quote(str(file))}",
        "  Then add nodes with empty disks: quorate members add ID HOST:PORT",
    )
    return 0

"""`quorate vote`"""

from __future__ import annotations

import shlex
import uuid
from typing import TYPE_CHECKING

import click

from quorate.cli import completing
from quorate.cli.node_options import as_json, asks_nodes, client_of, is_by_flag, not_empty, print_json
from quorate.cli.output import change_is_made, echo

if TYPE_CHECKING:
    from quorate.vote import Vote


@click.command()
@click.argument("option", shell_complete=completing.options)
@click.option(
    "--poll",
    callback=not_empty,
    shell_complete=completing.polls,
    help="Count it in this poll alone; without, it counts in every open poll that has the option.",
)
@click.option("--id", callback=not_empty, help="The vote's id: sent again with the same id it is not counted again.")
@click.option("--weight", type=click.IntRange(min=1), default=1, help="Count it this many times.")
@as_json
@asks_nodes()
def vote(
    option: str,
    poll: str | None,
    id: str | None,
    weight: int,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> None:
    """Cast a vote for OPTION."""
    from quorate.cli.vote_refusals import explain
    from quorate.errors import QuorateError
    from quorate.vote import Vote

    cast = Vote(option, id or uuid.uuid4().hex, poll, weight)
    with client_of(nodes, timeout_s) as client:
        try:
            tallied = client.vote(cast)
        except QuorateError as error:
            explain(error, client, cast)
            if not error.definite:  # the id was made here: without it nobody could send the same vote again
                error.fields["hint"] = f"Send it again, it will not be counted twice: {_again(cast)}"
            raise
    change_is_made()
    if as_json:
        print_json(tallied)
    elif tallied.duplicates:
        echo(f"{option}: counted before; nothing changed (id {cast.id}, version {tallied.version})")
    else:
        echo(f"{option}: counted (id {cast.id}, version {tallied.version})")


def _again(vote: Vote) -> str:
    """The command that sends the same vote, to be copied: to the same nodes, if flags said which."""
    ctx = click.get_current_context()
    where = [f"--node={node}" for node in ctx.params["nodes"]] if is_by_flag(ctx, "nodes") else []
    if is_by_flag(ctx, "consul"):
        where = [f"--consul={ctx.params['consul']}"]
    only = ["--poll", vote.poll] if vote.poll else []
    weight = ["--weight", str(vote.weight)] if vote.weight != 1 else []
    return shlex.join(["quorate", "vote", "--id", str(vote.id), *only, *weight, *where, "--", vote.option])

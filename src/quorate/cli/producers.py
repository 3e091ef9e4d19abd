"""`quorate producers`"""

from __future__ import annotations

import click

from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.output import change_is_made, echo
from quorate.cli.table import print_table


@click.group()
def producers() -> None:
    """List producer sessions, and forget some."""


@producers.command("list")
@as_json
@asks_nodes()
def list_producers(as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """List the producer sessions. SEQUENCE is the last batch that was counted."""
    with client_of(nodes, timeout_s) as client:
        found = client.producers()
    if as_json:
        print_json([{"producer": p.producer, "epoch": p.epoch, "sequence": p.sequence} for p in found])
    elif not found:
        echo("There is no producer session.")
    else:
        print_table(["PRODUCER", "EPOCH", "SEQUENCE"], [[p.producer, p.epoch, p.sequence] for p in found])


@producers.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--epoch", type=click.IntRange(min=1), help="Only if the session has this epoch; for one NAME.")
@click.option("--unused", is_flag=True, help="All sessions that never counted anything.")
@as_json
@asks_nodes()
def forget(
    names: tuple[str, ...], epoch: int | None, unused: bool, as_json: bool, nodes: list[str], timeout_s: float
) -> None:
    """Forget producer sessions, which makes room for others. What they counted stays counted.

    Nobody can tell any more what a forgotten session has sent, so its name is opened again only by feed --new.
    """
    if bool(names) == unused or (epoch is not None and len(names) != 1):
        raise click.UsageError("give NAMEs, or --unused; --epoch goes with one NAME.")
    answers = []
    with client_of(nodes, timeout_s) as client:
        meant: list[tuple[str, int | None]] = [(name, epoch) for name in names]
        if unused:
            meant = [(session.producer, session.epoch) for session in client.producers() if not session.sequence]
        for name, its_epoch in meant:
            answers.append(client.forget_producer(name, its_epoch))
            change_is_made()
            if not as_json:
                echo(f"{name}: forgotten")
    if as_json:
        print_json(answers)
    elif not meant:
        echo("There is no session that never counted anything.")

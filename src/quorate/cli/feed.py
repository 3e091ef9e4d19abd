"""`quorate feed`"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.output import change_is_made
from quorate.words import count

if TYPE_CHECKING:
    from quorate.client.feed import Fed, Progress, Scan

BAD_LINES_SHOWN = 10


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--poll", help="Count votes that name no poll in this one alone.")
@click.option("--skip-bad", is_flag=True, help="Pass over lines that are no votes, instead of refusing the file.")
@click.option("--ignore-ids", is_flag=True, help="Count each line once, whatever the id of its vote.")
@click.option("--producer", help="Name of the session, instead of one made from the file's content.")
@as_json
@asks_nodes(timeout_s=30.0)
def feed(
    file: Path,
    poll: str | None,
    skip_bad: bool,
    ignore_ids: bool,
    producer: str | None,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> None:
    """Count the votes in FILE (- is standard input), each once however often it is fed.

    A line is a vote in JSON, {"option": "happy"}, or just an option. The whole file is read first; if a line makes no
    sense, nothing is sent. Interrupted, the same command goes on where it stopped. A changed file is another file: all
    its lines count.
    """
    from quorate.client import feed as feeding

    with client_of(nodes, timeout_s) as client:
        client.leader()  # if no node can be reached, say so at once: before a big file is read
    with _on_disk(file) as path, client_of(nodes, timeout_s, unreached_s=None) as client:
        votes = feeding.VotesFile(path, poll, ignore_ids)
        found = feeding.scan(votes)
        if found.bad_lines and not skip_bad:
            raise _bad(file, found)
        found.producer = producer or found.producer
        with _progress(found, shown=not as_json) as on_progress:
            fed = feeding.feed(client, votes, found, on_progress)
            change_is_made()
    if as_json:
        print_json({"votes": fed.votes, "applied": fed.applied, "duplicates": fed.duplicates, "skipped": fed.skipped})
    else:
        click.echo(_summary(fed, found))


@contextlib.contextmanager
def _on_disk(file: Path) -> Iterator[Path]:
    """The file itself, or a copy of standard input, because the votes must be read twice."""
    if str(file) != "-":
        yield file
        return
    with tempfile.NamedTemporaryFile(prefix="quorate-feed-") as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.flush()
        yield Path(spool.name)


def _bad(file: Path, found: Scan) -> Exception:
    from quorate.errors import Invalid

    lines = [f"line {number:,}: {why}" for number, why in found.bad[:BAD_LINES_SHOWN]]
    if found.bad_lines > len(lines):
        lines.append(f"and {found.bad_lines - len(lines):,} more")
    name = "standard input" if str(file) == "-" else str(file)
    lines.append(f"Nothing of {name} was counted. Correct it, or pass over such lines with --skip-bad.")
    return Invalid("\n".join(lines), lines=[number for number, _ in found.bad])


def _summary(fed: Fed, found: Scan) -> str:
    text = f"{count(fed.applied, 'vote')} counted"
    if before := fed.skipped + fed.duplicates:
        text += f", {before:,} had been counted before"
    return text + (f", {count(found.bad_lines, 'bad line')} passed over" if found.bad_lines else "")


@contextlib.contextmanager
def _progress(found: Scan, shown: bool) -> Iterator[Progress]:
    """A progress bar on a terminal. Nothing if a program reads the output."""
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(None), MofNCompleteColumn(), TextColumn("{task.fields[rate]} votes/s"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=found.votes, rate="-")

        def update(fed: Fed) -> None:
            elapsed_s = progress.tasks[0].elapsed or 0
            rate = f"{(fed.done - fed.skipped) / elapsed_s:,.0f}" if elapsed_s > 0.2 else "-"
            progress.update(task, completed=fed.done, rate=rate)

        yield update

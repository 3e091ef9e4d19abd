"""`quorate feed`"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quorate.cli import completing
from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.output import change_is_made, echo
from quorate.exit_code import DONE, PASSED_OVER
from quorate.words import count

if TYPE_CHECKING:
    from quorate.client.feed import Fed, Progress
    from quorate.client.votes_file import Scan

BAD_LINES_SHOWN = 10


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--poll", shell_complete=completing.polls, help="Count votes that name no poll in this one alone.")
@click.option("--skip-bad", is_flag=True, help="Pass over lines that cannot count, and end with exit code 6.")
@click.option("--ignore-ids", is_flag=True, help="Count each line once, whatever the id of its vote.")
@click.option("--session", "--producer", metavar="NAME", help="Name of this feed, instead of the file's path.")
@click.option("--new", is_flag=True, help="The file only has the name of an earlier one: count all its lines.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the checkpoints.  [default: quorate/feed in $XDG_STATE_HOME or ~/.local/state]",
)
@as_json
@asks_nodes(timeout_s=30.0)
def feed(
    file: Path,
    poll: str | None,
    skip_bad: bool,
    ignore_ids: bool,
    session: str | None,
    new: bool,
    state: Path | None,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> int:
    """Count the votes in FILE (- is standard input), each once however often it is fed.

    A line is a vote in JSON, {"option": "happy"}, or just an option. The whole file is read first; if a line makes no
    sense, nothing is sent. If the feed is interrupted, or stops at a line that the cluster refuses, correct the line
    and feed the file again: it goes on where it stopped. Lines that were counted must not change; a file in which they
    did is refused. Standard input has no name: to go on with a corrected text, give --session.
    """
    from quorate.client import feed as feeding
    from quorate.client.checkpoint import Checkpoint
    from quorate.client.feed_start import Wanted
    from quorate.client.votes_file import VotesFile, scan

    if session and new:
        raise click.UsageError("--session and --new do not go together: another --session is a new one.")
    with client_of(nodes, timeout_s, patient=True) as client:
        client.leader()  # if no node can be reached, say so at once: before a big file is read
        cluster = client.status().get("state", {}).get("cluster_id", "")
    with (
        _on_disk(file) as path,
        client_of(nodes, timeout_s, unreached_s=None, patient=True, shows_wait=False) as client,
    ):
        votes = VotesFile(path, poll, ignore_ids)
        found = scan(votes)
        if found.bad_lines and not skip_bad:
            raise _bad(file, found)
        named, piped = session is None and str(file) != "-", session is None and str(file) == "-"
        name = _readable(file.resolve()) if named else f"session {session or found.producer}"
        with (
            Checkpoint.held(name, state or _state_folder(), cluster) as checkpoint,
            _progress(found, shown=not as_json) as on_progress,
        ):
            wanted = Wanted(session, new, named, piped)
            fed = feeding.feed(
                client, votes, found, on_progress, checkpoint=checkpoint, wanted=wanted, skip_bad=skip_bad
            )
            change_is_made()
    return _report(fed, found, as_json)


def _state_folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "quorate/feed"


def _readable(path: Path) -> str:
    """The path as text, also if its bytes are none."""
    return str(path).encode(errors="backslashreplace").decode()


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


def _report(fed: Fed, found: Scan, as_json: bool) -> int:
    """Print what was done. Returns the exit code: a script must know if lines were passed over."""
    passed_over = sorted([*found.bad, *fed.passed])
    passed_lines = found.bad_lines + fed.passed_lines
    if as_json:
        report = {"votes": fed.votes, "applied": fed.applied, "duplicates": fed.duplicates, "skipped": fed.skipped}
        lines = [{"line": number, "reason": why} for number, why in passed_over]
        print_json({**report, "session": fed.session, "passed_over": passed_lines, "passed_over_lines": lines})
    else:
        echo(_summary(fed, passed_lines))
        for number, why in passed_over[:BAD_LINES_SHOWN]:
            echo(f"line {number:,} passed over: {why}", err=True)
        if passed_lines > BAD_LINES_SHOWN:
            echo(f"and {passed_lines - BAD_LINES_SHOWN:,} more (--json lists the first thousand)", err=True)
        if passed_lines:
            echo("Put these lines, corrected, into a file of their own to count them.", err=True)
    return PASSED_OVER if passed_lines else DONE


def _summary(fed: Fed, passed_lines: int) -> str:
    text = f"{count(fed.applied, 'vote')} counted"
    if before := fed.skipped + fed.duplicates:
        text += f", {before:,} had been counted before"
    return text + (f", {count(passed_lines, 'bad line')} passed over" if passed_lines else "")


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

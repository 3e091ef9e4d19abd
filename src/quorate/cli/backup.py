"""`quorate backup`"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from quorate.cli.backup_places import Moved, Save, Step, is_in_s3, read_backup_at, saver
from quorate.cli.busy import busy
from quorate.cli.node_options import UNREACHED_S, as_json, asks_nodes, ca_given, print_json, token_given
from quorate.cli.output import echo
from quorate.words import count

if TYPE_CHECKING:
    from quorate.backup.envelope import CheckedBackup


@click.command()
@click.argument("file", metavar="FILE|-", type=click.Path(path_type=str, allow_dash=True))
@click.option("--force", is_flag=True, help="Put the new backup in the place of one that has this name.")
@click.option(
    "--level",
    type=click.Choice(["linearizable", "none"]),
    default="linearizable",
    show_default=True,
    help="none: what the asked node has, also where no leader is known.",
)
@click.option("--check", is_flag=True, help="Make no backup: say what is in FILE, and whether it is whole.")
@click.option(
    "--s3-endpoint",
    metavar="URL",
    envvar="QUORATE_BACKUP_S3_ENDPOINT",
    show_envvar=True,
    help="The S3-compatible store that FILE is in.  [default: AWS]",
)
@as_json
@asks_nodes()
def backup(
    file: str,
    force: bool,
    level: str,
    check: bool,
    s3_endpoint: str | None,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> None:
    """Write a backup of the cluster to FILE, or to the output (-), while it counts.

    It is the whole state at one version: polls, tallies, the ids that are protected, producer sessions. It is checked
    as it comes, and FILE is there only when it is whole. Keep it as secret as the data folders.

    FILE may be s3://BUCKET/NAME, with the extra s3. The keys come from where AWS' own programs look for them.
    """
    if check:
        if file == "-" or force:
            raise click.UsageError("--check reads a FILE, and goes with neither - nor --force.")
        with busy(f"reading {file}"):
            checked, _ = read_backup_at(file, s3_endpoint or "")
        _show(checked, file, as_json, "is whole")
        return
    if file == "-" and sys.stdout.isatty():
        raise click.UsageError("a backup is no text for a terminal: give a FILE, or pass the output on.")
    save = saver(file, s3_endpoint or "", force=force)
    if file != "-" and not is_in_s3(file):
        _remove_leftovers(Path(file).parent)
    made = _make(save, nodes, timeout_s, level=level, anew=file != "-", shown=not as_json)
    _show(made, file, as_json, "written", err=file == "-")


def _remove_leftovers(folder: Path) -> None:
    from quorate.backup.saving import remove_leftovers

    for left in remove_leftovers(folder):
        echo(f"Removed {left}, which a killed backup had left.", err=True)


def _make(save: Save, nodes: list[str], timeout_s: float, *, level: str, anew: bool, shown: bool) -> CheckedBackup:
    from quorate.client.asking import NodeUrls
    from quorate.client.downloads import Downloader
    from quorate.client.urls import DEFAULT_NODES

    asked = NodeUrls(nodes or DEFAULT_NODES)
    times = {"timeout_s": timeout_s, "unreached_s": UNREACHED_S}
    downloader = Downloader(asked, **times, token=token_given(), ca=ca_given())
    with _progress(shown) as (step, moved):
        return downloader.read("/backup", {"level": level}, lambda answer: save(answer, step, moved), anew=anew)


@contextlib.contextmanager
def _progress(shown: bool) -> Iterator[tuple[Step, Moved]]:
    """What is done, and how much of it, on a terminal. Nothing if a program reads along."""
    if not shown or not sys.stderr.isatty():
        yield (lambda _: None), (lambda _: None)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield (
            lambda words: progress.update(task, description=escape(words), completed=0),
            lambda size: progress.update(task, completed=size),
        )


def _show(checked: CheckedBackup, file: str, as_json: bool, done: str, *, err: bool = False) -> None:
    if as_json and err:
        echo(msgspec.json.encode(_document(checked, file)), err=True)
    elif as_json:
        print_json(_document(checked, file))
    else:
        name = "the backup" if file == "-" else file
        echo(f"{name} {done}: {count(checked.size, 'byte')}, version {checked.head.version:,}.", err=err)
        echo(*(f"  {line}" for line in what_is_in(checked)), err=err)


def _document(checked: CheckedBackup, file: str) -> dict[str, Any]:
    head = msgspec.to_builtins(checked.head)
    return {"file": file, "size": checked.size, "digest": checked.digest, **head}


def what_is_in(checked: CheckedBackup) -> list[str]:
    """In words, a line each."""
    head = checked.head
    taken = datetime.fromtimestamp(head.taken_ms / 1000, UTC).isoformat(" ", "seconds").replace("+00:00", " UTC")
    return [
        f"of cluster {head.cluster_id}, taken by {head.node} (Quorate {head.program}) at {taken}",
        f"{count(head.polls, 'poll')} with {count(head.options, 'option')} and {count(head.votes, 'vote')}",
        f"{count(head.ids, 'protected id')}, {count(head.producers, 'producer session')}, "
        f"{count(head.deleted, 'deleted poll')} remembered",
        f"digest {checked.digest}",
    ]

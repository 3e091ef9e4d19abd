"""`quorate backup`"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from quorate.cli.busy import busy
from quorate.cli.node_options import as_json, asks_nodes, ca_given, print_json, token_given
from quorate.cli.output import echo
from quorate.words import count

if TYPE_CHECKING:
    from quorate.backup.envelope import CheckedBackup
    from quorate.client.downloads import OpenedAnswer

Shown = Callable[[int], None]  # is told how many bytes have come


@click.command()
@click.argument("file", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--force", is_flag=True, help="Put the new backup in the place of a file that exists.")
@click.option(
    "--level",
    type=click.Choice(["linearizable", "none"]),
    default="linearizable",
    show_default=True,
    help="none: what the asked node has, also where no leader is known.",
)
@click.option("--check", is_flag=True, help="Make no backup: say what is in FILE, and whether it is whole.")
@as_json
@asks_nodes()
def backup(file: Path, force: bool, level: str, check: bool, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Write a backup of the cluster to FILE, or to the output (-), while it counts.

    It is the whole state at one version: polls, tallies, the ids that are protected, producer sessions. It is checked
    as it comes, and FILE is there only when it is whole. Keep it as secret as the data folders.
    """
    to_output = str(file) == "-"
    if check:
        if to_output or force:
            raise click.UsageError("--check reads a FILE, and goes with neither - nor --force.")
        _show(_checked(file), file, as_json, "is whole")
        return
    if to_output and sys.stdout.isatty():
        raise click.UsageError("a backup is no text for a terminal: give a FILE, or pass the output on.")
    made = _make(file, nodes, timeout_s, level=level, force=force, shown=not as_json)
    _show(made, file, as_json, "written", err=to_output)


def _checked(file: Path) -> CheckedBackup:
    from quorate.backup.reading import read_backup

    with busy(f"reading {file}"):
        checked, _ = read_backup(file)
    return checked


def _make(file: Path, nodes: list[str], timeout_s: float, *, level: str, force: bool, shown: bool) -> CheckedBackup:
    from quorate.backup.saving import check_name, new_file, remove_leftovers
    from quorate.client.asking import NodeUrls
    from quorate.client.downloads import Downloader
    from quorate.client.urls import DEFAULT_NODES

    to_output = str(file) == "-"
    if not to_output:
        check_name(file, force=force)
        for left in remove_leftovers(file.parent):
            echo(f"Removed {left}, which a killed backup had left.", err=True)
    downloader = Downloader(NodeUrls(nodes or DEFAULT_NODES), timeout_s=timeout_s, token=token_given(), ca=ca_given())

    def save(answer: OpenedAnswer) -> CheckedBackup:
        if to_output:
            return _copy(answer, _write_output, progress)
        with new_file(file, force=force) as opened:
            return _copy(answer, opened.write, progress)

    with _progress(shown) as progress:
        return downloader.read("/backup", {"level": level}, save, anew=not to_output)


def _copy(answer: OpenedAnswer, write: Callable[[bytes], object], progress: Shown) -> CheckedBackup:
    from quorate.backup.envelope import BackupCheck

    check = BackupCheck(f"what {answer.node} sent")
    for piece in answer.pieces():
        check.add(piece)
        write(piece)
        progress(check.size)
    return check.finish()


def _write_output(piece: bytes) -> None:
    from quorate.errors import BackupUnusable

    try:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise BackupUnusable(f"the output took only a part of the backup: {error.strerror or error}") from None


@contextlib.contextmanager
def _progress(shown: bool) -> Iterator[Shown]:
    """How much has come, on a terminal. Nothing if a program reads along."""
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, SpinnerColumn, TransferSpeedColumn

    columns = SpinnerColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda size: progress.update(task, completed=size)


def _show(checked: CheckedBackup, file: Path, as_json: bool, done: str, *, err: bool = False) -> None:
    if as_json and err:
        echo(msgspec.json.encode(_document(checked, file)), err=True)
    elif as_json:
        print_json(_document(checked, file))
    else:
        name = "the backup" if str(file) == "-" else str(file)
        echo(f"{name} {done}: {count(checked.size, 'byte')}, version {checked.head.version:,}.", err=err)
        echo(*(f"  {line}" for line in what_is_in(checked)), err=err)


def _document(checked: CheckedBackup, file: Path) -> dict[str, Any]:
    head = msgspec.to_builtins(checked.head)
    return {"file": str(file), "size": checked.size, "digest": checked.digest, **head}


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

"""`quorate node`"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from quorate.cli.output import echo
from quorate.cli.settings import setting_flags, warn
from quorate.exit_code import DONE, REMOVED


@click.command()
@click.option(
    "--config", "file", type=click.Path(dir_okay=False, path_type=Path), envvar="QUORATE_CONFIG", help="A TOML file."
)
@setting_flags
@click.option("--removed-ok", is_flag=True, help="End with 0, not 7, if the cluster has removed this node.")
@click.option("--parent-fd", type=int, hidden=True)
def node(file: Path | None, flags: dict[str, Any], removed_ok: bool, parent_fd: int | None) -> int:
    """Run one node until it is told to stop (SIGTERM, SIGINT or SIGHUP; a second one stops at once).

    It ends with exit code 7 if the cluster has removed it. Its data folder is of no more use then, so whatever starts
    nodes again must leave this one alone (see deploy/README.md). It ends with exit code 8 if it stopped itself because
    it could have given wrong answers: its log contradicts the cluster's, or this program cannot follow it. A new start
    does not help; the node's log says what does.

    A signal that was ignored at the start stays ignored: `nohup quorate node &` goes on when the terminal closes.
    Settings come from --config, outranked by QUORATE_SECTION_KEY in the environment, outranked by flags.
    """
    from quorate import pidfile
    from quorate.config import load

    loaded = load(file, flags=flags)
    warn(loaded.warnings)
    config = loaded.config
    if parent_fd is not None:
        _stop_with_parent(parent_fd)
    held = pidfile.hold(
        Path(config.node.data)
    )  # None if another process has the folder: the lock of the data folder then says so in words
    from quorate.runtime import run

    if config.log.file and sys.stderr.isatty():
        echo(f"{config.node.id} runs at {config.http.url}; its log goes to {config.log.file}. Ctrl-C stops it.")
    try:
        seams = click.get_current_context().obj  # None, unless a test program runs this command
        code = run(config, loaded.origins.keys(), *([] if seams is None else [seams]))
        return DONE if code == REMOVED and removed_ok else code
    finally:
        if held:
            pidfile.let_go(held)


def _stop_with_parent(pipe: int) -> None:
    """Stop when the writing end of `pipe` closes: the program that started this node has ended."""

    def watch() -> None:
        while os.read(pipe, 1):
            pass
        if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
            os._exit(1)  # no node outlives its `dev`; what it has acknowledged is on disk
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()

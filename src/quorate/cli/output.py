"""The output of a command, which may be closed, full or in another encoding.

The exit code tells the effect. So a command that changes something calls `change_is_made` as soon as it knows that, and
from then on nothing that happens to its output, or to a question that it asks afterwards, makes it a failure: a script
that saw one would do the same again.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import IO, Any

import click

from quorate import shown

CHANGED = "quorate.changed"


def change_is_made() -> None:
    click.get_current_context().meta[CHANGED] = True


def is_change_made(context: click.Context) -> bool:
    return CHANGED in context.meta


def prepare() -> None:
    """Open what is closed, and show a character that the encoding lacks as an escape.

    A closed descriptor would be given to the next file or connection, and Python has no stream for it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, so this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as long as we run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def echo(*lines: str | bytes, err: bool = False) -> None:
    """Show lines: each argument is one, whatever is in it, and bytes are JSON.

    What others wrote may be part of it, so nothing in it breaks the line or acts on a terminal. It is not cut, since a
    row of a table may be long; the text of an error is, see `exit_codes.py`.
    """
    for each in lines or ("",):
        safe = shown.json_text(each.decode()) if isinstance(each, bytes) else shown.whole_line(each)
        click.echo(safe, err=err)


def write(text: str) -> None:
    """Write a document to standard output: as it is for a program, and line by line as `echo` does on a terminal."""
    if sys.stdout.isatty():
        echo(*text.splitlines())
        return
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def discard(stream: IO[Any]) -> None:
    """Send to nowhere what the stream still holds. Otherwise Python fails with it at exit, with a code of its own."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        stream.flush()


def works(stream: IO[Any]) -> bool:
    try:
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def is_from_output(error: OSError) -> bool:
    """Whether the error came of writing to a standard stream: what Python raises then names no file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    return name in ("click.utils", "quorate.cli") or name.startswith("quorate.cli.")


def complain(show: Callable[[], object]) -> None:
    """Show an error. If even that cannot be written, the exit code says it alone."""
    try:
        show()
        sys.stderr.flush()
    except (OSError, ValueError):
        discard(sys.stderr)


def not_shown(error: Exception) -> None:
    """Say that a change was made and that its answer cannot be shown."""
    why = (error.strerror if isinstance(error, OSError) else getattr(error, "detail", None)) or str(error)
    complain(lambda: echo(f"quorate: the change was made, but its answer cannot be shown: {why}", err=True))

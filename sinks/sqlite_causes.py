"""Why the SQLite file was not written or read, in words that name the cause and what to do about it.

SQLite says "unable to open database file" of six different things. So what is wrong is looked for where the file is.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path


def in_words(error: sqlite3.Error, path: Path, timeout_s: float) -> str:
    name = code(error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{path} is locked by another program for over {timeout_s:g} s; end what holds it open"
    if name.startswith("SQLITE_INTERRUPT"):
        return late(path, timeout_s)
    if name.startswith("SQLITE_CORRUPT"):
        return f"{path} is damaged ({error}); move it away, and the leader writes a new one"
    if name.startswith("SQLITE_NOTADB"):
        other = "move it away, and the leader writes a new one, or give sqlite.path another file"
        return f"{path} is damaged or no SQLite file at all ({error}); {other}"
    if name.startswith("SQLITE_FULL"):
        return f"{path} cannot grow: the disk is full; make room, and the flush goes on"
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_IOERR")):
        return f"{path} cannot be {_hindrance(path) or f'used: {error} ({name})'}"
    if "no such column" in str(error) or "no such table" in str(error):
        return f"{path} has tables that are not ours ({error}); give sqlite.path another file"
    return f"{path} cannot be used: {error}"


def of_system(error: OSError, path: Path) -> str:
    """An error that came before SQLite: the folder cannot be made, or the file not be looked at."""
    where = f"{error.filename}: " if error.filename and str(error.filename) != str(path) else ""
    return f"{path} cannot be used: {where}{error.strerror or error}"


def late(path: Path, timeout_s: float) -> str:
    return f"{path} did not take it within {timeout_s:g} s; its disk may be overloaded"


def code(error: sqlite3.Error) -> str:
    """SQLite's name of the error; "" for an error that Python's module raised by itself."""
    return getattr(error, "sqlite_errorname", None) or ""


def _hindrance(path: Path) -> str | None:
    """What a look at the file and its folder shows. WAL needs files beside it, so the folder must be writable too."""
    try:
        if path.is_dir():
            return "used: it is a folder; give sqlite.path a file"
        if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
            return "written: its file system is mounted read-only"
        if path.exists() and not path.is_file():
            return "used: it is no file; give sqlite.path a file"
        for each in (path, path.parent):
            if each.exists() and not os.access(each, os.R_OK | os.W_OK):
                return f"written: this user may not write {each}"
    except OSError as error:
        return f"used: {error.strerror}"
    return None

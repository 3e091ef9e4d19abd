"""The file of tokens (`auth.file`) as a running node has it: read at the start, and again whole when it changes.

A file that is missing, open to others or wrong never takes a token away: the tokens that were read last go on holding,
and `problem` says what is wrong until it is mended. At the start there are none to go on with, so the error is raised.

The file is compared by its bytes, a few times a second, and a change holds when two readings in a row agree: a file
that is being written is not taken by halves. No time stamp is trusted, and no link: it is the open file whose mode is
looked at.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from quorate.errors import ConfigError
from quorate.security.open_files import why_open
from quorate.security.tokens import Tokens, read_tokens

BYTES_MAX = 4 * 1024 * 1024
LOOK_S = 0.2
RESTLESS = 25  # readings in a row of which each differs from the one before
CHANGING = "it changes all the time, and holds when two readings agree"

log = logging.getLogger(__name__)


class TokenFile:
    """Made and used on the node's loop. `path` is None where no tokens are configured: then there are none."""

    def __init__(self, path: Path | None) -> None:
        """Raises `ConfigError` if the file cannot be taken."""
        self.path = path
        self._read: bytes | str = "" if path is None else read_file(path)  # what holds, or what is wrong with the file
        self._seen = self._read  # what the last reading found
        self._restless = 0  # how many readings in a row found something else than the one before
        self._changed: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self.tokens = Tokens() if path is None else _tokens_in(self._read)
        self.problem: str | None = None  # what is wrong with the file now, in words
        self.changes = 0  # how often other tokens were taken

    @property
    def is_configured(self) -> bool:
        return self.path is not None

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have it called when other tokens hold than before."""
        self._changed.append(listener)

    def start(self) -> None:
        if self.path is not None:
            self._task = asyncio.get_running_loop().create_task(self._watch(self.path))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _watch(self, path: Path) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                found = await asyncio.to_thread(_look, path)
                if self._is_news(found):
                    # Thousands of tokens take a while to parse, so that is not done on the loop.
                    self._hold(found, await asyncio.to_thread(_tokens_or_why_not, found))
            except Exception:
                log.exception("%s could not be read again", path)

    def take(self, found: bytes | str) -> None:
        """One reading: the bytes of the file, or what is wrong with it."""
        if self._is_news(found):
            self._hold(found, _tokens_or_why_not(found))

    def _is_news(self, found: bytes | str) -> bool:
        """Whether this was read twice in a row, and is not what holds."""
        before, self._seen = self._seen, found
        self._restless = self._restless + 1 if found != before else 0
        if self._restless == RESTLESS:
            self._hold(CHANGING, CHANGING)
        return found == before != self._read

    def _hold(self, found: bytes | str, tokens: Tokens | str) -> None:
        self._read = found
        if isinstance(tokens, str):
            self.problem = tokens
            log.error("%s: %s; the tokens that were read before go on holding", self.path, tokens)
            return
        self.problem = None
        gone = sum(not tokens.still_has(token) for token in self.tokens)
        log.info("%s was read again: %d tokens hold, %d of those before do not", self.path, len(tokens), gone)
        self.tokens = tokens
        self.changes += 1
        for listener in self._changed:
            listener()


def read_file(path: Path) -> bytes:
    """Raises `ConfigError`, which says in words why the file cannot be taken."""
    found = _look(path)
    if isinstance(found, str):
        raise ConfigError(f"auth.file: {path}: {found}")
    try:
        _tokens_in(found)
    except ConfigError as error:
        raise ConfigError(f"auth.file: {path}: {error.detail}") from None
    return found


def append_token(path: Path, table_beside: Callable[[Tokens], str]) -> str:
    """Append a token's lines, in one write; a file that is not there is made with mode 600. Raises `ConfigError`.

    `table_beside` makes the lines, given the tokens that are there. A file that could not be taken with them is left as
    it is.
    """
    read_tokens(table_beside(Tokens()))
    try:
        with open(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two that append at once: each must see the other's
            found = _look(path)
            if isinstance(found, str):
                raise ConfigError(f"{path}: {found}")
            gap = b"" if not found else b"\n" if found.endswith(b"\n") else b"\n\n"
            try:
                table = table_beside(_tokens_in(found, may_be_empty=True))
                _tokens_in(found + gap + table.encode())
            except ConfigError as error:
                raise ConfigError(f"{path} would have: {error.detail}") from None
            file.write(gap + table.encode())
            file.flush()
            os.fsync(file.fileno())
            return table
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None


def _look(path: Path) -> bytes | str:
    """The bytes of the file, or what is wrong with it. Never waits: a pipe in its place is refused."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            return _why_not_taken(path, status) or file.read(BYTES_MAX + 1)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"


def _why_not_taken(path: Path, status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "it is no file"
    if reasons := [*why_open(path, status.st_mode)]:
        return f"it {' and '.join(reasons)}"
    if status.st_size > BYTES_MAX:
        return f"it has over {BYTES_MAX:,} bytes"
    return None


def _tokens_in(found: bytes | str, *, may_be_empty: bool = False) -> Tokens:
    if isinstance(found, str):
        raise ConfigError(found)
    try:
        return read_tokens(found.decode("utf-8-sig"), may_be_empty=may_be_empty)
    except UnicodeDecodeError:
        raise ConfigError("it is not UTF-8 text") from None


def _tokens_or_why_not(found: bytes | str) -> Tokens | str:
    try:
        return _tokens_in(found)
    except ConfigError as error:
        return error.detail

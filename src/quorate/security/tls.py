"""TLS contexts that are made anew when their files change, so that a renewed certificate needs no restart.

A file that is missing or wrong takes nothing away: the context that was made last goes on, and `problem` says what is
wrong until it is mended. At the start there is none to go on with, so the error is raised. As with the file of tokens,
files are compared by their bytes, and a change holds when two readings in a row agree: a certificate whose key is not
written yet is not taken. What was handshaken before goes on under the certificate that it has seen.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from quorate.errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509

BYTES_MAX = 1024 * 1024
LOOK_S = 1.0
SOON = timedelta(days=7)  # before its end, a certificate that was not renewed is warned of, once a day
WARN_EVERY = timedelta(days=1)

Contents = tuple[bytes | str, ...]  # of each file: its bytes, or why it cannot be read

log = logging.getLogger(__name__)


class LiveTls:
    """Made and used on the node's loop. `context` is the newest that could be made: ask for it with each connection.

    `files` are looked at again and again; the first is that of the certificate. `make` makes a context of them.
    """

    def __init__(self, files: Sequence[Path], make: Callable[[], ssl.SSLContext]) -> None:
        """Raises `ConfigError` if no context can be made."""
        self._files, self._make = tuple(dict.fromkeys(files)), make
        self._read = self._seen = _look(self._files)  # what the context was made of; what the last look found
        self.context = make()
        self.ends = end_of(self._files[0])  # when the certificate ends
        self.problem: str | None = None  # what is wrong with the files now, in words
        self.changes = 0  # how often another context was made
        self._task: asyncio.Task[None] | None = None
        self._warned: datetime | None = None

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def days_left(self) -> float:
        """Until the certificate ends; below 0 after that."""
        return (self.ends - datetime.now(UTC)) / timedelta(days=1)

    async def _watch(self) -> None:
        while True:
            try:
                self._warn_of_end()
                await asyncio.sleep(LOOK_S)
                await self.look()
            except Exception:
                log.exception("%s could not be read again", self._files[0])

    async def look(self) -> None:
        """One look at the files. Others than before are taken when the next look finds the same."""
        before, self._seen = self._seen, await asyncio.to_thread(_look, self._files)
        if self._seen == self._read or self._seen != before:
            return
        self._read = self._seen
        try:
            context, ends = await asyncio.to_thread(lambda: (self._make(), end_of(self._files[0])))
        except ConfigError as error:
            self.problem = error.detail
            log.error("%s; the certificate that was read before goes on", error.detail)
            return
        self.context, self.ends, self.problem, self._warned = context, ends, None, None
        self.changes += 1
        log.info("%s was read again; it is good until %s", self._files[0], f"{ends:%Y-%m-%d %H:%M} UTC")

    def _warn_of_end(self) -> None:
        now = datetime.now(UTC)
        if self.ends - now < SOON and (self._warned is None or now - self._warned > WARN_EVERY):
            self._warned = now
            what = "ended" if self.ends <= now else "ends"
            log.warning(
                "the certificate in %s %s at %s; renew it", self._files[0], what, f"{self.ends:%Y-%m-%d %H:%M} UTC"
            )


def server_tls(cert: Path, key: Path) -> LiveTls:
    """For a server that asks its clients for no certificate. `key` may be the same file. Raises `ConfigError`."""
    return LiveTls([cert, key], lambda: _server_context(cert, key))


def _server_context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    load_pair(context, cert, key)
    return context


def load_pair(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Give the context a certificate with its key. Raises `ConfigError`, which names the file that is wrong."""
    check_pair(cert, key)
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise ConfigError(f"{cert}, with the key in {key}, cannot be used: {why}") from None


def _no_password() -> str:
    raise ConfigError("the key has a password")  # never asked for: `check_pair` refuses such a key before


def check_pair(cert: Path, key: Path) -> None:
    """Raises `ConfigError` if the first certificate and the key do not belong together, or one is not readable."""
    certificate = first_certificate(cert)
    try:
        private = serialization.load_pem_private_key(_bytes_of(key), None)
    except TypeError:
        raise ConfigError(f"{key}: the key has a password; nobody is here to enter it, so give it without") from None
    except UnsupportedAlgorithm as error:
        raise ConfigError(f"{key} holds a key of a kind that cannot be used here: {error}") from None
    except ValueError:
        raise ConfigError(f"{key} holds no private key in PEM") from None
    try:
        public = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError) as error:
        raise ConfigError(f"{cert} is for a key of a kind that cannot be used here: {error}") from None
    if public != private.public_key():
        raise ConfigError(f"the key in {key} is not that of the certificate in {cert}")


def first_certificate(path: Path) -> x509.Certificate:
    """Raises `ConfigError`."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_bytes_of(path))[0]
    except ValueError:
        raise ConfigError(f"{path} holds no certificate in PEM") from None


def end_of(path: Path) -> datetime:
    """When the first certificate of the file ends. Raises `ConfigError`."""
    return first_certificate(path).not_valid_after_utc


def _bytes_of(path: Path) -> bytes:
    found = _look((path,))[0]
    if isinstance(found, str):
        raise ConfigError(f"{path} {found}")
    return found


def _look(paths: Sequence[Path]) -> Contents:
    return tuple(_look_at(path) for path in paths)


def _look_at(path: Path) -> bytes | str:
    """Never waits: a pipe in its place is read as empty."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            found = file.read(BYTES_MAX + 1) or b""
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return found if len(found) <= BYTES_MAX else f"has over {BYTES_MAX:,} bytes"

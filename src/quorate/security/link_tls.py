"""The TLS contexts of connections between nodes: both ends show a certificate of the cluster's own authority.

The name in a certificate is the id of the node; who may be a peer is decided where ids are compared, so the contexts
check no name. The files are read again when they change, as in `tls.py`: a node gets a new certificate, or a second
authority beside the first, without a restart. A connection that stands goes on under the certificate that it has seen.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from quorate.errors import ConfigError
from quorate.security.tls import LiveTls, first_certificate, load_pair

if TYPE_CHECKING:
    from cryptography import x509

NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which Python has no name for

log = logging.getLogger(__name__)


class _Server(ssl.SSLContext):
    """The context for those who dial this node, and the one with which this node dials: made of the same files."""

    client: ssl.SSLContext


class LinkContexts:
    """Made and used on the node's loop. `why_not` says of a certificate why it cannot be this node's, or None.

    Files that every peer would refuse are told at the start, where there are no others. Later they are not taken: what
    was read before goes on.
    """

    def __init__(
        self,
        cert: Path,
        key: Path,
        authority: Path,
        why_not: Callable[[x509.Certificate], str | None] = lambda certificate: None,
    ) -> None:
        """Raises `ConfigError` if no context can be made."""
        self._cert, self._key, self._authority = cert, key, authority
        self._why_not = why_not
        self._made = False
        self.live = LiveTls([cert, key, authority], self._make)

    @property
    def server(self) -> ssl.SSLContext:
        return self.live.context

    @property
    def client(self) -> ssl.SSLContext:
        assert isinstance(self.live.context, _Server)
        return self.live.context.client

    async def start(self) -> None:
        await self.live.start()

    async def stop(self) -> None:
        await self.live.stop()

    def _make(self) -> ssl.SSLContext:
        server = _Server(ssl.PROTOCOL_TLS_SERVER)
        server.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for context in (server, server.client):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED
            load_pair(context, self._cert, self._key)
            self._trust(context)
        server.num_tickets = 0  # each connection shows its certificate
        if (why := self._why_not(first_certificate(self._cert)) or self._why_refused(server)) is not None:
            words = f"{self._cert} {why}"
            if self._made:
                raise ConfigError(words)
            log.warning("%s: every other node will refuse it", words)
        self._made = True
        return server

    def _trust(self, context: ssl.SSLContext) -> None:
        try:
            context.load_verify_locations(self._authority)
        except (OSError, ssl.SSLError) as error:
            why = getattr(error, "strerror", None) or getattr(error, "reason", None) or "no certificate in PEM"
            raise ConfigError(f"{self._authority} cannot be used as raft.tls_ca: {why}") from None

    def _why_refused(self, server: _Server) -> str | None:
        """What a node with the same authority has against the certificate, whatever the time: both ends greet each
        other in memory."""
        contexts = server.client, server
        flags = [context.verify_flags for context in contexts]
        for context in contexts:
            context.verify_flags |= NO_CHECK_TIME
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = server.client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
        try:
            for end in 3 * ends:
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        except ssl.SSLCertVerificationError as error:
            if "purpose" in error.verify_message:
                return "is not for clients and servers both"
            return f"is not of an authority in {self._authority} ({error.verify_message})"
        except ssl.SSLError as error:
            return f"cannot be used between nodes: {error.reason}"
        finally:
            for context, before in zip(contexts, flags, strict=True):
                context.verify_flags = before
        return None

"""The TLS contexts of connections between nodes: both ends show a certificate of the cluster's own authority.

The name in a certificate is the id of the node; who may be a peer is decided where ids are compared, so the contexts
check no name. The files are read again when they change, as in `tls.py`: a node gets a new certificate, or a second
authority beside the first, without a restart. A connection that stands goes on under the certificate that it has seen.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from quorate.errors import ConfigError
from quorate.security.tls import LiveTls, load_pair


class _Server(ssl.SSLContext):
    """The context for those who dial this node, and the one with which this node dials: made of the same files."""

    client: ssl.SSLContext


class LinkContexts:
    """Made and used on the node's loop."""

    def __init__(self, cert: Path, key: Path, authority: Path) -> None:
        """Raises `ConfigError` if no context can be made."""
        self._cert, self._key, self._authority = cert, key, authority
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
        return server

    def _trust(self, context: ssl.SSLContext) -> None:
        try:
            context.load_verify_locations(self._authority)
        except (OSError, ssl.SSLError) as error:
            why = getattr(error, "strerror", None) or getattr(error, "reason", None) or "no certificate in PEM"
            raise ConfigError(f"{self._authority} cannot be used as raft.tls_ca: {why}") from None

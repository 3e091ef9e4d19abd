"""What a node proves itself with to its peers, from its settings: TLS, or keys that are strong enough."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from quorate.cluster.raft.transport.handshake.credentials import Credentials
from quorate.cluster.raft.transport.handshake.tls_layer import names_of
from quorate.config import Config
from quorate.errors import ConfigError
from quorate.security import keys
from quorate.security.link_tls import LinkContexts

if TYPE_CHECKING:
    from cryptography import x509

log = logging.getLogger(__name__)


def link_credentials(config: Config, *, forms_cluster: bool) -> Credentials:
    """Raises `ConfigError`. A new cluster needs a strong key; one that stands is warned of a short one for now."""
    raft = config.raft
    if raft.key and not keys.is_short(raft.key):
        pass
    elif raft.key and forms_cluster:
        raise ConfigError(
            f"raft.key is too short for a new cluster: it needs 32 random bytes; {keys.MAKE_ONE}. If this node joins a "
            "cluster that stands with this key, set raft.bootstrap = false"
        )
    elif raft.key:
        log.warning(
            "raft.key is shorter than 32 random bytes, and the next release will refuse it: %s, and exchange it as "
            "docs/links.md says",
            keys.MAKE_ONE,
        )
    shared = tuple(key.encode() for key in (raft.key, raft.key_old) if key)
    if not raft.tls_cert:
        return Credentials(shared)
    cert, key, authority = (Path(name) for name in (raft.tls_cert, raft.tls_key, raft.tls_ca))
    return Credentials(shared, LinkContexts(cert, key, authority, lambda own: _why_not_of(config.node.id, own)))


def _why_not_of(node_id: str, certificate: x509.Certificate) -> str | None:
    names = names_of(certificate)
    return None if node_id in names else f"is for {', '.join(names) or 'nobody'}, and this node is {node_id}"

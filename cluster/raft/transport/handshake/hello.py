"""The first frame of each end of a connection, the only one that is not sealed: its protocol and a fresh nonce."""

from __future__ import annotations

import os
import re

import msgspec

from quorate.cluster.raft.transport.handshake.cipher import NONCE_BYTES
from quorate.words import NAME

PROTOCOL = 1
HELLO_BYTES_MAX = 4096
NO_NONCE = "a hello without a nonce of its own"


class Hello(msgspec.Struct, array_like=True):
    protocol: int
    node_id: str
    keyed: bool
    nonce: bytes
    tls_only: bool = False  # it takes no connection without TLS. 0.1.0 passes over it

    def problem(self, *, keyed: bool, tls_only: bool) -> str | None:
        """Why a node, which has a key itself or not, cannot go on with the one that sent this; None if it can."""
        if not re.fullmatch(NAME, self.node_id):
            return "what it calls itself is no name of a node (letters, digits, '.', '_' and '-', at most 64)"
        if self.protocol != PROTOCOL:
            return f"it speaks protocol {self.protocol}, this node {PROTOCOL}: run the same version on both"
        if self.tls_only:
            return "it takes connections with TLS only: give this node raft.tls_cert, raft.tls_key and raft.tls_ca"
        if tls_only:
            return "it came without TLS, and this node has raft.tls_cert and no raft.key"
        if self.keyed != keyed:
            return "only one of the two has a raft.key: give every node the same one"
        return NO_NONCE if len(self.nonce) != NONCE_BYTES else None


read_hello = msgspec.msgpack.Decoder(Hello).decode


def new_hello(node_id: str, *, keyed: bool, tls_only: bool = False) -> bytes:
    return msgspec.msgpack.encode(Hello(PROTOCOL, node_id, keyed, os.urandom(NONCE_BYTES), tls_only))

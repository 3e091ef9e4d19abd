"""TLS under the frames of one connection: bytes in, bytes out, and in words why it failed.

It is here, and not in the event loop's own TLS, so that both sides can say why a certificate was refused: the loop
drops such connections without a word. Both ends show a certificate of the cluster's authority, and speak TLS 1.3.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from typing import TYPE_CHECKING

from quorate.cluster.raft.transport.handshake.cipher import BadFrame

if TYPE_CHECKING:
    from cryptography import x509  # where it is used, it is imported late: a node without TLS starts without it

HANDSHAKE_RECORD = 0x16  # the first byte of a connection with TLS; without it, that of a length is 0
READ_BYTES = 256 * 1024

NOT_TLS = "it answered without TLS: it has no raft.tls_cert, or runs a version that does not know it"
OURS = {  # what this node has against the other end, besides its certificate
    "UNSUPPORTED_PROTOCOL": "it does not speak TLS 1.3",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate",
}
REFUSED = {  # what an alert of the other end says of our certificate
    "CERTIFICATE_EXPIRED": "it says that the certificate of this node has expired: renew raft.tls_cert",
    "UNKNOWN_CA": "it says that the certificate of this node is of another authority than its raft.tls_ca",
    "CERTIFICATE_REQUIRED": "it says that this node showed no certificate",
    "CERTIFICATE_UNKNOWN": "it does not accept the certificate of this node; its log says why",
    "BAD_CERTIFICATE": "it does not accept the certificate of this node; its log says why",
    "UNSUPPORTED_CERTIFICATE": "it says that the certificate of this node is not for clients and servers both",
    "PROTOCOL_VERSION": "it does not speak TLS 1.3",
}


class TlsLayer:
    """The methods raise `BadFrame`, with the reason to end the connection. Then `outgoing` has what tells the other."""

    def __init__(self, context: ssl.SSLContext, *, dialled: bool) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=not dialled)
        self.established = False
        self.names: tuple[str, ...] = ()  # of the other end's certificate
        self.fingerprint = ""

    def outgoing(self) -> bytes:
        return self._out.read()

    def begin(self) -> None:
        self._shake_hands()

    def feed(self, data: bytes) -> bytes:
        """Take what came. Returns what was in it."""
        self._in.write(data)
        if not self.established:
            self._shake_hands()
        plain = bytearray()
        if self.established:
            try:
                while part := self._tls.read(READ_BYTES):
                    plain += part
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                raise BadFrame(in_words(error)) from None
        return bytes(plain)

    def seal(self, data: bytes) -> bytes:
        with contextlib.suppress(ssl.SSLError):  # it has failed already: the connection is about to end
            self._tls.write(data)
        return self._out.read()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            raise BadFrame(in_words(error)) from None
        self.established = True
        certificate = self._tls.getpeercert(binary_form=True) or b""
        try:
            self.names = names_of(_read(certificate))
        except ValueError as error:
            raise BadFrame(f"its certificate cannot be read: {error}") from None
        self.fingerprint = hashlib.sha256(certificate).hexdigest()


def _read(certificate: bytes) -> x509.Certificate:
    from cryptography import x509

    return x509.load_der_x509_certificate(certificate)


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The node ids that a certificate is for: its DNS names; if it has none, its common name."""
    from cryptography import x509

    try:
        sites = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = sites.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        names = []
    common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return tuple(names or [str(each.value) for each in common])


def in_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        if "expired" in why:
            return "its certificate has expired"
        if "issuer" in why or "self-signed" in why or "signature failure" in why:
            return f"its certificate is not of this node's raft.tls_ca ({why})"
        return f"its certificate cannot be accepted: {why}"
    reason = error.reason or str(error)
    if reason in OURS:
        return OURS[reason]
    if reason in ("WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE", "PACKET_LENGTH_TOO_LONG"):
        return NOT_TLS
    for alert, words in REFUSED.items():
        if reason.endswith(f"ALERT_{alert}"):
            return words
    return f"TLS failed: {reason.lower().replace('_', ' ')}"

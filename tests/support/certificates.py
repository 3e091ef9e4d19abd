"""An authority of our own, and certificates that it signs, for tests."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """Its own certificate is in `file`."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        builder = self._builder(self._name, self._key, 30 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # to sign certificates
        self._certificate = builder.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.file = folder / f"{name}-ca.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.file)

    def issue(
        self,
        name: str = "node",
        sites: Sequence[str] = ("localhost", "127.0.0.1"),
        *,
        lasts: datetime.timedelta = 10 * DAY,
        password: bytes | None = None,
        only_for: x509.ObjectIdentifier | None = None,
    ) -> tuple[Path, Path]:
        """Write NAME.pem and NAME.key, each in one step; `name` is the common name, `sites` are names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_named(name), key, lasts)
        builder = builder.add_extension(x509.SubjectAlternativeName([_site(site) for site in sites]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        if only_for is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([only_for]), critical=False)
        hides: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            hides = serialization.BestAvailableEncryption(password)
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hides)
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return self._write(f"{name}.pem", certificate), self._write(f"{name}.key", pem)

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, lasts: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - 20 * DAY).not_valid_after(now + lasts)
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return builder.add_extension(by, critical=False).add_extension(own, critical=False)

    def _write(self, name: str, content: bytes) -> Path:
        new, path = self._folder / f"{name}.new", self._folder / name
        new.touch(0o600)
        new.write_bytes(content)
        return new.replace(path)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _site(site: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(site))
    except ValueError:
        return x509.DNSName(site)

"""A certificate and its key, read again when they change; and in which words they are refused."""

from __future__ import annotations

import asyncio
import base64
import datetime
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from quorate.errors import ConfigError
from quorate.security.tls import LiveTls, server_tls
from tests.support.certificates import DAY, Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_pair_is_taken(authority: Authority) -> None:
    tls = server_tls(*authority.issue())
    assert isinstance(tls.context, ssl.SSLContext)
    assert ssl.TLSVersion.TLSv1_2 == tls.context.minimum_version
    assert 9 < tls.days_left() <= 10


def test_both_may_stand_in_one_file(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue()
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    assert server_tls(both, both).days_left() > 9


def missing(authority: Authority, folder: Path) -> tuple[Path, Path]:
    return folder / "none.pem", authority.issue()[1]


def a_folder(authority: Authority, folder: Path) -> tuple[Path, Path]:
    return authority.issue()[0], folder


def other_key(authority: Authority, folder: Path) -> tuple[Path, Path]:
    return authority.issue("one")[0], authority.issue("other")[1]


def key_with_password(authority: Authority, folder: Path) -> tuple[Path, Path]:
    return authority.issue(password=b"secret")


def swapped(authority: Authority, folder: Path) -> tuple[Path, Path]:
    cert, key = authority.issue()
    return key, cert


def no_key(authority: Authority, folder: Path) -> tuple[Path, Path]:
    cert, _ = authority.issue()
    return cert, cert


def key_of_no_known_kind(authority: Authority, folder: Path) -> tuple[Path, Path]:
    """PKCS #8 for the algorithm 1.2.3.4, which no library has."""
    key, inner = folder / "odd.key", b"\x04\x20" + b"\x11" * 32
    der = b"\x02\x01\x00" + b"\x30\x05\x06\x03\x2a\x03\x04" + bytes([4, len(inner)]) + inner
    pem = base64.b64encode(bytes([0x30, len(der)]) + der)
    key.write_bytes(b"-----BEGIN PRIVATE KEY-----\n" + pem + b"\n-----END PRIVATE KEY-----\n")
    return authority.issue()[0], key


def certificate_of_no_known_kind(authority: Authority, folder: Path) -> tuple[Path, Path]:
    """That of a key on a curve with another number, as of curves that the library lacks."""
    cert, key = authority.issue()
    der = ssl.PEM_cert_to_DER_cert(cert.read_text())
    curve = bytes.fromhex("2a8648ce3d0301")  # the number of P-256, without its last byte
    cert.write_text(ssl.DER_cert_to_PEM_cert(der.replace(curve + b"\x07", curve + b"\x77")))
    return cert, key


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, "none.pem cannot be read: No such file or directory"),
        (a_folder, "cannot be read: Is a directory"),
        (other_key, "other.key is not that of the certificate in"),
        (key_with_password, "node.key: the key has a password; nobody is here to enter it"),
        (swapped, "node.key holds no certificate in PEM"),
        (no_key, "node.pem holds no private key in PEM"),
        (key_of_no_known_kind, "odd.key holds a key of a kind that cannot be used here"),
        (certificate_of_no_known_kind, "node.pem is for a key of a kind that cannot be used here"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    authority: Authority, tmp_path: Path, make: Callable[[Authority, Path], tuple[Path, Path]], words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        server_tls(*make(authority, tmp_path))
    assert words in refused.value.detail


def look(tls: LiveTls, times: int = 1) -> None:
    async def main() -> None:
        for _ in range(times):
            await tls.look()

    asyncio.run(main())


def test_a_renewed_certificate_is_taken_when_two_looks_agree(authority: Authority) -> None:
    tls = server_tls(*authority.issue())
    first = tls.context
    look(tls)
    authority.issue(lasts=20 * DAY)
    look(tls)
    assert first is tls.context
    look(tls)
    assert first is not tls.context
    assert 19 < tls.days_left() <= 20
    assert 1 == tls.changes


def test_a_certificate_without_its_key_yet_is_not_taken(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    cert, key = authority.issue()
    tls = server_tls(cert, key)
    first, old_key = tls.context, key.read_bytes()
    authority.issue()
    new_key = key.read_bytes()
    key.write_bytes(old_key)
    look(tls, 2)
    assert first is tls.context
    assert "is not that of the certificate" in (tls.problem or "")
    look(tls, 5)
    assert 1 == sum(record.levelno == logging.ERROR for record in caplog.records)
    key.write_bytes(new_key)
    look(tls, 2)
    assert first is not tls.context
    assert tls.problem is None


def test_a_key_of_no_known_kind_is_an_alarm_too(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue()
    tls = server_tls(cert, key)
    key.write_bytes(key_of_no_known_kind(authority, tmp_path)[1].read_bytes())
    look(tls, 2)
    assert "of a kind that cannot be used" in (tls.problem or "")


def test_a_file_that_is_gone_takes_nothing_away(authority: Authority) -> None:
    cert, key = authority.issue()
    tls = server_tls(cert, key)
    first = tls.context
    kept = cert.read_bytes()
    cert.unlink()
    look(tls, 2)
    assert first is tls.context
    assert "cannot be read: No such file" in (tls.problem or "")
    cert.write_bytes(kept)
    look(tls, 2)
    assert tls.problem is None


@pytest.mark.parametrize(("lasts", "words"), [(2 * DAY, "ends at"), (-DAY, "ended at"), (8 * DAY, None)])
def test_an_end_that_is_near_is_warned_of_once(
    authority: Authority, caplog: pytest.LogCaptureFixture, lasts: datetime.timedelta, words: str | None
) -> None:
    tls = server_tls(*authority.issue(lasts=lasts))

    async def main() -> None:
        await tls.start()
        await asyncio.sleep(0)
        await tls.stop()
        await tls.start()
        await asyncio.sleep(0)
        await tls.stop()

    asyncio.run(main())
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert (words is not None) == len(warnings)
    assert all(words in warning for warning in warnings if words)

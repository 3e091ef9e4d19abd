"""Numeric addresses have one spelling, whatever is given."""

from __future__ import annotations

import pytest

from quorate.config import parse_address


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("[0:0:0:0:0:0:0:1]:9001", "[::1]:9001"),
        ("[FD00::A]:9001", "[fd00::a]:9001"),
        ("[fe80:0::1%eth0]:9001", "[fe80::1%eth0]:9001"),
        ("[::ffff:10.0.0.5]:9001", "10.0.0.5:9001"),
        ("127.1:9001", "127.0.0.1:9001"),
        ("0:9001", "0.0.0.0:9001"),
        ("N1.Example:9001", "N1.Example:9001"),
        ("10.example:9001", "10.example:9001"),
    ],
)
def test_an_address_has_one_spelling(given: str, read: str) -> None:
    """Otherwise a wildcard is not recognised as one, and two nodes may be given one address."""
    assert read == str(parse_address(given))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.1", "[::ffff:127.0.0.1]"])
def test_loopback_is_recognised_in_every_spelling(host: str) -> None:
    assert parse_address(f"{host}:9001").is_loopback

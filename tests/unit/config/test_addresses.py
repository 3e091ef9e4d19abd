"""Numeric addresses have one spelling, whatever is given."""

from __future__ import annotations

import pytest

from quorate.config import load, parse_address
from quorate.config.address import parse_peers
from quorate.errors import ConfigError


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


@pytest.mark.parametrize(
    "name", ["node.id", "node.cluster", "consul.service", "nsq.topic", "nsq.channel", "nsq.dead_letter"]
)
@pytest.mark.parametrize("value", ["n1\n", "n1\u202e", "n\x1b1", "n1\r", "\n"])
def test_a_name_ends_where_it_seems_to_end(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load(None, env={}, flags={name: value})


@pytest.mark.parametrize("id", ["n1\n", "n 1", "n\x1b1", "", "-n1", "n" * 65])
def test_a_peer_has_a_name_that_a_node_can_have(id: str) -> None:
    with pytest.raises(ConfigError):
        parse_peers([f"{id}=127.0.0.1:9001"])

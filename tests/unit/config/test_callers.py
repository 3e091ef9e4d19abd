"""Which settings say what callers without a token may do."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from quorate.config import load

BEYOND = {"http.listen": "127.0.0.1:8001, 10.0.0.1:8001"}
TOKENS = {"auth.file": "tokens.toml"}


@pytest.mark.parametrize(
    ("flags", "role"),
    [
        ({}, "operate"),
        (TOKENS, "operate"),
        ({"http.hosts": "votes.example"}, "vote"),
        ({**BEYOND, **TOKENS}, "public"),
        ({**BEYOND, **TOKENS, "http.insecure": "true"}, "public"),
        ({**BEYOND, "http.insecure": "true"}, "operate"),
        ({**BEYOND, "http.insecure": "true", "auth.anonymous": "read"}, "read"),
        ({**BEYOND, **TOKENS, "auth.anonymous": "read,vote"}, "vote"),
        ({"auth.anonymous": "vote"}, "vote"),
        ({"auth.anonymous": ""}, "public"),
    ],
)
def test_what_needs_no_token_follows_from_who_can_ask(flags: Mapping[str, str], role: str) -> None:
    config = load(env={}, flags=flags).config
    assert role == config.auth.anonymous_role(config.http)

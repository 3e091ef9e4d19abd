"""Twitter's side of OAuth 1: oauthlib checks the signature over the method, the URL and the form, and this the rest."""

from __future__ import annotations

import string
import time
from dataclasses import dataclass, field
from typing import Any

from oauthlib.oauth1.rfc5849.endpoints.resource import ResourceEndpoint
from oauthlib.oauth1.rfc5849.request_validator import RequestValidator

CLOCK_S = 300  # how far the client's clock may be off


@dataclass(frozen=True, slots=True)
class OAuthAccount:
    key: str = "consumer-key-of-tests"
    secret: str = "consumer-secret"
    access_token: str = "7-access-token-of-tests"
    access_secret: str = "access-secret"


@dataclass
class OAuthCheck(RequestValidator):
    account: OAuthAccount = field(default_factory=OAuthAccount)
    nonces: set[tuple[str, str]] = field(default_factory=set)
    enforce_ssl = False
    dummy_client = "dummy"
    dummy_access_token = "dummy"
    client_key_length = nonce_length = access_token_length = (8, 100)
    safe_characters = frozenset(string.ascii_letters + string.digits + "-")

    def is_right(self, url: str, method: str, body: bytes, headers: dict[str, str]) -> bool:
        check: Any = ResourceEndpoint(self)  # type: ignore[no-untyped-call]  # oauthlib has no annotations
        valid, _ = check.validate_protected_resource_request(url, method, body.decode(), headers, [])
        return bool(valid)

    def validate_timestamp_and_nonce(
        self,
        client_key: str,
        timestamp: str,
        nonce: str,
        request: Any,
        request_token: Any = None,
        access_token: Any = None,
    ) -> bool:
        fresh = (timestamp, nonce) not in self.nonces
        self.nonces.add((timestamp, nonce))
        return fresh and abs(time.time() - int(timestamp)) < CLOCK_S

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        return client_key == self.account.key

    def validate_access_token(self, client_key: str, token: str, request: Any) -> bool:
        return token == self.account.access_token

    def validate_realms(self, *_: Any, **__: Any) -> bool:
        return True

    def get_client_secret(self, client_key: str, request: Any) -> str:
        return self.account.secret

    def get_access_token_secret(self, client_key: str, token: str, request: Any) -> str:
        return self.account.access_secret

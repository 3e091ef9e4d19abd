"""Access to X for an app of its own, without a user: a bearer token, given or fetched with the app's key and secret.

OAuth 2.0 calls it the client credentials grant. The request and the answer of the token are oauthlib's, as is done by
requests-oauthlib; the way there is that of all requests here (proxies, limits, a stop at any time).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote

import requests
from oauthlib.oauth2.rfc6749.clients.backend_application import BackendApplicationClient
from oauthlib.oauth2.rfc6749.errors import OAuth2Error
from requests.auth import AuthBase, HTTPBasicAuth

from quorate.ingest.social.credentials import credential, read_credentials
from quorate.ingest.social.reading.private_urls import check_private
from quorate.ingest.social.reading.refusal import StreamRefused
from quorate.web.exchange import Closing, exchange

NAMES = ("SP_X_KEY", "SP_X_SECRET")
BEARER = "SP_X_BEARER"
TOKEN_PATH = "/oauth2/token"
NO_TOKEN = (OAuth2Error, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)  # of other JSON


@dataclass(frozen=True, slots=True)
class XKeys:
    """Either `bearer`, or `key` and `secret`."""

    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Self:
        if bearer := credential(env, BEARER):
            return cls(bearer=bearer)
        return cls(*read_credentials(env, NAMES, purpose=f"X (unless {BEARER} is set)").values())


class XBearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class XAccess:
    """For all threads of the network. `renew` says whether there is another token to try."""

    def __init__(self, base: str, keys: XKeys, closing: Closing) -> None:
        check_private(base)
        self._base, self._keys, self._closing = base, keys, closing
        self._lock = threading.Lock()
        self._token = keys.bearer

    def auth(self) -> XBearer:
        """Raises `LongReadFailed` or `StreamRefused` if a token is needed and cannot be had."""
        with self._lock:
            if not self._token:
                self._token = self._fetched()
            return XBearer(self._token)

    def renew(self) -> bool:
        """The token was refused."""
        with self._lock:
            self._token = self._keys.bearer
            return not self._keys.bearer

    def _fetched(self) -> str:
        client = BackendApplicationClient(self._keys.key)  # type: ignore[no-untyped-call]  # it has no annotations
        answer = exchange(
            "POST",
            self._base + TOKEN_PATH,
            data={"grant_type": client.grant_type},
            auth=HTTPBasicAuth(quote(self._keys.key, safe=""), quote(self._keys.secret, safe="")),
            closing=self._closing,
        )
        if answer.status == 200:
            with contextlib.suppress(*NO_TOKEN):
                client.parse_request_body_response(answer.body.decode())  # type: ignore[no-untyped-call]
            token = client.access_token
            if isinstance(token, str) and token and token.isascii() and token.isprintable():
                return token
            raise StreamRefused(f"{self._base} answers no token", 200, answer.headers, mendable=True)
        mendable = 400 <= answer.status < 500 and answer.status not in (408, 429)
        why = "it does not accept SP_X_KEY and SP_X_SECRET" if mendable else "it gives no token now"
        raise StreamRefused(
            f"{self._base} answers {answer.status}: {why}", answer.status, answer.headers, mendable=mendable
        )

"""The four secrets by which requests to Twitter's v1.1 API are signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from requests.auth import AuthBase
from requests_oauthlib.oauth1_auth import OAuth1

from quorate.ingest.social.credentials import read_credentials

NAMES = ("SP_TWITTER_KEY", "SP_TWITTER_SECRET", "SP_TWITTER_ACCESSTOKEN", "SP_TWITTER_ACCESSSECRET")


@dataclass(frozen=True, slots=True)
class TwitterKeys:
    key: str = field(repr=False)
    secret: str = field(repr=False)
    access_token: str = field(repr=False)
    access_secret: str = field(repr=False)

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Self:
        return cls(*read_credentials(env, NAMES, purpose="Twitter v1.1").values())

    def auth(self) -> AuthBase:
        """It signs a request with a new nonce and the time."""
        keys = (self.key, self.secret, self.access_token, self.access_secret)
        made: AuthBase = OAuth1(*keys)  # type: ignore[no-untyped-call]  # the library has no annotations
        return made

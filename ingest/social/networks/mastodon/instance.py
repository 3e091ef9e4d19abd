"""One instance of Mastodon: what it says of itself, and all short questions to it, within its limits.

It allows 300 questions in five minutes and says in each answer how many are left. What it cannot answer now is asked
again until it can.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from quorate.errors import ConfigError
from quorate.ingest.social.backoff import Backoff
from quorate.ingest.social.network import Inlet
from quorate.ingest.social.networks.defaults import MASTODON_TOKEN
from quorate.ingest.social.reading.private_urls import is_private
from quorate.ingest.social.reading.retry_after import date_s, retry_after_s
from quorate.shown import name
from quorate.web.exchange import WebAnswer, exchange
from quorate.web.long_read import LongReadFailed

log = logging.getLogger(__name__)

RESERVE = 5  # so many questions are left to others with the same account
WAIT_MAX_S = 900.0
VIEWS_FEEDS = 0x100001  # of a role's permissions: "View live and topic feeds", and those of administrators


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """`access`: what `configuration.timelines_access` says, by kind of feed and where posts are from."""

    streaming_url: str
    access: Mapping[str, Mapping[str, str]]
    has_time_in_ids: bool


class InstanceFails(Exception):
    """It answered no question in so many tries."""


@dataclass(frozen=True, slots=True)
class _NotNow:
    why: str
    wait_s: float


class Instance:
    """Its methods wait at the inlet, and are for one thread at a time."""

    def __init__(self, url: str, token: str, inlet: Inlet, unix_s: Callable[[], float] = time.time) -> None:
        self.url = url.rstrip("/")
        self.host = urlsplit(url).netloc
        self._token, self._inlet, self._unix_s = token, inlet, unix_s
        self._failing = Backoff(1, 60)
        self._limited = Backoff(30, 300)
        self._not_before_s = 0.0

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def ask(self, path: str, params: Mapping[str, str] | None = None, *, tries: int = 0) -> WebAnswer:
        """An answer, or a refusal that waiting does not change. It tries until it has one, if `tries` is 0."""
        while True:
            self._wait(self._not_before_s - self._unix_s())
            self._not_before_s = 0.0
            answer = self._answer(path, params)
            if isinstance(answer, WebAnswer):
                return answer
            tries -= 1
            if tries == 0:
                raise InstanceFails(answer.why)
            log.warning("%s: %s; it is asked again in %.0f s", self.host, answer.why, answer.wait_s)
            self._wait(answer.wait_s)

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self._inlet.pause(min(seconds, WAIT_MAX_S))

    def _answer(self, path: str, params: Mapping[str, str] | None) -> WebAnswer | _NotNow:
        closing, headers = self._inlet.closing, self.headers
        try:
            answer = exchange("GET", self.url + path, params=params, headers=headers, closing=closing)
        except LongReadFailed as failed:
            if failed.reason == "redirected":
                raise ConfigError(f"{self.url} is no instance of Mastodon: {failed}") from None
            if failed.reason == "closed":
                self._inlet.pause(0)  # a stop closes it, and raises here
            return _NotNow(str(failed), self._failing.next_s())
        self._note_limit(answer)
        asked_s = retry_after_s(answer.headers, self._unix_s)
        if answer.status == 429:
            until_s, self._not_before_s = self._not_before_s - self._unix_s(), 0.0
            return _NotNow("it limits us", max(asked_s, until_s) or self._limited.next_s())
        if answer.status >= 500:
            return _NotNow(f"it answers {answer.status}", max(asked_s, self._failing.next_s()))
        self._failing.reset()
        self._limited.reset()
        return answer

    def facts(self, *, tries: int = 0) -> InstanceFacts:
        answer = self.ask("/api/v2/instance", tries=tries)
        if answer.status in (401, 403, 422):
            raise ConfigError(refusal(self, answer.status, answer.body))
        told = answer.json()
        if answer.status == 404 or not isinstance(told, dict):
            told = {}  # before 4.0 it did not say
        configuration = _dict(told, "configuration")
        streaming = _dict(configuration, "urls").get("streaming")
        version = told.get("version")
        return InstanceFacts(
            self._streaming_url(streaming if isinstance(streaming, str) else ""),
            {
                kind: value
                for kind, value in _dict(configuration, "timelines_access").items()
                if isinstance(value, dict)
            },
            not (isinstance(version, str) and "compatible" in version),
        )

    def may_view_all_feeds(self) -> bool | None:
        """Whether the token's user may read feeds that are switched off. None: it does not say."""
        answer = self.ask("/api/v1/accounts/verify_credentials")
        if answer.status == 401:
            raise ConfigError(refusal(self, answer.status, answer.body))
        told = answer.json()
        permissions = _dict(told, "role").get("permissions") if isinstance(told, dict) else None
        try:
            return bool(int(str(permissions)) & VIEWS_FEEDS)
        except ValueError:
            return None

    def _streaming_url(self, told: str) -> str:
        """Where its streams are. The token goes there, so never in the clear over a network."""
        try:
            parts = urlsplit(told)
        except ValueError:
            return self.url
        scheme = {"wss": "https", "ws": "http"}.get(parts.scheme, parts.scheme)
        if not parts.hostname or scheme not in ("http", "https"):
            return self.url
        url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        is_downgrade = scheme == "http" and self.url.startswith("https")
        return self.url if is_downgrade or not is_private(url) else url

    def _note_limit(self, answer: WebAnswer) -> None:
        left = answer.headers.get("X-RateLimit-Remaining", "")
        reset_s = limit_reset_s(answer.headers)
        is_spent = answer.status == 429 or (left.isdigit() and int(left) <= RESERVE)
        if is_spent and reset_s is not None:
            skew_s = self._unix_s() - (date_s(answer.headers.get("Date", "")) or self._unix_s())
            self._not_before_s = reset_s + skew_s


def limit_reset_s(headers: Mapping[str, str]) -> float | None:
    """`X-RateLimit-Reset`, a moment in ISO 8601, as a Unix time."""
    try:
        return datetime.datetime.fromisoformat(headers.get("X-RateLimit-Reset", "")).timestamp()
    except (ValueError, OverflowError):
        return None


def switched_off(facts: InstanceFacts, kind: str) -> list[str]:
    """The origins (local, remote) of posts that are shown in no feed of this kind."""
    access = facts.access.get(kind, {})
    return [origin for origin in ("local", "remote") if access.get(origin) == "disabled"]


def refusal(instance: Instance, status: int, body: bytes) -> str:
    """What a person can do about it."""
    words = " ".join(body.decode(errors="replace").split())
    said = f" ({name(words)})" if words and not words.startswith("<") else ""
    if status == 401:
        return (
            f"{instance.host} does not take {MASTODON_TOKEN}{said}: it is a user's token with the scope read:statuses"
        )
    if status in (403, 422):
        return f"{instance.host} does not show this feed to the user of {MASTODON_TOKEN}{said}"
    return f"{instance.host} answers {status}{said}: is it an instance of Mastodon?"


def _dict(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}

"""One GET, whole and bounded, in size and in time. It blocks."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import requests

from quorate.errors import ConfigError
from quorate.unreadable import UNREADABLE
from quorate.web.session import WebSession
from quorate.web.words import why_not_asked

BYTES_MAX = 16 * 1024 * 1024
PIECE_BYTES = 64 * 1024


class FetchFailed(OSError):
    """`status` and `body` are those of the answer, if there was one."""

    def __init__(self, why: str, status: int | None = None, body: bytes = b"") -> None:
        super().__init__(why)
        self.status, self.body = status, body


def fetch(url: str, *, timeout_s: float, token: str | None = None, ca: str | None = None) -> bytes:
    """The body of an answer 200. Raises `FetchFailed` for anything else, with the reason in words.

    `token` is sent to that server alone; `ca` is a file of certificates to trust instead of the usual ones.
    """
    deadline_s = time.monotonic() + timeout_s
    with WebSession() as session:
        if token is not None:
            session.headers["Authorization"] = f"Bearer {token}"
        if ca is not None:
            session.verify = ca
        try:
            with session.get(url, timeout=timeout_s, stream=True) as answer:
                body = _read(answer, deadline_s)
        except ConfigError as error:
            raise FetchFailed(error.detail) from None
        except requests.RequestException as error:
            raise FetchFailed(why_not_asked(error, url)) from None
    if answer.status_code != 200:
        raise FetchFailed(f"it answers {answer.status_code} {answer.reason}", answer.status_code, body)
    return body


def fetch_json(url: str, *, timeout_s: float) -> Any:
    """As `fetch`, and what the body says. Raises `FetchFailed` for what nobody can read, too."""
    body = fetch(url, timeout_s=timeout_s)
    try:
        return msgspec.json.decode(body)
    except UNREADABLE as error:
        raise FetchFailed(f"it answers what cannot be read: {error}", 200, body) from None


def _read(answer: requests.Response, deadline_s: float) -> bytes:
    body = bytearray()
    for piece in answer.iter_content(PIECE_BYTES):
        body += piece
        if len(body) > BYTES_MAX:
            raise FetchFailed(f"its answer is longer than {BYTES_MAX:,} bytes")
        if time.monotonic() > deadline_s:
            raise FetchFailed("it did not answer in time")
    return bytes(body)
